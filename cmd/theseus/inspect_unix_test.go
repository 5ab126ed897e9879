//go:build unix

package main

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// Nobody writes into the pipe: a signal still ends the wait for it.
func TestDocumentFromAPipeEndsWithTheContext(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan error, 1)
	go func() {
		_, err := readDocument(ctx, pipe)
		_, alike := readRefWithin(ctx, pipe)
		if !errors.Is(alike, context.Canceled) {
			err = alike
		}
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("still waiting")
	}
}

// What is signed in place is a file: a pipe in the repository would be waited for, and keep no signature.
func TestSignWaitsForNoPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "1.0.0.manifest")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sign(t.Context(), publisher.Options{}, publisher.ToSign{}, pipe); ui.ExitCode(err) != ui.ExitRefused {
		t.Errorf("%v, want a refusal", err)
	}
}
