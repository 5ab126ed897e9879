package updater

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress shows a command's download on standard error: one line that is redrawn on a terminal, nothing that moves
// elsewhere (logs, CI). NO_COLOR is honoured by using no colour at all.
type progress struct {
	status func() Status
	w      io.Writer
	done   chan struct{}
	ended  chan struct{}
}

func newProgress(status func() Status, w io.Writer) *progress {
	p := &progress{status: status, w: w, done: make(chan struct{}), ended: make(chan struct{})}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("CI") != "" || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		close(p.ended)
		return p
	}
	go p.draw()
	return p
}

func (p *progress) draw() {
	defer close(p.ended)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	drawn := false
	for {
		select {
		case <-p.done:
			if drawn {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case <-tick.C:
		}
		s := p.status()
		if s.State != StepDownloading || s.Size == 0 {
			if s.State != StepIdle {
				fmt.Fprintf(p.w, "\r\x1b[K%s %s …", s.State, s.Offered)
				drawn = true
			}
			continue
		}
		const width = 30
		filled := int(s.Downloaded * width / s.Size)
		fmt.Fprintf(p.w, "\r\x1b[Kdownloading %s [%-*s] %3d %%  %.1f of %.1f MB", s.Offered,
			width, strings.Repeat("=", filled), s.Downloaded*100/s.Size,
			float64(s.Downloaded)/1e6, float64(s.Size)/1e6)
		drawn = true
	}
}

func (p *progress) stop() {
	close(p.done)
	<-p.ended
}
