package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// byPath are the functions that take a path, and follow whatever somebody has put on the way to it.
var byPath = map[string][]string{
	"os": {
		"Chdir", "Chmod", "Chown", "Chtimes", "Create", "CreateTemp", "Lchown", "Link", "Lstat", "Mkdir", "MkdirAll",
		"MkdirTemp", "Open", "OpenFile", "OpenInRoot", "OpenRoot", "ReadDir", "ReadFile", "Readlink", "Remove",
		"RemoveAll", "Rename", "Stat", "Symlink", "Truncate", "WriteFile",
	},
	"filepath": {"EvalSymlinks", "Glob", "Walk", "WalkDir"},
	"unix": {
		"Access", "Chmod", "Chown", "Creat", "Lchown", "Link", "Lstat", "Mkdir", "Open", "Openat", "Readlink", "Rename",
		"Rmdir", "Stat", "Symlink", "Truncate", "Unlink",
	},
	"syscall": {
		"Access", "Chmod", "Chown", "Creat", "Lchown", "Link", "Lstat", "Mkdir", "Open", "Openat", "Readlink", "Rename",
		"Rmdir", "Stat", "Symlink", "Truncate", "Unlink",
	},
	"durable": {"At", "Create", "Rename", "Sync", "WriteFile"}, // for the publisher's folder, which is his own
}

// What is done beside a program goes through handles: durable.Folder, beside.Place. A path among it would be followed by
// root into whatever the owner of the folder puts there (R05). Here is why the others are none.
var paths = map[string]string{
	"internal/durable/folder_unix.go unix":      "this is where the handles are made",
	"internal/durable/folder_other.go os":       "Windows has no handles of folders that names could be opened in; whoever may exchange a folder there may do the rest too",
	"internal/durable/folder_other.go filepath": "the same",
	"internal/durable/search_linux.go os":       "/proc/self/uid_map",
	"internal/state/holder_linux.go os":         "/proc/locks",
	"internal/state/machine.go os":              "the name of the machine, in /etc",
	"internal/swap/swap.go filepath":            "Running, which opens what runs already",
	"internal/swap/swap.go durable":             "the same",
	"internal/swap/seal_linux.go os":            "/proc/self/fd, which is a handle",
	"internal/swap/seal_linux.go unix":          "the same",
	"internal/swap/trial_linux.go os":           "/proc/thread-self/status",
	"internal/swap/trial_linux.go unix":         "handles of a mount namespace can only be opened in it; what is opened is compared with the handle from outside",
}

func TestR05HandlesNotPaths(t *testing.T) {
	used := map[string]bool{}
	for _, pkg := range []string{"beside", "durable", "installation", "state", "swap"} {
		files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s (%v)", pkg, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, c := range callsByPath(t, name, nil) {
				key := "internal/" + filepath.ToSlash(name) + " " + c.pkg
				if used[key] = true; paths[key] == "" {
					t.Errorf("%s: %s.%s goes by a path: use a handle, or say above why it need not", c.at, c.pkg, c.name)
				}
			}
		}
	}
	for key := range paths {
		if !used[key] {
			t.Errorf("%s: the reason is for nothing", key)
		}
	}
}

type callByPath struct {
	at        token.Position
	pkg, name string
}

func callsByPath(t *testing.T, name string, src any) (found []callByPath) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(byPath[x.Name], sel.Sel.Name) {
			found = append(found, callByPath{fset.Position(n.Pos()), x.Name, sel.Sel.Name})
		}
		return true
	})
	return found
}

func TestR05HandlesNotPathsNotices(t *testing.T) {
	for src, want := range map[string]int{
		`package p; func f() { os.Chown("x", 0, 0) }`:       1,
		`package p; var rename = os.Rename`:                 1,
		`package p; func f() { _, _ = unix.Open(p, 0, 0) }`: 1,
		`package p; func f(f *os.File) { f.Chown(0, 0) }`:   0,
	} {
		if got := callsByPath(t, "x.go", src); len(got) != want {
			t.Errorf("%s: found %v", src, got)
		}
	}
}
