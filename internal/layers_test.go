// Package internal_test holds the rules about who imports whom. Each row says why it is there: whoever wants to change a
// row should first find the reason gone.
package internal_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/theseus-go/theseus"

// A layer says what one package, or every package that matches a path.Match pattern, may import besides the standard
// library and golang.org/x, which are free for all. The first row that matches a package counts.
type layer struct {
	pkg     string
	ours    []string // patterns of packages of this module
	outside []string // modules
	pure    bool     // no files, no network, no processes, no clock
	why     string
}

var layers = []layer{
	{
		pkg: "verify", pure: true,
		ours:    []string{"internal/name", "internal/text"},
		outside: []string{"aead.dev/minisign", "github.com/go-json-experiment/json"},
		why:     "who signed these bytes? An auditor reads this package alone; the clock and the world are arguments",
	},
	{
		pkg: "release", pure: true,
		ours:    []string{"internal/name", "internal/text", "verify"},
		outside: []string{"github.com/Masterminds/semver/v3", "github.com/go-json-experiment/json"},
		why:     "what is on offer, and is it for me? Publisher, client and replay decide by the same code, so it may not look around",
	},
	{
		pkg:  "delta/internal/test*",
		ours: []string{"delta/internal/pack", "internal/testenv"},
		why:  "imported by tests only, which another rule below holds",
	},
	{
		pkg: "delta/internal/*", pure: true,
		ours: []string{"delta/internal/*"},
		why:  "what delta knows of executables and of coding: neither knows what a patch is",
	},
	{
		pkg: "delta", pure: true,
		ours:    []string{"delta/internal/*"},
		outside: []string{"github.com/klauspost/compress"},
		why:     "useful to programs that want nothing else of ours, and safe on hostile patches because it can reach nothing",
	},
	{
		pkg: "restart/internal/conn",
		why: "how one connection, listener or server is let go of; it wraps net and net/http and knows nothing of processes",
	},
	{
		pkg: "restart/internal/anchor",
		why: "it waits in memory for as long as the service lives, so it imports as little as it can",
	},
	{
		pkg:     "restart",
		ours:    []string{"internal/blame", "restart/internal/anchor", "restart/internal/conn"},
		outside: []string{"github.com/cloudflare/tableflip"},
		why:     "a handover knows nothing of updates: whoever replaces the executable by other means can use it",
	},
	{
		pkg: "internal/blame",
		why: "whose fault is it? One answer for the probe, the handover and whoever undoes, so it knows none of them",
	},
	{
		pkg:     "internal/aside",
		outside: []string{"github.com/minio/selfupdate"},
		why:     "the only importer of selfupdate, whose own Apply can leave a machine without its program, and which links HTTP and TLS",
	},
	{
		pkg:  "internal/swap",
		ours: []string{"internal/beside", "internal/content", "internal/durable"},
		why:  "brings a program back where nothing else works: without keys, network or another process",
	},
	{
		pkg:     "internal/state",
		ours:    []string{"internal/beside", "internal/blame", "internal/content", "internal/durable", "internal/text"},
		outside: []string{"github.com/go-json-experiment/json"},
		why:     "parses as strictly as what was signed, and knows nothing of signatures",
	},
	{
		pkg:  "internal/test*",
		ours: []string{"*", "*/*"},
		outside: []string{
			"aead.dev/minisign",
			"github.com/Masterminds/semver/v3",
			"github.com/go-json-experiment/json",
			"github.com/klauspost/compress",
		},
		why: "imported by tests only, which another rule below holds",
	},
	{
		pkg:     "internal/fetch",
		ours:    []string{"internal/bundle", "internal/durable", "internal/name", "internal/text", "verify"},
		outside: []string{"github.com/klauspost/compress"},
		why:     "gets bytes under caps, from a bundle too, and unpacks them under the same caps",
	},
	{
		pkg: "internal/managed", pure: true,
		ours: []string{"internal/text"},
		why:  "who else keeps this file current? Paths and files of an fs.FS that it is given: it runs nothing that is found on PATH",
	},
	{
		pkg: "internal/versions", pure: true,
		ours: []string{"release"},
		why:  "what is a version, and what does a program say of its own? One answer for who publishes, who probes and who runs",
	},
	{
		pkg: "internal/screen",
		why: "fits words to a terminal, for the client and for the tool",
	},
	{
		pkg:  "internal/catalog",
		ours: []string{"internal/fetch", "release", "verify"},
		why:  "what is on offer, verified? Clients and the publisher's tool walk the same way; what is remembered is a value, and where it lies is not known here",
	},
	{
		pkg:  "internal/installation",
		ours: []string{"internal/beside", "internal/blame", "internal/content", "internal/durable", "internal/state", "internal/swap", "internal/text"},
		why:  "what is on disk, and how does it get back? It works where the program itself cannot start, without key and network",
	},
	{
		pkg:  "internal/bundle",
		ours: []string{"internal/name"},
		why:  "one file for a part of a repository, under the names that a repository has",
	},
	{
		pkg:  "internal/*",
		ours: []string{"internal/durable", "verify"},
		why:  "each wraps one thing; a package that needs two of ours belongs above this layer. verify is here for its ID type",
	},
	{
		pkg:     "updater",
		ours:    []string{"verify", "release", "delta", "internal/*"},
		outside: []string{"github.com/Masterminds/semver/v3", "github.com/go-json-experiment/json", "github.com/klauspost/compress"},
		why:     "the only package that joins network, disk and clock. It meets restart in the application, through a func, so that a command-line tool links no tableflip and a service under another supervisor brings its own restart",
	},
	{
		pkg:  "fleet",
		ours: []string{"updater", "internal/durable", "internal/text"},
		why:  "who of many machines goes first? What it grants is a turn, and what is installed in it others decide: of updater it knows what a gate is. It is linked by programs, so it brings no module",
	},
	{
		pkg:  "cmd/hello",
		ours: []string{"updater", "restart"},
		why:  "the program that users copy: it may use only what they can use",
	},
	{
		pkg:  "doc/example",
		ours: []string{"updater", "restart"},
		why:  "the program in the README, for which the same holds",
	},
	{
		pkg:     "cmd/theseus-fleet/internal/store",
		ours:    []string{"fleet"},
		outside: []string{"github.com/nats-io/nats.go", "go.etcd.io/etcd/client/v3"},
		why:     "keeps a fleet's documents; what they say is not known here",
	},
	{
		pkg:     "cmd/theseus-fleet",
		ours:    []string{"fleet", "restart", "updater", "internal/durable", "cmd/theseus-fleet/internal/store"},
		outside: []string{"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go", "go.etcd.io/etcd/client/v3", "github.com/spf13/cobra"},
		why:     "a service like those that it is made for, and a module of its own: neither a program that asks it nor a publisher links a message server",
	},
	{
		pkg:     "cmd/theseus/internal/publisher",
		ours:    []string{"verify", "release", "delta", "internal/catalog", "internal/durable", "cmd/theseus/internal/program", "cmd/theseus/internal/store", "cmd/theseus/internal/ui"},
		outside: []string{"github.com/Masterminds/semver/v3", "github.com/klauspost/compress", "go.yaml.in/yaml/v3"},
		why:     "decides what is signed: a store is all that it knows of where a repository lies, and the catalog's walk all that it believes of it",
	},
	{
		pkg:  "cmd/theseus/internal/goreleaser",
		ours: []string{"verify", "release", "cmd/theseus/internal/program", "cmd/theseus/internal/publisher", "cmd/theseus/internal/ui"},
		why:  "reads what another tool has built; what it is worth is for the publisher's checks to say",
	},
	{
		pkg:     "cmd/theseus/internal/store",
		ours:    []string{"verify", "internal/durable", "cmd/theseus/internal/plain", "cmd/theseus/internal/ui"},
		outside: []string{"github.com/google/go-github/v89", "github.com/minio/minio-go/v7", "github.com/pkg/sftp"},
		why:     "keeps bytes under names, wherever; it opens no document, so nothing that lies in a store can lead it anywhere",
	},
	{
		pkg:  "cmd/theseus/internal/remote",
		ours: []string{"verify", "release", "internal/catalog", "internal/fetch", "cmd/theseus/internal/publisher", "cmd/theseus/internal/store", "cmd/theseus/internal/ui"},
		why:  "carries what is signed from one store to another by what the publisher accounts for, and holds no key",
	},
	{
		pkg:     "cmd/theseus/internal/audit",
		ours:    []string{"verify", "release", "delta", "internal/*", "cmd/theseus/internal/publisher", "cmd/theseus/internal/remote", "cmd/theseus/internal/store", "cmd/theseus/internal/ui"},
		outside: []string{"github.com/Masterminds/semver/v3"},
		why:     "looks at a repository by the code of clients, and holds no key",
	},
	{
		pkg:     "cmd/theseus/internal/test*",
		ours:    []string{"internal/testenv"},
		outside: []string{"golang.org/x/crypto"},
		why:     "servers for tests",
	},
	{
		pkg:  "cmd/theseus/internal/ui",
		ours: []string{"verify", "release", "internal/*"},
		why:  "how the tool speaks: it knows errors, and does nothing",
	},
	{
		pkg:  "cmd/theseus/internal/program",
		ours: []string{"internal/versions"},
		why:  "what a file is, by its own bytes; it knows nothing of releases",
	},
	{
		pkg: "cmd/theseus/internal/plain",
		why: "opens files, whatever they hold",
	},
	{
		pkg:  "cmd/theseus/internal/web",
		ours: []string{"verify", "release", "internal/bundle", "cmd/theseus/internal/plain", "cmd/theseus/internal/ui"},
		why:  "serves bytes; what they are worth is for clients to say",
	},
	{
		pkg:  "cmd/theseus/internal/demo",
		ours: []string{"verify", "release", "internal/screen", "cmd/theseus/internal/*"},
		why:  "publishes as the tool does and attacks as a server could; the programs in it are real processes",
	},
	{
		pkg:  "cmd/theseus",
		ours: []string{"verify", "release", "delta", "updater", "internal/*", "cmd/theseus/internal/*"},
		outside: []string{
			"aead.dev/minisign",
			"github.com/Masterminds/semver/v3",
			"github.com/spf13/cobra",
		},
		why: "the publisher's tool, a module of its own; everything but restart, for it serves nobody. What is heavy stops here",
	},
}

