package updater

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/theseus-go/theseus/internal/screen"
)

// progress shows a command's download on standard error: one line that is redrawn on a terminal, nothing that moves
// elsewhere (logs, CI).
type progress struct {
	status func() Status
	f      *os.File
	done   chan struct{}
	ended  chan struct{}
}

func newProgress(status func() Status, w io.Writer) *progress {
	f, ok := w.(*os.File)
	p := &progress{status: status, f: f, done: make(chan struct{}), ended: make(chan struct{})}
	if !ok || !screen.Moves(f) {
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
	var drawn string
	var speed speed
	for {
		select {
		case <-p.done:
			if drawn != "" {
				fmt.Fprint(p.f, "\r\x1b[K")
			}
			return
		case now := <-tick.C:
			s := p.status()
			line := speed.line(s, now, screen.Columns(p.f))
			if line != drawn {
				fmt.Fprint(p.f, "\r\x1b[K", line)
				drawn = line
			}
		}
	}
}

func (p *progress) stop() {
	close(p.done)
	<-p.ended
}

// speed is how fast a download has been in the last seconds.
type speed struct {
	began, at time.Time
	from      int64 // bytes that were there when it began, of an earlier attempt
	done      int64
	rate      float64 // in bytes a second
}

// line is what a person reads of a status at some time.
func (v *speed) line(s Status, now time.Time, columns int) string {
	if s.State != StepDownloading || s.Size == 0 {
		*v = speed{}
		if s.State == StepIdle {
			return ""
		}
		return screen.Fit(fmt.Sprintf("%s %s …", s.State, s.Offered), columns)
	}
	t := screen.Transfer{What: "downloading", Name: s.Offered, Done: s.Downloaded, Total: s.Size}
	if v.at.IsZero() || s.Downloaded < v.done { // another file
		*v = speed{began: now, at: now, from: s.Downloaded, done: s.Downloaded}
		return t.Line(columns)
	}
	if spent := now.Sub(v.began).Seconds(); spent < 3 {
		v.rate = float64(s.Downloaded-v.from) / max(spent, 0.1)
	} else if since := now.Sub(v.at).Seconds(); since > 0 {
		weight := min(since/3, 1)
		v.rate += weight * (float64(s.Downloaded-v.done)/since - v.rate)
	}
	v.at, v.done = now, s.Downloaded
	if now.Sub(v.began) >= time.Second {
		t.Rate = v.rate
	}
	return t.Line(columns)
}
