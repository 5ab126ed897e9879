package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/audit"
	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
	"github.com/theseus-go/theseus/verify"
)

// theseus runs the command in dir and returns its exit code and what it said.
func theseus(t *testing.T, dir string, args ...string) (code int, said string) {
	t.Helper()
	c := exec.Command("theseus", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

func mustTheseus(t *testing.T, dir string, args ...string) string {
	t.Helper()
	code, said := theseus(t, dir, args...)
	if code != 0 {
		t.Fatalf("theseus %s: exit code %d: %s", strings.Join(args, " "), code, said)
	}
	return said
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The mix-up of two platforms' files would reach every machine of a platform.
func TestPublishRefusesAnotherPlatformsProgram(t *testing.T) {
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, said := theseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", "1.0.0", "--channel", "stable",
		"--key", "theseus.key", "--artifact", "plan9/386="+self)
	if want := "was built for " + runtime.GOOS + "/" + runtime.GOARCH + ", and --artifact says plan9/386"; code != ui.ExitError || !strings.Contains(said, want) {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// Two publishers at once: one works, the other is told so, and both can finish in the end.
func TestPublishersTakeTurns(t *testing.T) {
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	write(t, filepath.Join(dir, "a"), []byte("a"))
	const publishers = 6
	signed := make(chan string, publishers)
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			for range 500 {
				code, said := theseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", fmt.Sprintf("1.%d.0", i),
					"--channel", fmt.Sprintf("c%d", i%2), "--key", "theseus.key", "--artifact", "linux/amd64=a", "--allow-downgrade", "--allow", "not-a-program,new-channel", "--json")
				if code == 0 {
					signed <- regexp.MustCompile(`"channel":"c.","sequence":\d+`).FindString(said)
					return
				}
				if code != ui.ExitBusy {
					t.Errorf("exit code %d: %s", code, said)
					return
				}
			}
			t.Error("never got its turn")
		})
	}
	wg.Wait()
	close(signed)
	once := map[string]bool{}
	for s := range signed {
		if s == "" || once[s] {
			t.Errorf("signed twice: %q", s)
		}
		once[s] = true
	}
	said := mustTheseus(t, dir, "verify", "--repo", "dl", "--key", "theseus.pub")
	if n := strings.Count(said, ".manifest"); n != publishers {
		t.Errorf("%d of %d releases are there:\n%s", n, publishers, said)
	}
}

// sequenceOf is the sequence that a channel claims.
func sequenceOf(t *testing.T, path string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := publisher.Peek(b)
	if err != nil {
		t.Fatal(err)
	}
	return c.Sequence
}

// A publish of a second release with two files, one of which is stored compressed, that is broken at each of its file
// operations: clients must see all of the old state or all of the new one, and the same command must finish it.
func brokenPublish(t *testing.T) testfault.Program {
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	write(t, filepath.Join(dir, "old"), []byte("old"))
	write(t, filepath.Join(dir, "new"), bytes.Repeat([]byte("new "), 1000))
	random := make([]byte, 100)
	rand.Read(random)
	write(t, filepath.Join(dir, "raw"), random)
	before, work := filepath.Join(dir, "before"), filepath.Join(dir, "work")
	if err := os.Mkdir(before, 0o755); err != nil {
		t.Fatal(err)
	}
	mustTheseus(t, before, "publish", "--repo", "dl", "--app", "hello", "--version", "1.0.0", "--channel", "stable",
		"--key", "../theseus.key", "--allow", "not-a-program", "--artifact", "linux/amd64=../old")
	first := sequenceOf(t, filepath.Join(before, "dl", "stable"))
	repo := filepath.Join(work, "dl")
	args := []string{"publish", "--repo", "dl", "--app", "hello", "--version", "1.1.0", "--channel", "stable", "--key", "../theseus.key",
		"--allow", "not-a-program", "--artifact", "linux/amd64=../new", "--artifact", "linux/arm64=../raw"}
	text, err := os.ReadFile(filepath.Join(dir, "theseus.pub"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := verify.ParseTrust(string(text))
	if err != nil {
		t.Fatal(err)
	}
	check := func(channels ...string) *audit.Report {
		r, err := audit.Verify(t.Context(), audit.Options{Repo: repo, Root: root, Channels: channels})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	return testfault.Program{
		Every: testenv.Pick(4, 1, 1),
		Command: func(tb testing.TB) *exec.Cmd {
			if err := errors.Join(os.RemoveAll(work), os.CopyFS(work, os.DirFS(before))); err != nil {
				tb.Fatal(err)
			}
			c := exec.Command("theseus", args...)
			c.Dir = work
			c.Env = append(os.Environ(), "GOMAXPROCS=1") // one file after the other: the same points in each run
			return c
		},
		Check: func(tb testing.TB, r testfault.Run) {
			if r.Errno != 0 && r.State.Exit != 0 && !strings.HasPrefix(r.Out, "theseus: ") {
				tb.Errorf("it did not say what was wrong: %s", r.Out)
			}
			seen := check("stable")
			if !seen.OK {
				tb.Errorf("clients see a broken repository: %+v", seen.Checks)
			}
			if r.Errno != 0 && r.State.Exit == 0 && sequenceOf(t, filepath.Join(repo, "stable")) <= first {
				tb.Errorf("it said that it published, and did not")
			}
			again := exec.Command("theseus", args...)
			again.Dir = work
			if out, err := again.CombinedOutput(); err != nil {
				tb.Errorf("again: %v: %s", err, out)
			}
			if again := check(); !again.OK || len(again.Checks) != 6 || !strings.Contains(again.Checks[0].Detail, ", 2 releases") || sequenceOf(t, filepath.Join(repo, "stable")) <= first {
				tb.Errorf("again: %+v", again.Checks)
			}
			if left := strings.Count(tree(repo), "-rw-r--r--"); left != 6 {
				tb.Errorf("again: something is left over:\n%s", tree(repo))
			}
		},
	}
}

func TestPublishKilledAnywhere(t *testing.T) {
	t.Parallel()
	t.Logf("killed at %d points", brokenPublish(t).Kill(t))
}

func TestPublishFailsAnywhere(t *testing.T) {
	t.Parallel()
	t.Logf("failed at %d points", brokenPublish(t).Fail(t, syscall.EIO))
}
