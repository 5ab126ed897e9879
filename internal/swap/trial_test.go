package swap_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/swap"
)

func sealed(t *testing.T, target *swap.Target) *os.File {
	t.Helper()
	must(t, target.Prepare(0))
	f, err := stage(target, program("2.0.0"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// A file that is tried out lies beside the program, and is put in its place by its only name.
func TestLend(t *testing.T) {
	target := install(t)
	f := sealed(t, target)
	before := names(t, target.Dir)
	path, take, err := target.Lend(f)
	must(t, err)
	if filepath.Dir(path) != target.Dir || !strings.HasPrefix(filepath.Base(path), ".app.theseus.") {
		t.Errorf("it lies at %s", path)
	}
	if out, err := exec.Command(path).Output(); err != nil || strings.TrimSpace(string(out)) != "2.0.0" {
		t.Errorf("it says %q, %v", out, err)
	}
	if err := target.Replace(f, idOf(program("2.0.0"))); !errors.Is(err, swap.ErrNotSealed) {
		t.Errorf("it is put in place by one of two names: %v", err)
	}
	must(t, take())
	if after := names(t, target.Dir); !slices.Equal(after, before) {
		t.Errorf("beside the program: %v", after)
	}
	must(t, target.Replace(f, idOf(program("2.0.0"))))
	whole(t, target, "2.0.0")
}

// What was written to the file while it was tried out is not put in place.
func TestF40LentFileIsHashedAgain(t *testing.T) {
	target := install(t)
	f := sealed(t, target)
	path, take, err := target.Lend(f)
	must(t, err)
	must(t, os.WriteFile(path, program("6.6.6"), 0o755))
	must(t, take())
	if err := target.Replace(f, idOf(program("2.0.0"))); !errors.Is(err, swap.ErrChanged) {
		t.Errorf("%v", err)
	}
	whole(t, target, "1.0.0")
}

// A process that is killed during a trial leaves a name behind; the next one removes it before it uses the file.
func TestF40LentNameIsSwept(t *testing.T) {
	target := install(t)
	f := sealed(t, target)
	_, _, err := target.Lend(f)
	must(t, err)
	want := idOf(program("2.0.0"))
	if again, err := target.Staged(want); err != nil || again != nil {
		t.Errorf("a file of two names is gone on with: %v, %v", again, err)
	}
	must(t, target.Tidy(content.Digest{}))
	if got := names(t, target.Dir); len(got) != 2 {
		t.Errorf("beside the program: %v", got)
	}
	again, err := target.Staged(want)
	must(t, err)
	if again == nil {
		t.Fatal("the file is lost")
	}
	again.Close()
}

// In its place the file has the program's path, and nobody else sees it there.
func TestInPlace(t *testing.T) {
	target := install(t)
	f := sealed(t, target)
	var out []byte
	done, err := target.InPlace(f, func() { out, _ = exec.Command(target.Path).Output() })
	must(t, err)
	if !done {
		if os.Geteuid() == 0 {
			t.Log("this system lets root make no mounts")
		}
		return
	}
	if strings.TrimSpace(string(out)) != "2.0.0" {
		t.Errorf("it says %q", out)
	}
	whole(t, target, "1.0.0")
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(target.Path)) {
		t.Errorf("it is mounted for everybody (%v)", err)
	}
	must(t, target.Replace(f, idOf(program("2.0.0"))))
	whole(t, target, "2.0.0")
}
