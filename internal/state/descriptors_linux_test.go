package state

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// F23: a process that has run out of descriptors cannot read its state, and must not take that for a damaged one: the next
// save would forget the rollback floor.
func TestF23OutOfDescriptorsIsNotCorrupt(t *testing.T) {
	home := filepath.Join(t.TempDir(), ".app.theseus")
	lock, err := TryLock(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.Save(New()), lock.Unlock()); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := old
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err = Load(home)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNone) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("error %v", err)
	}
	if _, err := Load(home); err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
}
