package testenv_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// A skip that does not go through this package is not counted, so nobody would miss the test.
func TestNobodySkipsElsewhere(t *testing.T) {
	const root = "../.."
	var files, scripts int
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() && filepath.Dir(path) == filepath.Join(root, "internal") && d.Name() == "testenv":
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			files++
			for _, position := range skips(t, path, nil) {
				t.Errorf("%s skips by itself: use testenv.Need", position)
			}
		case strings.Contains(path, "testdata"+string(filepath.Separator)) && slices.Contains([]string{".txt", ".txtar"}, filepath.Ext(path)):
			scripts++
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, line := range scriptSkips(b) {
				t.Errorf("%s: %q skips by itself: write [!need:TOOL] skip", path, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 3 {
		t.Fatalf("looked at only %d test files: this test looks in the wrong place", files)
	}
	t.Logf("looked at %d test files and %d scripts", files, scripts)
}

func skips(t *testing.T, path string, src any) (positions []token.Position) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "testenv" {
			return true
		}
		positions = append(positions, fset.Position(n.Pos()))
		return true
	})
	return positions
}

// scriptSkips looks at the part of a script before its first file.
func scriptSkips(script []byte) (lines []string) {
	script, _, _ = bytes.Cut(script, []byte("\n-- "))
	for line := range strings.Lines(string(script)) {
		words := strings.Fields(line)
		i := slices.IndexFunc(words, func(w string) bool { return !strings.HasPrefix(w, "[") })
		if i >= 0 && words[i] == "skip" && !slices.ContainsFunc(words[:i], func(w string) bool { return strings.HasPrefix(w, "[!need:") }) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestSkipsAreFound(t *testing.T) {
	src := `package p
func TestX(t *testing.T) {
	t.Skip("no time")
	t.Run("", func(sub *testing.T) { sub.SkipNow() })
	testenv.Skip(t, "a", "b")
	testenv.Need(t, "c")
}`
	if got := skips(t, "x_test.go", src); len(got) != 2 || got[0].Line != 3 || got[1].Line != 4 {
		t.Errorf("found %v, want lines 3 and 4", got)
	}
	script := "[!need:strace] skip\n[linux] skip\nskip 'no time'\nexec true\n-- file --\nskip\n"
	if got := scriptSkips([]byte(script)); !slices.Equal(got, []string{"[linux] skip", "skip 'no time'"}) {
		t.Errorf("found %q", got)
	}
}

// essential packages are on every Debian.
var essential = []string{"bash", "coreutils", "dash", "dpkg", "findutils", "grep", "sed", "tar"}

// CI installs what tests need, or they would skip there too.
func TestCIInstallsWhatTestsNeed(t *testing.T) {
	const root = "../.."
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(ci), "\npackages=(\n")
	list, _, ok := strings.Cut(list, "\n)\n")
	if !ok {
		t.Fatal(".ci/run has no list of packages")
	}
	var installed []string
	for line := range strings.Lines(list) {
		installed = append(installed, strings.Fields(line)[0])
	}
	for tool, where := range needed(t, root) {
		words := strings.Fields(testenv.Remedy(tool))
		if pkg := words[len(words)-1]; tool != "go" && !slices.Contains(essential, pkg) && !slices.Contains(installed, pkg) {
			t.Errorf("%s needs %s: add its package %s to .ci/run", where, tool, pkg)
		}
	}
}

// needed finds the tools that tests ask for, each with one place that does.
func needed(t *testing.T, root string) map[string]string {
	t.Helper()
	call := regexp.MustCompile(`testenv\.Need\(\w+((?:, *"[^"]+")+)\)`)
	word := regexp.MustCompile(`"([^"]+)"`)
	condition := regexp.MustCompile(`\[!?need:([^\]]+)\]`)
	tools := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		script := strings.HasSuffix(path, ".txt") || strings.HasSuffix(path, ".txtar")
		if !script && !strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testenv") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range call.FindAllSubmatch(b, -1) {
			for _, w := range word.FindAllSubmatch(m[1], -1) {
				tools[string(w[1])] = path
			}
		}
		for _, m := range condition.FindAllSubmatch(b, -1) {
			tools[string(m[1])] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tools
}
