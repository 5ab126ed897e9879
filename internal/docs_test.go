package internal_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// documents lists every Markdown file of the repository.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(paths, filepath.Join("..", "README.md")) {
		t.Fatalf("no README among %q: this test looks in the wrong place", paths)
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var link = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)

func TestDocumentLinks(t *testing.T) {
	files, anchors := 0, 0
	for _, path := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := path
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(path), m[1])
				files++
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			} else if m[2] != "" && strings.HasSuffix(target, ".md") {
				anchors++
				if !slices.Contains(headings(read(t, target)), m[2]) {
					t.Errorf("%s links to %s, and there is no such heading in %s", path, m[2], target)
				}
			}
		}
	}
	if files == 0 || anchors == 0 {
		t.Fatalf("found %d links to files and %d to headings: this test looks for the wrong thing", files, anchors)
	}
}

// headings are the anchors that GitHub gives the headings of a document.
func headings(document string) (anchors []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		text := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, "#"+strings.ReplaceAll(text, " ", "-"))
	}
	return anchors
}

// The index is how people find the rest.
func TestDocumentIndex(t *testing.T) {
	index := read(t, "../doc/README.md")
	for _, path := range documents(t) {
		if rel, err := filepath.Rel("../doc", path); err == nil && !strings.HasPrefix(rel, "..") && rel != "README.md" {
			if !strings.Contains(index, "("+filepath.ToSlash(rel)+")") {
				t.Errorf("doc/README.md does not list %s", rel)
			}
		}
	}
}

// fenced returns the code blocks of one language.
func fenced(document, language string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```\n").FindAllStringSubmatch(document, -1) {
		blocks = append(blocks, m[1]+"\n")
	}
	return blocks
}

// The server in the README is doc/example, which is a program: it is built here, and asked what a new release is asked.
func TestReadmeServer(t *testing.T) {
	t.Parallel()
	source := read(t, "../doc/example/main.go")
	_, source, _ = strings.Cut(source, "\n") // the package comment is for those who open the file
	blocks := fenced(read(t, "../README.md"), "go")
	if len(blocks) == 0 {
		t.Fatal("the README shows no Go program")
	}
	if blocks[0] != source {
		t.Errorf("the first Go program in the README is not doc/example/main.go without its first line: copy it there")
	}
	exe := filepath.Join(t.TempDir(), "example")
	if runtime.GOOS == "windows" {
		exe += ".exe"
	}
	if err := testenv.Build(exe, "../doc/example", "-ldflags", "-X main.version=1.2.3"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(exe, "--version").Output(); err != nil || string(out) != "1.2.3\n" {
		t.Fatalf("--version printed %q, %v", out, err)
	}
}

// The release in the README is made here by its own words, from its own program, in a module that is not ours.
func TestReadmeRelease(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "bash")
	_, section, _ := strings.Cut(read(t, "../README.md"), "\n## A release\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := fenced(section, "sh")
	if len(blocks) != 1 || !strings.Contains(blocks[0], "theseus publish") {
		t.Fatalf("the README should show how a release is made in one sh block, found %q", blocks)
	}
	dir, root := t.TempDir(), filepath.Dir(wd(t))
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	mod := read(t, "../go.mod")
	_, requirements, _ := strings.Cut(mod, "require (")
	for name, content := range map[string]string{
		"go.mod":  "module hello\n\ngo 1.26.0\n\nreplace " + module + " => " + root + "\n\nrequire " + module + " v0.0.0\n\nrequire (" + requirements,
		"go.sum":  read(t, "../go.sum"),
		"main.go": read(t, "../doc/example/main.go"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := testenv.Build(filepath.Join(dir, "bin", "theseus"), "../cmd/theseus"); err != nil {
		t.Fatal(err)
	}
	run("bash", "-euc", strings.ReplaceAll(blocks[0], "linux/amd64", runtime.GOOS+"/"+runtime.GOARCH))
	if out := run("./hello", "--version"); out != "1.1.0\n" {
		t.Errorf("what was published says that it is %q", out)
	}
	for _, name := range []string{"theseus.key", "theseus.pub", "dl/stable", "dl/releases/1.1.0.manifest"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
}

func wd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// required are the rows that the first release promises; others may be in the table too.
var required = func() (ids []string) {
	for _, r := range []struct {
		letter   string
		from, to int
	}{
		{"A", 1, 6}, {"A", 8, 10}, {"A", 12, 16}, {"A", 32, 32},
		{"P", 1, 6}, {"P", 8, 9}, {"P", 12, 13}, {"P", 17, 17},
		{"F", 3, 3}, {"F", 5, 6}, {"F", 17, 17}, {"F", 20, 20}, {"F", 32, 32}, {"F", 35, 35},
		{"H", 1, 7}, {"H", 11, 11},
		{"R", 1, 14}, {"R", 16, 21},
	} {
		for n := r.from; n <= r.to; n++ {
			ids = append(ids, fmt.Sprintf("%s%02d", r.letter, n))
		}
	}
	return ids
}()

// A row of doc/threats.md names the tests that prove it as `package TestName`, or `package TestName/row` where the row is
// the beginning of a subtest's name in the source.
var (
	threat = regexp.MustCompile(`(?m)^\| ([APNFHR]\d\d) \|.*$`)
	proof  = regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)\\w+)(?:/([^`]+))?`")
)

// A table of defences that names tests which are gone would comfort and prove nothing.
func TestThreatsAreProved(t *testing.T) {
	sources := map[string]string{} // package -> all its tests
	source := func(pkg string) string {
		if s, ok := sources[pkg]; ok {
			return s
		}
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pkg), "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("package %s has no tests (%v)", pkg, err)
		}
		var all strings.Builder
		for _, f := range files {
			all.WriteString(read(t, f))
		}
		if strings.Contains(all.String(), "range testattack.All()") { // its subtests are the rows of that table
			table, err := filepath.Glob("testattack/*.go")
			if err != nil || len(table) == 0 {
				t.Errorf("there is no table of attacks (%v)", err)
			}
			for _, f := range table {
				all.WriteString(read(t, f))
			}
		}
		sources[pkg] = all.String()
		return sources[pkg]
	}
	proved := map[string]bool{}
	for _, row := range threat.FindAllStringSubmatch(read(t, "../doc/threats.md"), -1) {
		id := row[1]
		proofs := proof.FindAllStringSubmatch(row[0], -1)
		if len(proofs) == 0 {
			t.Errorf("%s names no test", id)
		}
		for _, p := range proofs {
			pkg, name, sub := p[1], p[2], p[3]
			if !strings.Contains(source(pkg), "func "+name+"(") {
				t.Errorf("%s: there is no %s in %s", id, name, pkg)
			}
			if sub != "" && !strings.Contains(source(pkg), `"`+sub) {
				t.Errorf("%s: %s in %s has no row that begins with %q", id, name, pkg, sub)
			}
		}
		proved[id] = len(proofs) > 0
	}
	for _, id := range required {
		if !proved[id] {
			t.Errorf("doc/threats.md proves no %s", id)
		}
	}
}
