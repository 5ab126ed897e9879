package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
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
	if want := "was built for " + runtime.GOOS + "/" + runtime.GOARCH + ", and --artifact says plan9/386"; code != exitError || !strings.Contains(said, want) {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// Two publishers at once: one works, the other is told so, and both can finish in the end.
func TestPublishersTakeTurns(t *testing.T) {
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	write(t, filepath.Join(dir, "a"), []byte("a"))
	const publishers = 6
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			for range 500 {
				code, said := theseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", fmt.Sprintf("1.%d.0", i),
					"--channel", fmt.Sprintf("c%d", i%2), "--key", "theseus.key", "--artifact", "linux/amd64=a", "--allow-downgrade")
				if code == 0 {
					return
				}
				if code != exitBusy {
					t.Errorf("exit code %d: %s", code, said)
					return
				}
			}
			t.Error("never got its turn")
		})
	}
	wg.Wait()
	said := mustTheseus(t, dir, "verify", "--repo", "dl", "--key", "theseus.pub")
	if n := strings.Count(said, "sequence 3,"); n != 2 { // 3 publishers for each of 2 channels: no sequence number twice or left out
		t.Errorf("want two channels at sequence 3:\n%s", said)
	}
}

// TestPublishKilledAnywhere kills publish before each of its file operations. Clients must see all of the old state or
// all of the new one, and to run the same command again must finish it and leave nothing over.
func TestPublishKilledAnywhere(t *testing.T) {
	testenv.Need(t, "strace")
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	write(t, filepath.Join(dir, "old"), []byte("old"))
	write(t, filepath.Join(dir, "new"), bytes.Repeat([]byte("new "), 1000)) // stored compressed
	random := make([]byte, 100)
	rand.Read(random)
	write(t, filepath.Join(dir, "raw"), random) // stored as it is
	bin, err := exec.LookPath("theseus")
	if err != nil {
		t.Fatal(err)
	}
	next := []string{"publish", "--repo", "dl", "--app", "hello", "--version", "1.1.0", "--channel", "stable", "--key", "theseus.key",
		"--artifact", "linux/amd64=new", "--artifact", "linux/arm64=raw"}
	killed := 0
	for _, call := range []string{"renameat", "fsync", "openat", "mkdirat"} {
		for n := 1; ; n++ {
			if err := os.RemoveAll(filepath.Join(dir, "dl")); err != nil {
				t.Fatal(err)
			}
			mustTheseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", "1.0.0", "--channel", "stable", "--key", "theseus.key", "--artifact", "linux/amd64=old")
			// -P: only operations on the repository count, not those of the runtime.
			c := exec.CommandContext(context.Background(), "strace", append([]string{"-f", "-qq", "-o", os.DevNull, "-P", "dl", "-P", "dl/files", "-P", "dl/releases",
				"-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), bin}, next...)...)
			c.Dir = dir
			out, err := c.CombinedOutput()
			if err == nil {
				break // there are fewer than n such calls
			}
			if !strings.Contains(err.Error(), "killed") {
				t.Fatalf("%s %d: %v: %s", call, n, err, out)
			}
			killed++
			where := fmt.Sprintf("killed at %s %d", call, n)
			if code, said := theseus(t, dir, "verify", "--repo", "dl", "--key", "theseus.pub", "--channel", "stable"); code != 0 {
				t.Fatalf("%s: clients see a broken repository: %s", where, said)
			}
			mustTheseus(t, dir, next...)
			said := mustTheseus(t, dir, "verify", "--repo", "dl", "--key", "theseus.pub")
			if !strings.Contains(said, "sequence 2, 2 releases") || !strings.Contains(said, "6 files checked") {
				t.Fatalf("%s, then again: %s", where, said)
			}
			left, err := exec.Command("find", filepath.Join(dir, "dl"), "-type", "f").Output()
			if err != nil {
				t.Fatal(err)
			}
			if files := strings.Fields(string(left)); len(files) != 6 {
				t.Fatalf("%s, then again: something is left over: %s", where, files)
			}
		}
	}
	if killed < 8 {
		t.Fatalf("killed only %d times: the injection does not work here", killed)
	}
	t.Logf("killed %d times", killed)
}
