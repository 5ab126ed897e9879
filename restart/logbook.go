package restart

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A logbook writes to a logger from a goroutine of its own: a log that nobody reads (a full pipe, a terminal that is held)
// must not keep the process from obeying a signal. When too much waits, lines are dropped and counted.
type logbook struct {
	to *slog.Logger

	mu      sync.Mutex
	queue   []slog.Record
	dropped int
	writing bool
	idle    chan struct{} // closed while nothing waits; made anew by the first line
}

// logbookMax is how many lines may wait.
const logbookMax = 256

// logbookFlush is how long the end of the service waits for the last lines.
const logbookFlush = 500 * time.Millisecond

func (b *logbook) log(t time.Time, level slog.Level, text string, args ...any) {
	if !b.to.Enabled(context.Background(), level) {
		return
	}
	line := slog.NewRecord(t, level, text, 0)
	line.Add(args...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) >= logbookMax {
		b.dropped++
		return
	}
	b.queue = append(b.queue, line)
	if !b.writing {
		b.writing, b.idle = true, make(chan struct{})
		go b.write()
	}
}

func (b *logbook) write() {
	for {
		b.mu.Lock()
		lines, dropped := b.queue, b.dropped
		b.queue, b.dropped = nil, 0
		if len(lines) == 0 {
			b.writing = false
			close(b.idle)
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		if dropped > 0 {
			line := slog.NewRecord(time.Now(), slog.LevelWarn, fmt.Sprintf("%d lines of this log were dropped, because nothing took them", dropped), 0)
			lines = append(lines, line)
		}
		for _, line := range lines {
			b.to.Handler().Handle(context.Background(), line)
		}
	}
}

// flush waits until everything is written, at most for limit.
func (b *logbook) flush(limit time.Duration) {
	b.mu.Lock()
	idle := b.idle
	b.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(limit):
	}
}