// A source is one Go file that is no test, of whatever system: build constraints are not looked at.
type source struct {
	pkg  string // folder below the module's root, with slashes
	path string
	file *ast.File
	fset *token.FileSet
}

// tools are modules of their own to which the table applies too; other nested modules (benchmarks, examples) are left out.
var tools = []string{"../cmd/theseus", "../cmd/theseus-fleet"}

// sources parses every file of this module and of the tools.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	root := ".."
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == root {
				return nil
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && !slices.Contains(tools, filepath.ToSlash(name)) {
				return filepath.SkipDir
			}
			if b := d.Name(); b == "testdata" || strings.HasPrefix(b, ".") || strings.HasPrefix(b, "_") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		all = append(all, source{pkg: filepath.ToSlash(rel), path: name, file: f, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d files: this test looks in the wrong place", len(all))
	}
	return all
}

func imports(s source) (paths []string) {
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		paths = append(paths, p)
	}
	return paths
}

func find(pkg string) *layer {
	for i := range layers {
		if ok, _ := path.Match(layers[i].pkg, pkg); ok {
			return &layers[i]
		}
	}
	return nil
}

func (l *layer) allows(imported string) bool {
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.ContainsFunc(l.ours, func(pattern string) bool {
			ok, _ := path.Match(pattern, own)
			return ok
		})
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") || strings.HasPrefix(imported, "golang.org/x/") {
		return true
	}
	return slices.ContainsFunc(l.outside, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
}

