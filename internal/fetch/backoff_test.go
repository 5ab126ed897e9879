package fetch

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	almost := func() float64 { return 0.999999 }
	for failures, want := range []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
		if got := Backoff(time.Second, 10*time.Second, failures, almost).Round(time.Millisecond); got != want {
			t.Errorf("N11 after %d failures: %v, want %v", failures, got, want)
		}
	}
	if got := Backoff(time.Second, 1<<62, 1e9, almost); got <= 0 || got > 1<<62 {
		t.Errorf("N11 after many failures: %v", got)
	}
}

// N11: of 1000 clients that an outage brought into step, no tenth of the window gets more than its share and half.
func TestN11ThunderingHerd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)).Float64
	spread := func(name string, low, high time.Duration, wait func() time.Duration) {
		var slots [10]int
		for range 1000 {
			d := wait()
			if d < low || d >= high {
				t.Fatalf("N11 %s: %v is not in %v to %v", name, d, low, high)
			}
			slots[int(10*(d-low)/(high-low))]++
		}
		for i, n := range slots {
			if n < 50 || n > 150 {
				t.Errorf("N11 %s: %d of 1000 clients come in slot %d", name, n, i)
			}
		}
	}
	spread("backoff", 0, 8*time.Minute, func() time.Duration { return Backoff(time.Minute, time.Hour, 4, random) })
	spread("backoff at its limit", 0, time.Hour, func() time.Duration { return Backoff(time.Minute, time.Hour, 50, random) })
	spread("poll", 48*time.Minute, 72*time.Minute, func() time.Duration { return Jitter(time.Hour, random) })
}
