//go:build unix

package web

import (
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe in place of a document has no writer: whoever opens it to read waits for ever.
func TestServedPipeIsNotWaitedFor(t *testing.T) {
	dir, _ := served(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "beta"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	code := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/beta", nil))
		code <- w.Code
	}()
	select {
	case got := <-code:
		if got != 404 {
			t.Errorf("%d, want 404", got)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("still waiting")
	}
}