// testOnly reports whether a package is there for tests.
func testOnly(pkg string) bool {
	return strings.HasPrefix(pkg, "internal/test") || strings.HasPrefix(pkg, "delta/internal/test") || strings.HasPrefix(pkg, "cmd/theseus/internal/test")
}

func TestLayers(t *testing.T) {
	for _, s := range sources(t) {
		l := find(s.pkg)
		if l == nil {
			t.Errorf("%s: package %s is in no row of the table: say what it may import, and why", s.path, s.pkg)
			continue
		}
		for _, p := range imports(s) {
			if !l.allows(p) {
				t.Errorf("%s imports %s, which the row %q does not list.\n\tThe row's reason: %s", s.path, p, l.pkg, l.why)
			}
			if !testOnly(s.pkg) && testOnly(strings.TrimPrefix(p, module+"/")) {
				t.Errorf("%s imports %s, which is for tests only", s.path, p)
			}
		}
	}
}

// A table whose rows let everything through would pass TestLayers too.
func TestLayersRefuse(t *testing.T) {
	for _, c := range []struct{ pkg, imported string }{
		{"verify", module + "/release"},
		{"restart", module + "/updater"},
		{"restart/internal/conn", module + "/restart"},
		{"restart/internal/conn", "github.com/cloudflare/tableflip"},
		{"updater", module + "/restart"},
		{"updater", module + "/fleet"},
		{"fleet", "github.com/nats-io/nats.go"},
		{"updater", "github.com/cloudflare/tableflip"},
		{"updater", "github.com/minio/selfupdate"},
		{"cmd/hello", module + "/internal/state"},
		{"cmd/hello", module + "/internal/testrelease"},
		{"cmd/theseus", module + "/restart"},
		{"cmd/theseus/internal/publisher", module + "/internal/fetch"},
		{"cmd/theseus/internal/publisher", "github.com/spf13/cobra"},
		{"internal/fetch", module + "/internal/state"},
		{"internal/catalog", module + "/internal/state"},
		{"internal/installation", module + "/internal/catalog"},
		{"delta", module + "/verify"},
		{"delta/internal/executable", module + "/delta"},
	} {
		if find(c.pkg).allows(c.imported) {
			t.Errorf("%s may import %s", c.pkg, c.imported)
		}
	}
	if l := find("internal"); l != nil {
		t.Errorf("a package in no row is found in %q", l.pkg)
	}
}

