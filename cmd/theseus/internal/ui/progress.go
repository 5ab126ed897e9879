package ui

import (
	"fmt"
	"os"
	"sync"

	"github.com/theseus-go/theseus/internal/screen"
)

// A Progress says how far a long piece of work has come: one line that is redrawn on a terminal, a line for each step
// elsewhere (a log of a build wants to know what took its time).
type Progress struct {
	what  string
	total int
	quiet bool

	mu    sync.Mutex
	count int
	drawn bool
}

// NewProgress begins with a total of steps.
func NewProgress(what string, total int, quiet bool) *Progress {
	p := &Progress{what: what, total: total, quiet: quiet}
	p.draw("")
	return p
}

// Done counts one step.
func (p *Progress) Done(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	p.draw(step)
}

func (p *Progress) draw(step string) {
	if p.quiet {
		return
	}
	if Moves(os.Stderr) {
		fmt.Fprint(os.Stderr, "\r\x1b[K", screen.Fit(fmt.Sprintf("%s %d/%d %s", p.what, p.count, p.total, step), Columns(os.Stderr)))
		p.drawn = true
	} else if step != "" {
		Note("%s %d/%d: %s", p.what, p.count, p.total, step)
	}
}

// Stop removes the line: the result tells the rest.
func (p *Progress) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
