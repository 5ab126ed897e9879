//go:build unix

package publisher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
)

// soon fails the test if do does not return: what it waits for never comes.
func soon(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatal("still waiting")
	}
}

// Whoever can read the project's folder can lock it. Then a signal still ends the program, without a change.
func TestLockedProjectFolderEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	other, err := store.LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	m, err := (&Project{dir: dir}).Memory(ctx, filepath.Join(dir, "dl"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	soon(t, func() {
		if err := m.keep(); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
	if _, err := os.Stat(filepath.Join(dir, LockFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock was written: %v", err)
	}
}
