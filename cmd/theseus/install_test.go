package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// No version of a module can be downloaded that has a file with a name that Windows reserves.
func TestFileNamesThatModulesMayHave(t *testing.T) { checkFileNames(t, filepath.Join("..", "..")) }

// TestInstallsByVersion tags this tree as .ci/tag tags a release, in a repository of its own, and installs the tool from
// there by its version, as people do. A go.mod with a replace, or a file name that a module may not have, shows up here and
// nowhere else before the day of the release.
func TestInstallsByVersion(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long) // compiles all of the tool once more
	testenv.Need(t, "git", "go", "bash")
	t.Parallel()
	root, dir := filepath.Join("..", ".."), t.TempDir()
	source, published := filepath.Join(dir, "source"), filepath.Join(dir, "published")
	run := func(in, name string, args ...string) string {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = in
		c.Env = append(os.Environ(),
			"GIT_CONFIG_GLOBAL="+filepath.Join(dir, "gitconfig"), "GIT_CONFIG_SYSTEM="+os.DevNull, "GIT_ALLOW_PROTOCOL=file",
			"GOBIN="+filepath.Join(dir, "bin"), "GOMODCACHE="+filepath.Join(dir, "modules"), "GOFLAGS=-modcacherw", "GOWORK=",
			"GOPROXY=file://"+filepath.ToSlash(filepath.Join(modules(t), "cache", "download")), // what others wrote was downloaded already
			"GOPRIVATE=github.com/theseus-go", "GONOSUMDB=*")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	write(t, filepath.Join(dir, "gitconfig"), []byte("[user]\nname = test\nemail = test@localhost\n[url \"file://"+filepath.ToSlash(published)+"\"]\ninsteadOf = https://github.com/theseus-go/theseus\n"))

	copyTree(t, root, source)
	run(source, "git", "init", "--quiet")
	run(source, "git", "add", "--all")
	run(source, "git", "commit", "--quiet", "--message", "this tree")
	run(dir, "git", "init", "--quiet", "--bare", published)
	run(source, "git", "remote", "add", "origin", published)
	for _, step := range [][]string{{"v0.1.0"}, {"v0.1.0", "tools"}} {
		run(source, "bash", append([]string{filepath.Join(".ci", "tag")}, step...)...)
	}
	run(dir, "go", "install", "github.com/theseus-go/theseus/cmd/theseus@v0.1.0")
	if out := run(dir, filepath.Join(dir, "bin", "theseus"), "--help"); !strings.Contains(out, "theseus keygen") {
		t.Errorf("what was installed says %q", out)
	}
	if left := run(source, "git", "status", "--porcelain") + run(source, "git", "worktree", "list"); strings.Count(left, "\n") != 1 {
		t.Errorf("tagging left something behind:\n%s", left)
	}
}

// checkFileNames refuses names that Windows reserves: one of them in the tree, and no version of the module can be downloaded.
func checkFileNames(t *testing.T, root string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".git" && d.IsDir() {
			return filepath.SkipDir
		}
		files++
		if reserved.MatchString(d.Name()) {
			t.Errorf("%s has a name that Windows reserves, so that go refuses to download the module: rename it", path)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("looked at %d files: %v", files, err)
	}
}

var reserved = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)`)

// modules is the module cache that this test was built from.
func modules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// copyTree copies what git would: everything but what belongs to git itself.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.Name() == ".git":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}