// Verdicts must not depend on the machine that reaches them: a replay on the publisher's desk has to say what the client
// says, and a test what both say a year later.
func TestPure(t *testing.T) {
	banned := []string{"os", "os/*", "net", "net/http", "net/http/*", "syscall", "path/filepath", "io/ioutil", "log", "log/slog", "golang.org/x/sys/*"}
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	for _, s := range sources(t) {
		l := find(s.pkg)
		if l == nil || !l.pure {
			continue
		}
		for _, p := range imports(s) {
			for _, b := range banned {
				if ok, _ := path.Match(b, p); ok {
					t.Errorf("%s imports %s, but %s reaches neither files, network, processes nor logs", s.path, p, s.pkg)
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
				t.Errorf("%s: time.%s, but %s has no clock: the time is an argument", s.fset.Position(n.Pos()), sel.Sel.Name, s.pkg)
			}
			return true
		})
	}
}

// linked lists the modules besides ours that programs importing the packages link, over all systems that releases are
// built for.
func linked(t *testing.T, packages ...string) []string {
	t.Helper()
	var all []string
	for _, goos := range []string{"linux", "darwin", "windows", "freebsd"} {
		args := []string{"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}
		for _, p := range packages {
			args = append(args, module+"/"+p)
		}
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
		}
		all = append(all, strings.Fields(string(out))...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if !slices.Contains(all, module) {
		t.Fatalf("go list does not name %s itself: %q", module, all)
	}
	return slices.DeleteFunc(all, func(m string) bool { return m == module })
}

// deps lists the packages that a package of ours links on this system.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", module+"/"+pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

// What brings a program back works without keys and network, and what reads documents does not know where they are kept.
// The table above would not see what comes through a module of somebody else's.
func TestRoomsAreApart(t *testing.T) {
	for pkg, not := range map[string][]string{
		"internal/installation": {"net/http", "crypto/tls", module + "/verify", module + "/internal/fetch"},
		"internal/catalog":      {module + "/internal/swap", module + "/internal/state", module + "/internal/installation"},
	} {
		linked := deps(t, pkg)
		for _, p := range not {
			if slices.Contains(linked, p) {
				t.Errorf("%s links %s", pkg, p)
			}
		}
	}
	if !slices.Contains(deps(t, "internal/catalog"), "net/http") {
		t.Error("internal/catalog does not link net/http: this test would notice nothing")
	}
}

// The library goes into other people's programs: what it links, they have to review.
func TestLinkedModules(t *testing.T) {
	all := linked(t, "updater", "restart")
	var third []string
	for _, m := range all {
		if !strings.HasPrefix(m, "golang.org/x/") {
			third = append(third, m)
		}
	}
	t.Logf("updater and restart link %d modules, %d of them not golang.org/x: %s", len(all), len(third), strings.Join(all, " "))
	if len(third) > 8 {
		t.Errorf("updater and restart link %d modules besides golang.org/x, at most 8 are allowed: %s", len(third), strings.Join(third, " "))
	}
	if len(all) > 12 {
		t.Errorf("updater and restart link %d modules, at most 12 are allowed: %s", len(all), strings.Join(all, " "))
	}
}

// A command-line tool has nothing to hand over.
func TestUpdaterAloneLinksNoTableflip(t *testing.T) {
	const tableflip = "github.com/cloudflare/tableflip"
	if slices.Contains(linked(t, "updater"), tableflip) {
		t.Errorf("a program that imports only updater links %s", tableflip)
	}
	if !slices.Contains(linked(t, "restart"), tableflip) {
		t.Errorf("restart does not link %s: this test would notice nothing", tableflip)
	}
}

// Whatever lies in a repository opens by what follows from a root that a person has pinned. Whoever parses a trust document
// by its own keys believes whom it names, so that stands only where the root itself is read.
func TestNothingInARepositoryIsItsOwnWitness(t *testing.T) {
	const tool = "cmd/theseus/internal/"
	allowed := []string{"project.go", "earlier.go"} // the root; and what is believed because the root follows from it
	found := 0
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.pkg, tool+"publisher") && !strings.HasPrefix(s.pkg, tool+"audit") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "ParseTrust" {
				return true
			}
			found++
			if !slices.Contains(allowed, filepath.Base(s.path)) {
				t.Errorf("%s: verify.ParseTrust believes a document because it says so; walk from the root (catalog.Documents)", s.fset.Position(n.Pos()))
			}
			return true
		})
	}
	if found == 0 {
		t.Error("the root is read nowhere: this test looks in the wrong place")
	}
}
