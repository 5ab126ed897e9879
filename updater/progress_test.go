package updater

import (
	"strings"
	"testing"
	"time"
)

// What is redrawn says how fast it goes and how long it takes, and fits.
func TestProgressLine(t *testing.T) {
	at := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	var v speed
	s := Status{State: StepChecking}
	if got := v.line(s, at, 80); got != "checking  …" {
		t.Errorf("%q", got)
	}
	s = Status{State: StepDownloading, Offered: "1.2.0", Downloaded: 2_000_000, Size: 10_000_000}
	for tick := range 60 { // 1 MB a second, after 2 MB that were there
		got := v.line(s, at.Add(time.Duration(tick)*100*time.Millisecond), 100)
		if early := tick < 10; early == strings.Contains(got, "/s") {
			t.Errorf("tick %d: %q", tick, got)
		}
		if tick == 50 && !strings.Contains(got, "7.0 MB of 10.0 MB  1.0 MB/s  4 seconds left") {
			t.Errorf("%q", got)
		}
		s.Downloaded += 100_000
	}
	for tick := range 100 { // and then nothing
		got := v.line(s, at.Add(6*time.Second+time.Duration(tick)*100*time.Millisecond), 100)
		if tick == 99 && strings.Contains(got, "MB/s") {
			t.Errorf("it has stopped, and is said to be fast: %q", got)
		}
	}
	s.State = StepIdle
	if got := v.line(s, at, 80); got != "" {
		t.Errorf("%q", got)
	}
}
