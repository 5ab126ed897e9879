package restart

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A stuck handler takes nothing before it is let go.
type stuck struct {
	slog.Handler
	called chan struct{} // holds a token when it has been given a line
	letGo  chan struct{}
}

func (s stuck) Handle(ctx context.Context, r slog.Record) error {
	select {
	case s.called <- struct{}{}:
	default:
	}
	<-s.letGo
	return s.Handler.Handle(ctx, r)
}

// TestLogbook: a log that nobody reads keeps nobody waiting; what is lost is counted, and the rest comes in order.
func TestLogbook(t *testing.T) {
	var out bytes.Buffer
	called, letGo := make(chan struct{}, 1), make(chan struct{})
	b := logbook{to: slog.New(stuck{slog.NewTextHandler(&out, nil), called, letGo})}
	b.flush(time.Hour) // nothing to wait for
	const lines = 3 * logbookMax
	for i := range lines {
		b.log(time.Now(), slog.LevelInfo, fmt.Sprint("line ", i))
		if i == 0 {
			<-called // from here on it takes no more
		}
	}
	begun := time.Now()
	b.flush(20 * time.Millisecond)
	if d := time.Since(begun); d > time.Minute {
		t.Errorf("the flush took %v", d)
	}
	close(letGo)
	b.flush(time.Minute)
	var got int
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "line ") {
			if !strings.Contains(line, fmt.Sprintf(`"line %d"`, got)) {
				t.Fatalf("line %d is %s", got, line)
			}
			got++
		}
	}
	lost := lines - got
	if got != 1+logbookMax || !strings.Contains(out.String(), fmt.Sprintf("%d lines of this log were dropped", lost)) {
		t.Errorf("%d lines were written, and the log says\n%s", got, out.String()[max(0, out.Len()-300):])
	}
}
