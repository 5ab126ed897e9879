package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/theseus-go/theseus/internal/testenv"
)

// section is what a page has under a heading, up to the next one.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(string(read(t, filepath.Join("..", "..", page))), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", page, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// newcomer is an empty folder with the program of README in it.
func newcomer(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	code := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(section(t, "README.md", "A server that updates itself"))
	if code == nil {
		t.Fatal("README has no program")
	}
	text := strings.Replace(code[1], "https://dl.example.com/hello", source, 1)
	if text == code[1] {
		t.Fatal("the program of README has another source")
	}
	write(t, filepath.Join(dir, "main.go"), []byte(text))
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	const library = "github.com/theseus-go/theseus"
	mod := strings.Replace(string(read(t, filepath.Join(root, "go.mod"))), "module "+library, "module example.com/hello", 1)
	mod += fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", library, library, root)
	write(t, filepath.Join(dir, "go.mod"), []byte(mod))
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
	return dir
}

// The way of a newcomer from a program to an installation that has updated itself, as README shows it.
func TestNewcomer(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long) // builds a program twice
	testenv.NeedOS(t, "linux", "darwin", "freebsd")
	testenv.Need(t, "sh", "go")
	b := newBucket(t)
	_, server, _ := strings.Cut(b.address, "endpoint=")
	dir := newcomer(t, server+"/releases/hello")
	blocks := shellBlock.FindAllStringSubmatch(section(t, "README.md", "From nothing to an update"), -1)
	if len(blocks) != 1 {
		t.Fatalf("README has %d blocks of commands there", len(blocks))
	}
	commands := 0
	for line := range strings.Lines(strings.ReplaceAll(blocks[0][1], "\\\n", "")) {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			commands++
		}
	}
	if commands > 6 {
		t.Errorf("a newcomer types %d commands, and 6 are promised", commands)
	}
	c := exec.Command("sh", "-e", "-x", "-c", blocks[0][1])
	c.Dir = dir
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"),
		"S3="+server, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(filepath.Join(dir, "hello"), "--version").Output(); err != nil || string(out) != "1.1.0\n" {
		t.Errorf("the installation says %q, %v", out, err)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// The steps of the workflow that init writes, run as a runner would: from a clone of the tag, with the lock of the default
// branch, which knows more.
func TestWorkflowThatInitWrites(t *testing.T) {
	testenv.Need(t, "sh", "git", "go")
	t.Parallel()
	home, origin, www := t.TempDir(), filepath.Join(t.TempDir(), "origin"), filepath.Join(t.TempDir(), "www")
	env := append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME=", "GIT_CONFIG_SYSTEM="+os.DevNull, "GIT_CONFIG_GLOBAL="+filepath.Join(home, "gitconfig"),
		"GOCACHE="+goEnv(t, "GOCACHE"), "GOFLAGS=", "GOWORK=off", "BRANCH=main")
	write(t, filepath.Join(home, "gitconfig"), []byte("[user]\nname = test\nemail = test@localhost\n[init]\ndefaultBranch = main\n"))
	run := func(dir, script string, more ...string) string {
		t.Helper()
		c := exec.Command("sh", "-e", "-c", script)
		c.Dir, c.Env = dir, append(env, more...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", script, err, out)
		}
		return string(out)
	}
	project := t.TempDir()
	write(t, filepath.Join(project, "go.mod"), []byte("module example.com/hello\n\ngo 1.26\n"))
	write(t, filepath.Join(project, "main.go"), []byte("package main\n\nvar version string\n\nfunc main() { print(\"hello \" + version + \"\\n\") }\n"))
	run(project, "theseus init --remote "+www+" && theseus init --ci github")
	run(project, "git init -q --bare "+origin+" && git init -q && git remote add origin "+origin+" && git add -A && git commit -qm one && git tag v1.0.0 && git push -q origin main v1.0.0")

	var w struct {
		Concurrency struct{ Group string }
		Jobs        map[string]struct {
			Steps []struct{ Name, Run string }
		}
	}
	if err := yaml.Unmarshal(read(t, filepath.Join(project, ".github", "workflows", "theseus.yml")), &w); err != nil {
		t.Fatal(err)
	}
	if w.Concurrency.Group == "" {
		t.Error("two runs may sign at once")
	}
	key := "THESEUS_KEY=" + string(read(t, filepath.Join(home, ".config", "theseus", "hello.key")))
	job := func(name, ref string) {
		t.Helper()
		clone := filepath.Join(t.TempDir(), "clone")
		run(home, "git clone -q --branch "+ref+" "+origin+" "+clone)
		steps := 0
		for _, step := range w.Jobs[name].Steps {
			if step.Run == "" || step.Name == "install theseus" {
				continue
			}
			steps++
			run(clone, step.Run, key, "TAG="+ref, "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH)
		}
		if steps == 0 {
			t.Fatalf("no steps in %s", name)
		}
	}
	job("publish", "v1.0.0")
	job("verify", "main")
	// A withdrawal that the tag to come knows nothing of, and somebody at the remote who takes it back: the lock of the default
	// branch knows it, and the workflow stops before it signs.
	served := filepath.Join(www, "stable")
	old := read(t, served)
	run(project, "git pull -q origin main && theseus pull && theseus yank --version 1.0.0 --reason bad && theseus push && git commit -qam yank && git push -q origin main")
	run(project, "git tag v1.1.0 v1.0.0 && git push -q origin v1.1.0")
	newest := read(t, served)
	write(t, served, old)
	clone := filepath.Join(t.TempDir(), "clone")
	run(home, "git clone -q --branch v1.1.0 "+origin+" "+clone)
	stopped := false
	for _, step := range w.Jobs["publish"].Steps {
		if step.Name != "take the lock of the default branch" && step.Name != "publish" {
			continue
		}
		c := exec.Command("sh", "-e", "-c", step.Run)
		c.Dir, c.Env = clone, append(env, key, "TAG=v1.1.0")
		if out, err := c.CombinedOutput(); err != nil {
			stopped = step.Name == "publish" && strings.Contains(string(out), "looks like a replay")
		}
	}
	if !stopped {
		t.Error("an old channel is built upon by a workflow of a tag that knows no better")
	}
	write(t, served, newest)
	job("publish", "v1.1.0")
	job("refresh", "main")
	job("verify", "main")
	if said := run(project, "git pull -q origin main && theseus inspect "+www+"/stable"); !strings.Contains(said, "yanked") || !strings.Contains(said, "1.1.0") {
		t.Errorf("what is served:\n%s", said)
	}
}
