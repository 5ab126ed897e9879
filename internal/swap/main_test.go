package swap_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/aside"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/text"
)

// The test binary is also the program that is killed, failed and run as another user: with THESEUS_SWAP in its environment
// it does that one thing to the executable named by its first argument.
func TestMain(m *testing.M) {
	if do := os.Getenv("THESEUS_SWAP"); do != "" {
		if err := child(do, os.Args[1]); err != nil {
			fmt.Println(err)
			switch {
			case errors.Is(err, state.ErrBusy):
				os.Exit(7)
			case errors.Is(err, fs.ErrPermission):
				os.Exit(6)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(do, path string) error {
	t, err := swap.Open(path)
	if err != nil {
		return err
	}
	t.Aside = aside.Commit
	if os.Getenv("THESEUS_ASIDE") != "" {
		t.MoveAside()
	}
	switch do {
	case "update":
		return update(t, program("2.0.0"), "2.0.0")
	case "rollback":
		return rollback(t)
	case "settle":
		return settle(t)
	case "prepare":
		return t.Prepare(1 << 20)
	case "rehearse":
		return t.Rehearse(1 << 20)
	case "replace":
		return replace(t, program("2.0.0"))
	case "restore":
		return t.Restore(idOf(program("1.0.0")))
	}
	return fmt.Errorf("no such thing to do: %s", do)
}

func command(do string, t *swap.Target) *exec.Cmd {
	cmd := exec.Command(os.Args[0], t.Path)
	cmd.Env = append(os.Environ(), "THESEUS_SWAP="+do, "GORACE=atexit_sleep_ms=0")
	cmd.Dir = t.Dir
	return cmd
}

// program is a real executable that says its version, big enough for several writes and disk blocks.
func program(version string) []byte {
	return []byte("#!/bin/sh\necho " + version + "\nexit 0\n" + strings.Repeat("# "+version+" padding\n", 20000))
}

func idOf(b []byte) content.ID { return content.ID{Size: int64(len(b)), SHA256: sha256.Sum256(b)} }

// install puts a program of version 1.0.0 into a folder of its own.
func install(tb testing.TB) *swap.Target {
	tb.Helper()
	return installIn(tb, memory(tb))
}

// memory is a folder in memory where there is one: a kill leaves there what it leaves on a disk, and fsync costs nothing.
func memory(tb testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "theseus")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func installIn(tb testing.TB, dir string) *swap.Target {
	tb.Helper()
	path := filepath.Join(dir, "app")
	if err := os.WriteFile(path, program("1.0.0"), 0o755); err != nil {
		tb.Fatal(err)
	}
	must(tb, os.Chmod(path, 0o755))
	t, err := swap.Open(path)
	must(tb, err)
	t.Aside = aside.Commit
	return t
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// stage downloads, so to say.
func stage(t *swap.Target, content []byte) (*os.File, error) {
	f, err := t.Create(sha256.Sum256(content))
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(content, 100<<10) {
		if _, err := f.Write(part); err != nil {
			return nil, errors.Join(t.Explain(err), f.Close(), os.Remove(f.Name()))
		}
	}
	sealed, err := t.Seal(f)
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return sealed, nil
}

func replace(t *swap.Target, content []byte) error {
	if err := t.Prepare(int64(len(content))); err != nil {
		return err
	}
	sealed, err := stage(t, content)
	if err != nil {
		return err
	}
	defer sealed.Close()
	if err := t.Replace(sealed, idOf(content)); err != nil {
		os.Remove(sealed.Name())
		return err
	}
	return nil
}

// update is an update as package updater makes it: lock, settle, stage, journal, replace, record, sweep.
func update(t *swap.Target, content []byte, version string) (err error) {
	if err := t.Prepare(0); err != nil {
		return err
	}
	lock, err := state.TryLock(t.Home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	s, err := settled(t, lock)
	if err != nil {
		return err
	}
	if err := t.Rehearse(int64(len(content))); err != nil {
		return err
	}
	sealed, err := stage(t, content)
	if err != nil {
		return err
	}
	defer sealed.Close()
	_, take, err := t.Lend(sealed)
	if err == nil {
		err = take()
	}
	if err != nil {
		return errors.Join(err, os.Remove(sealed.Name()))
	}
	at, err := t.Identify()
	if err != nil {
		return err
	}
	from := state.File{Version: "1.0.0", ID: at, Proved: true}
	if s.Installed != nil && s.Installed.ID == at {
		from = *s.Installed
	}
	s.Journal = &state.Journal{Step: state.Swap, From: from, To: state.File{Version: version, ID: idOf(content)}, Started: time.Now().UTC()}
	if err := lock.Save(s); err != nil {
		return errors.Join(err, os.Remove(sealed.Name()))
	}
	if err := t.Replace(sealed, idOf(content)); err != nil {
		_, serr := settled(t, lock)
		return errors.Join(err, serr)
	}
	s.Swapped(*s.Journal)
	s.Trim(1)
	s.Installed.Proved = true
	if err := lock.Save(s); err != nil {
		return err
	}
	return t.Sweep(s.Keep()...)
}

func rollback(t *swap.Target) (err error) {
	lock, err := state.TryLock(t.Home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	s, err := settled(t, lock)
	if err != nil {
		return err
	}
	if s.Previous == nil {
		return errors.New("nothing to go back to")
	}
	s.Journal = &state.Journal{Step: state.Rollback, From: *s.Installed, To: *s.Previous, Cause: text.Of("by hand"), Started: time.Now().UTC()}
	saved := lock.Save(s) // a full disk keeps nobody from going back
	if err := t.Restore(s.Previous.ID); err != nil {
		return errors.Join(saved, err)
	}
	s.Undone(*s.Journal, time.Now().UTC())
	if err := errors.Join(saved, lock.Save(s)); err != nil {
		return err
	}
	return t.Sweep(s.Keep()...)
}

func settle(t *swap.Target) (err error) {
	lock, err := state.TryLock(t.Home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	_, err = settled(t, lock)
	return err
}

// settled is what whoever gets the lock does first.
func settled(t *swap.Target, lock *state.Lock) (*state.State, error) {
	s, err := state.Load(t.Home)
	if err != nil && !errors.Is(err, state.ErrNone) {
		return nil, err
	}
	if s.Journal != nil {
		at, err := t.Identify()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		kept, err := t.Kept(s.Journal.Kept().ID.SHA256)
		if err != nil && !errors.Is(err, swap.ErrNoPrevious) {
			return nil, err
		}
		v := state.Settle(*s.Journal, at, kept)
		if v.Restore != nil {
			if err := t.Restore(v.Restore.ID); err != nil {
				return nil, err
			}
		}
		s.Settle(v, time.Now().UTC())
		s.Trim(1)
		if err := lock.Save(s); err != nil {
			return nil, err
		}
	}
	return s, t.Sweep(s.Keep()...)
}

func journal(tb testing.TB, t *swap.Target, step, from, to string) {
	tb.Helper()
	lock, err := state.TryLock(t.Home)
	must(tb, err)
	s, _ := state.Load(t.Home)
	s.Journal = &state.Journal{Step: step, Cause: text.Of("test"),
		From: state.File{Version: from, ID: idOf(program(from)), Proved: true}, To: state.File{Version: to, ID: idOf(program(to)), Proved: step != state.Swap}}
	must(tb, lock.Save(s))
	must(tb, lock.Unlock())
}

// whole asserts what must hold at every instant: the file at the path is the whole program of one of the versions, may be
// executed, and runs. It returns the version.
func whole(tb testing.TB, t *swap.Target, versions ...string) string {
	tb.Helper()
	got, err := os.ReadFile(t.Path)
	if err != nil {
		tb.Errorf("no executable at the path: %v", err)
		return ""
	}
	for _, v := range versions {
		if !bytes.Equal(got, program(v)) {
			continue
		}
		info, err := os.Stat(t.Path)
		if err != nil || info.Mode() != 0o755 {
			tb.Errorf("mode %v, want 0755 (%v)", info.Mode(), err)
		}
		out, err := exec.Command(t.Path).Output()
		if err != nil || strings.TrimSpace(string(out)) != v {
			tb.Errorf("%s is at the path and says %q, %v", v, out, err)
		}
		return v
	}
	tb.Errorf("the file at the path is none of %v: %d bytes, beginning %.40q", versions, len(got), got)
	return ""
}

// names lists a folder.
func names(tb testing.TB, dir string) []string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(tb, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// tidy asserts that nothing is beside the executable but Home, and nothing in Home but state, lock and what is listed.
func tidy(tb testing.TB, t *swap.Target, kept ...[]byte) {
	tb.Helper()
	if got := names(tb, t.Dir); len(got) > 2 || !slices.Contains(got, "app") {
		tb.Errorf("beside the executable: %v", got)
	}
	want := map[string]bool{"state": true, "lock": true}
	for _, k := range kept {
		want[fmt.Sprintf("previous-%x", sha256.Sum256(k))] = true
	}
	for _, name := range names(tb, t.Home) {
		if !want[name] {
			tb.Errorf("litter: %s", name)
		}
	}
}

func run(tb testing.TB, f *os.File) string {
	tb.Helper()
	out, err := swap.Command(context.Background(), f).CombinedOutput()
	if err != nil {
		tb.Fatalf("running %s: %v\n%s", f.Name(), err, out)
	}
	return strings.TrimSpace(string(out))
}
