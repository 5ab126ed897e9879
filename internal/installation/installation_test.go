package installation

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/aside"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

func program(version string) []byte { return []byte("#!/bin/sh\necho " + version + "\n") }

func idOf(b []byte) content.ID { return content.ID{Size: int64(len(b)), SHA256: sha256.Sum256(b)} }

func install(t *testing.T) *Installation {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(path, program("1.0.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	i, err := Open(path, aside.Commit)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Prepare(); err != nil {
		t.Fatal(err)
	}
	return i
}

func hold(t *testing.T, i *Installation) *Held {
	t.Helper()
	h, err := i.TryHold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Release)
	return h
}

// swapped installs a version over 1.0.0.
func swapped(t *testing.T, h *Held, version string) {
	t.Helper()
	want := idOf(program(version))
	f, err := h.Resume(want.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(program(version)); err != nil {
		t.Fatal(err)
	}
	sealed, err := h.Seal(f)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Discard(sealed)
	if settled, err := h.Swap(sealed, "1.0.0", state.File{Version: version, ID: want}, 1); err != nil || settled != nil {
		t.Fatalf("%+v, %v", settled, err)
	}
}

func holds(t *testing.T, i *Installation, version string) {
	t.Helper()
	if b, err := os.ReadFile(i.Path); err != nil || string(b) != string(program(version)) {
		t.Errorf("at the path is %q, %v, want %s", b, err, version)
	}
}

// A check that ends while a failed handover is being undone must not take the lock away from the undo: the version that
// failed would not be remembered.
func TestLockIsHeldUntilTheLastLetsGo(t *testing.T) {
	i := install(t)
	checks, undoes := hold(t, i), hold(t, i)
	checks.Release()
	checks.Release() // once is enough, and twice is not two
	if _, err := state.TryLock(i.Home); !errors.Is(err, state.ErrBusy) {
		t.Errorf("while one of two still holds it, another process gets the lock: %v", err)
	}
	if err := undoes.Change(func(st *state.State) { st.Failed["1.1.0"] = state.Failure{Reason: text.Of("it crashed")} }); err != nil {
		t.Error(err)
	}
	undoes.Release()
	lock, err := state.TryLock(i.Home)
	if err != nil {
		t.Fatalf("nobody holds it, but: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// All holders in one process see what one of them has changed, and nobody's copy changes by itself.
func TestHoldersShareOneState(t *testing.T) {
	i := install(t)
	a, b := hold(t, i), hold(t, i)
	before := b.State()
	if err := a.Change(func(st *state.State) { st.Failed["1.1.0"] = state.Failure{Reason: text.Of("it crashed")} }); err != nil {
		t.Fatal(err)
	}
	if len(b.State().Failed) != 1 || len(before.Failed) != 0 {
		t.Errorf("the other holder sees %v, its copy of before %v", b.State().Failed, before.Failed)
	}
	if st, err := i.Look(); err != nil || len(st.Failed) != 1 {
		t.Errorf("%v, %v", st.Failed, err)
	}
}

func TestStateIsSavedWhenItHasChanged(t *testing.T) {
	i := install(t)
	h := hold(t, i)
	file := filepath.Join(i.Home, "state")
	if !errors.Is(h.Doubt(), state.ErrNone) {
		t.Errorf("doubt %v", h.Doubt())
	}
	if err := h.Change(func(*state.State) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing was changed, and a state was written: %v", err)
	}
	fail := func(st *state.State) { st.Failed["1.1.0"] = state.Failure{Reason: text.Of("it crashed")} }
	if err := h.Change(fail); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(file)
	if err != nil || h.Doubt() != nil {
		t.Fatal(err, h.Doubt())
	}
	if err := h.Change(fail); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(file); err != nil || !os.SameFile(first, again) {
		t.Errorf("the same state was written again (%v)", err)
	}
}

func TestHoldWaits(t *testing.T) {
	i := install(t)
	lock, err := state.TryLock(i.Home)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := i.Hold(ctx, Quietly); !errors.Is(err, state.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	got := make(chan error)
	go func() {
		h, err := i.Hold(t.Context(), Quietly)
		if err == nil {
			h.Release()
		}
		got <- err
	}()
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestSwapUndoRollback(t *testing.T) {
	i := install(t)
	h := hold(t, i)
	swapped(t, h, "1.1.0")
	holds(t, i, "1.1.0")
	undone, err := h.Undo(errors.New("it crashed"))
	if err != nil || undone == nil || undone.From != "1.1.0" || undone.To != "1.0.0" {
		t.Fatalf("%+v, %v", undone, err)
	}
	holds(t, i, "1.0.0")
	if st := h.State(); st.Failed["1.1.0"].Reason.String() != "it crashed" || st.Journal != nil {
		t.Errorf("%+v", st)
	}
	if undone, err := h.Undo(errors.New("again")); undone != nil || err != nil {
		t.Errorf("undone twice: %+v, %v", undone, err)
	}
	swapped(t, h, "1.1.0")
	if version, err := h.Prove(idOf(program("1.1.0"))); version != "1.1.0" || err != nil {
		t.Errorf("proved %q, %v", version, err)
	}
	if len(h.State().Failed) != 0 {
		t.Error("what has proved itself is still on the failed list")
	}
	if undone, err := h.Undo(errors.New("late")); undone != nil || err != nil {
		t.Errorf("a proved version was undone: %+v, %v", undone, err)
	}
	st := h.State()
	if err := h.Rollback(*st.Installed, *st.Previous); err != nil {
		t.Fatal(err)
	}
	holds(t, i, "1.0.0")
	if f := h.State().Failed["1.1.0"]; !f.ByHand {
		t.Errorf("failed list %+v", f)
	}
}

// What ran healthily says nothing of a file that was installed over it meanwhile.
func TestProofIsOfOneFile(t *testing.T) {
	i := install(t)
	h := hold(t, i)
	swapped(t, h, "1.1.0")
	if version, err := h.Prove(idOf(program("1.0.0"))); version != "" || err != nil || h.State().Installed.Proved {
		t.Errorf("1.1.0 counts as proved because 1.0.0 ran: %q, %v", version, err)
	}
}

func TestCountUndoesAfterThreeStarts(t *testing.T) {
	i := install(t)
	h := hold(t, i)
	swapped(t, h, "1.1.0")
	for start := 1; start <= MaxStarts; start++ {
		for _, early := range []bool{true, false} { // recover and the program count one start once
			if undone, err := h.Count(early); undone != nil || err != nil || h.State().Installed.Starts != start {
				t.Fatalf("start %d: %+v, %v, %+v", start, undone, err, h.State().Installed)
			}
		}
	}
	undone, err := h.Count(true)
	if err != nil || undone == nil || !strings.Contains(undone.Cause.Error(), "started 3 times") {
		t.Errorf("%+v, %v", undone, err)
	}
	holds(t, i, "1.0.0")
}

// A step that was journalled and not recorded is settled by what is at the path.
func TestSettle(t *testing.T) {
	i := install(t)
	h := hold(t, i)
	if s, err := h.Settle(); s != nil || err != nil {
		t.Errorf("nothing was interrupted: %+v, %v", s, err)
	}
	swapped(t, h, "1.1.0")
	st := h.State()
	j := state.Journal{Step: state.Undo, From: *st.Installed, To: *st.Previous, Cause: text.Of("it crashed"), Started: time.Now()}
	if err := h.Change(func(st *state.State) { st.Journal = &j }); err != nil {
		t.Fatal(err)
	}
	s, err := h.Settle()
	if err != nil || s == nil || s.Version != "1.0.0" || !strings.Contains(s.Text, "finished") {
		t.Errorf("%+v, %v", s, err)
	}
	holds(t, i, "1.0.0")
	j = state.Journal{Step: state.Undo, From: state.File{Version: "1.0.0", ID: idOf(program("1.0.0"))}, To: state.File{Version: "0.9.0", ID: idOf(program("0.9.0"))}, Started: time.Now()}
	if err := h.Change(func(st *state.State) { st.Journal = &j }); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if s, err := h.Settle(); s == nil || !errors.As(err, &e) || e.Version != "0.9.0" {
		t.Errorf("nothing to go back to: %+v, %v", s, err)
	}
	holds(t, i, "1.0.0")
}
