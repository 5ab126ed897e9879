package fleet

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy("canary 5, soak 1h, then 10 %, then 25 %, then all; max 5 % at once; halt after 3 failures")
	want := Policy{
		Waves:  []Wave{{Share{Count: 5}, time.Hour}, {Share{Percent: 10}, 0}, {Share{Percent: 25}, 0}, {All, 0}},
		AtOnce: Share{Percent: 5}, Failures: 3,
	}
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("%+v %v", p, err)
	}
	for in, out := range map[string]string{
		"canary 1": "canary 1, then all; max 1 at once; halt after 1 failure; deadline 15m",
		"canary 1,soak 90m,then 12.5%,soak 30s,then all;max 3 at once;halt after 1 failure;deadline 90s;size 100": "canary 1, soak 1h30m, then 12.5 %, soak 30s, then all; max 3 at once; halt after 1 failure; deadline 1m30s; size 100",
		"max all at once":               "then all; max all at once; halt after 1 failure; deadline 15m",
		"then 50 %, then all":           "then 50 %, then all; max 1 at once; halt after 1 failure; deadline 15m",
		" size 7 ;  deadline 1h ":       "then all; max 1 at once; halt after 1 failure; deadline 1h; size 7",
		"halt after 2 failures":         "then all; max 1 at once; halt after 2 failures; deadline 15m",
		"canary 10, then 1 %, then all": "canary 10, then 1 %, then all; max 1 at once; halt after 1 failure; deadline 15m",
	} {
		p, err := ParsePolicy(in)
		if err != nil || p.String() != out {
			t.Errorf("%q:\n%v %v, want\n%v", in, p, err, out)
		}
		again, err := ParsePolicy(p.String())
		if err != nil || again.String() != p.String() {
			t.Errorf("%q is not read again: %v", p, err)
		}
	}
	if got := (Policy{}).String(); got != "then all; max 1 at once; halt after 1 failure; deadline 15m" {
		t.Errorf("the zero policy is %q", got)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for _, in := range []string{
		"", ";", "canary", "canary 0", "canary -1", "canary 5 %", "canary all", "canary 1; canary 2", "canary 1, then all; then all",
		"then 25 %", "canary 5, then 10 %", "then 50 %, then 20 %, then all", "then all, then all", "canary 5, then 5, then all",
		"soak 1h", "canary 1, soak 1h, soak 1h", "canary 1 soak 1h", "canary 1,", ", canary 1", "canary 1,, then all", "then all, soak 1h",
		"then 10 %, canary 5, then all", "then 0 %, then all", "then 101 %, then all", "then NaN %, then all", "then 1e3 %, then all", "then -5 %, then all",
		"max 5", "max 0 at once", "max at once", "max 5 % at", "max 5 % at once please", "max 1 at once; max 2 at once",
		"halt", "halt after 0 failures", "halt after three failures", "halt after 1001 failures", "halt after 99999999999 failures",
		"deadline", "deadline 0s", "deadline 1ms", "deadline 1", "deadline -1h", "deadline 100000h", "size", "size 0", "size x", "size 9999999999",
		"Canary 1", "cannary 1", "wave 1", strings.Repeat("then 1, ", 400) + "then all",
		"canary 1\x00", "canary ٣",
	} {
		if p, err := ParsePolicy(in); err == nil {
			t.Errorf("%.60q is taken for %q", in, p)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add("canary 5, soak 1h, then 10 %, then 25 %, then all; max 5 % at once; halt after 3 failures; deadline 5m; size 7")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := ParsePolicy(in)
		if err != nil {
			return
		}
		again, err := ParsePolicy(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q becomes %q, which becomes %q (%v)", in, p, again, err)
		}
		for _, n := range []int{0, 1, 3, 1000, 1 << 30} {
			if s := p.slots(n); s < 1 || s > MaxAtOnce {
				t.Fatalf("%q: %d slots of %d", in, s, n)
			}
			for last, i := 0, 0; i < len(p.Waves); i++ {
				if target := p.target(i, n); target < last || target < 1 {
					t.Fatalf("%q: wave %d of %d machines ends at %d", in, i, n, target)
				} else {
					last = target
				}
			}
		}
	})
}

func TestShares(t *testing.T) {
	p, err := ParsePolicy("canary 5, then 10 %, then all; max 5 % at once")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ known, slots, first, second int }{
		{0, 1, 1, 1}, {1, 1, 1, 1}, {3, 1, 3, 3}, {19, 1, 5, 5}, {39, 1, 5, 5}, {40, 2, 5, 5}, {101, 5, 5, 11}, {1000, 50, 5, 100}, {1_000_000, 2000, 5, 100_000},
	} {
		if got := [3]int{p.slots(c.known), p.target(0, c.known), p.target(1, c.known)}; got != [3]int{c.slots, c.first, c.second} {
			t.Errorf("%d machines: %v, want %v", c.known, got, c)
		}
		if p.target(2, c.known) != math.MaxInt {
			t.Errorf("%d machines: the last wave ends", c.known)
		}
	}
	p.Size = 1000
	if p.slots(3) != 50 || p.target(1, 3) != 100 {
		t.Error("a size that is set does not count")
	}
}
