package updater

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

func recovered(t *testing.T, path string) Recovery {
	t.Helper()
	r, err := Recover(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A release that dies before its Run is reached never counts its own starts: recover does.
func TestRecoverUndoesAfterThreeCountedStarts(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	for start := 1; start <= 3; start++ {
		if r := recovered(t, c.path); r.Installed != "1.1.0" || r.Starts != start || len(r.Done) != 0 {
			t.Fatalf("start %d: %+v", start, r)
		}
		c.holds("1.1.0")
	}
	r := recovered(t, c.path)
	if r.Installed != "1.0.0" || !r.Proved || len(r.Done) != 1 || !strings.Contains(r.Done[0], "undone 1.1.0") {
		t.Fatalf("fourth start: %+v", r)
	}
	c.holds("1.0.0")
	if r := recovered(t, c.path); r.Installed != "1.0.0" || len(r.Done) != 0 {
		t.Fatalf("a fifth start: %+v", r)
	}
}

func TestRecoverAndRunCountOneStartOnce(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	for start := 1; start <= 3; start++ {
		recovered(t, c.path)
		if _, err := again(t, repo, c.path, "1.1.0").countStart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := c.state().Installed.Starts; n != start {
			t.Fatalf("start %d was counted as %d", start, n)
		}
	}
}

// Whoever is killed while he writes leaves half of a file. Somebody who comes by often, as recover before each start
// does, would fill the folder if nobody swept before the next update.
func TestRecoverSweepsUnfinishedWrites(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	home := filepath.Join(filepath.Dir(c.path), "."+filepath.Base(c.path)+".theseus")
	staged := filepath.Join(home, "staged-"+strings.Repeat("ab", 32)+".0123456789abcdef.tmp")
	half := filepath.Join(home, "state.0123456789abcdef.tmp")
	for _, path := range []string{staged, half} {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	recovered(t, c.path)
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half of a state file stays: %v", err)
	}
	if _, err := os.Stat(staged); err != nil {
		t.Errorf("a download that can be resumed is gone: %v", err)
	}
	if err := os.Remove(staged); err != nil {
		t.Fatal(err)
	}
	c.holds("1.1.0")
}

func TestRecoverWithoutAFileAtThePath(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	// As where a running file must be moved aside, and the machine dies between the two renames of an undo.
	st := c.state()
	st.Journal = &state.Journal{Step: state.Undo, From: *st.Installed, To: *st.Previous, Cause: text.Of("crashed"), Started: time.Now()}
	save(t, c, st)
	if err := os.Remove(c.path); err != nil {
		t.Fatal(err)
	}
	r := recovered(t, c.path)
	if r.Installed != "1.0.0" || len(r.Done) != 1 {
		t.Fatalf("%+v", r)
	}
	c.holds("1.0.0")
}

func save(t *testing.T, c *client, st *state.State) {
	t.Helper()
	lock, err := state.TryLock(c.disk.Home)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lock.Unlock(); err != nil {
			t.Error(err)
		}
	}()
	if err := lock.Save(st); err != nil {
		t.Fatal(err)
	}
}

func TestRecoverOfAProgramNobodyUpdated(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	if r := recovered(t, c.path); r.Installed != "" || len(r.Done) != 0 || r.Busy != nil {
		t.Errorf("%+v", r)
	}
	if _, err := Recover(t.Context(), c.path+".missing", nil); err == nil {
		t.Error("no error for a program that is not there")
	}
}
