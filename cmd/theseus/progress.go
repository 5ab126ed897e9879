package main

import (
	"fmt"
	"os"
	"sync"
)

// A progress says how far a long piece of work has come: one line that is redrawn on a terminal, a line for each step
// elsewhere (a log of a build wants to know what took its time).
type progress struct {
	what  string
	total int
	quiet bool

	mu    sync.Mutex
	count int
	drawn bool
}

func newProgress(what string, total int, quiet bool) *progress {
	p := &progress{what: what, total: total, quiet: quiet}
	p.draw("")
	return p
}

// done counts one step.
func (p *progress) done(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	p.draw(step)
}

func (p *progress) draw(step string) {
	if p.quiet {
		return
	}
	if fancy(os.Stderr) {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s %d/%d %s", p.what, p.count, p.total, step)
		p.drawn = true
	} else if step != "" {
		note("%s %d/%d: %s", p.what, p.count, p.total, step)
	}
}

// stop removes the line: the result tells the rest.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
