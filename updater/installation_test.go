package updater

import (
	"errors"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// A check that ends while a failed handover is being undone must not take the lock away from the undo: the version that
// failed would not be remembered.
func TestLockIsHeldUntilTheLastLetsGo(t *testing.T) {
	c := install(t, testrelease.New(t), "1.0.0")
	if err := c.target.Prepare(0); err != nil {
		t.Fatal(err)
	}
	_, checked, err := c.acquire()
	if err != nil {
		t.Fatal(err)
	}
	undo, undone, err := c.acquire()
	if err != nil {
		t.Fatal(err)
	}
	checked()
	if _, err := state.TryLock(c.target.Home); !errors.Is(err, state.ErrBusy) {
		t.Errorf("while one of two still holds it, another process gets the lock: %v", err)
	}
	if _, err := c.change(undo, func(*state.State) {}); err != nil {
		t.Error(err)
	}
	undone()
	lock, err := state.TryLock(c.target.Home)
	if err != nil {
		t.Fatalf("nobody holds it, but: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
}
