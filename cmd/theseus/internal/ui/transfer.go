package ui

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/screen"
)

// A Transfer says how far bytes have come on their way: how many of how many, and how long it will take. As a Progress does,
// it redraws a line on a terminal and writes one for each object elsewhere.
type Transfer struct {
	what  string
	quiet bool

	mu      sync.Mutex
	objects int
	total   int64
	count   int
	done    int64
	began   time.Time
	shown   time.Time
	drawn   bool
}

// NewTransfer begins with so many objects that have so many bytes together.
func NewTransfer(what string, objects int, total int64, quiet bool) *Transfer {
	return &Transfer{what: what, objects: objects, total: total, quiet: quiet, began: time.Now()}
}

// Reader counts what is read of r.
func (t *Transfer) Reader(r io.Reader) io.Reader { return &transferred{r, t} }

type transferred struct {
	io.Reader
	to *Transfer
}

func (r *transferred) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.to.add(int64(n))
	return n, err
}

func (t *Transfer) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = min(t.done+n, t.total) // what is sent again after a failure counts once
	if now := time.Now(); now.Sub(t.shown) >= 100*time.Millisecond && !t.quiet && Moves(os.Stderr) {
		t.shown, t.drawn = now, true
		fmt.Fprint(os.Stderr, "\r\x1b[K", screen.Fit(t.line(), Columns(os.Stderr)))
	}
}

// Done counts one object.
func (t *Transfer) Done(name string, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if !t.quiet && !Moves(os.Stderr) {
		Note("%s: %s (%s)", t.line(), name, Bytes(size))
	}
}

func (t *Transfer) line() string {
	line := fmt.Sprintf("%s %d/%d, %s of %s", t.what, t.count, t.objects, Bytes(t.done), Bytes(t.total))
	if spent := time.Since(t.began); spent >= 2*time.Second && t.done > 0 && t.done < t.total {
		left := time.Duration(float64(spent) * float64(t.total-t.done) / float64(t.done))
		line += ", " + Span(left.Round(time.Second)) + " left"
	}
	return line
}

// Stop removes the line: the result tells the rest.
func (t *Transfer) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.drawn {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
