package release

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return day.Add(d) }

func TestRolloutShare(t *testing.T) {
	ramp := Rollout{{day, 100}, {after(10 * time.Hour), 1100}, {after(20 * time.Hour), 1100}, {after(21 * time.Hour), 10000}}
	for _, c := range []struct {
		r    Rollout
		at   time.Duration
		want int
	}{
		{Rollout{{day, 1000}}, -time.Second, 0},
		{Rollout{{day, 1000}}, 0, 100_000},
		{Rollout{{day, 1000}}, 1000 * 24 * time.Hour, 100_000},
		{Rollout{{day, 0}}, time.Hour, 0},
		{ramp, -1, 0},
		{ramp, 0, 10_000},
		{ramp, time.Hour, 20_000},
		{ramp, time.Hour + 999*time.Millisecond, 20_000}, // whole seconds
		{ramp, time.Hour + time.Second, 20_002},          // 20,002.7 rounded down
		{ramp, 15 * time.Hour, 110_000},
		{ramp, 20*time.Hour + 30*time.Minute, 555_000},
		{ramp, 21 * time.Hour, 1_000_000},
		{ramp, 1000 * time.Hour, 1_000_000},
		{Rollout{{time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), 0}, {time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), 10000}}, 0, 202_689},
	} {
		if got := c.r.Share(after(c.at)); got != c.want {
			t.Errorf("%v at %v: %d, want %d", c.r, c.at, got, c.want)
		}
	}
}

func TestRolloutCheck(t *testing.T) {
	for name, r := range map[string]Rollout{
		"below 0":      {{day, -1}},
		"above 100 %":  {{day, 10001}},
		"same time":    {{day, 1}, {day, 2}},
		"back in time": {{day, 1}, {after(-1), 2}},
		"falling":      {{day, 2}, {after(time.Hour), 1}},
		"33 steps":     make(Rollout, 33),
	} {
		if err := r.check("x"); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Rollout{{day, 0}, {after(time.Second), 0}, {after(time.Hour), 10000}}).check("x"); err != nil {
		t.Error(err)
	}
}

// The simulation that the promise of a rollout rests on: 100,000 installations, a rollout of 10 %, two releases in a
// row.
func TestRolloutOfManyInstallations(t *testing.T) {
	const n = 100_000
	ten := Rollout{{day, 1000}}
	share := ten.Share(day)
	var first, second, both int
	for i := range n {
		id := fmt.Sprintf("%032x", i)
		a := Bucket("hello", version("1.5.0"), id) < share
		b := Bucket("hello", version("1.6.0"), id) < share
		if a {
			first++
		}
		if b {
			second++
		}
		if a && b {
			both++
		}
	}
	for _, got := range []int{first, second} {
		if math.Abs(float64(got)/n-0.10) > 0.005 {
			t.Errorf("a rollout of 10 %% takes %d of %d", got, n)
		}
	}
	// By chance the two share 10 % of 10 %: 1,000 ± 31.5 (one standard deviation). Four of those are the limit.
	if chance := float64(first) * float64(second) / n; math.Abs(float64(both)-chance) > 4*math.Sqrt(chance) {
		t.Errorf("two releases share %d first movers; chance would be %.0f", both, chance)
	}
	t.Logf("10 %% took %d and %d of %d; %d in both", first, second, n, both)
}

// Another app has other first movers, too, and no two fields can be shifted into each other.
func TestBucketInput(t *testing.T) {
	seen := map[int]string{}
	for _, c := range [][3]string{
		{"hello", "1.0.0", "x"}, {"hello2", "1.0.0", "x"}, {"hello", "1.0.1", "x"}, {"hello", "1.0.0", "y"},
		{"hello", "1.0.0-x", ""}, {"hello", "1.0.0", "-x"}, {"hello", "1.0.0", ""},
	} {
		b := Bucket(c[0], version(c[1]), c[2])
		if b < 0 || b >= all {
			t.Errorf("%v: %d", c, b)
		}
		if other, ok := seen[b]; ok {
			t.Errorf("%v and %s share bucket %d", c, other, b)
		}
		seen[b] = fmt.Sprint(c)
	}
}
