package updater

import (
	"context"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/release"
)

// MinAge is a Gate that lets a release pass once this machine has known it for so long: others find what is wrong with
// it first. The time is counted from when this machine saw the release in the channel, by time that went by here, and
// not by any date that a server gives; the machine sees what is on offer when it checks. If the newest release is too
// young, an older one that is newer than what is installed is taken, so frequent releases leave nobody behind.
//
// A release that is critical for this machine, and what a person asked for, do not wait.
func MinAge(age time.Duration) Gate { return minAge(age) }

type minAge time.Duration

func (a minAge) check() error {
	if a < 0 {
		return fmt.Errorf("the minimum age is %v; it cannot be less than 0", time.Duration(a))
	}
	return nil
}

func (a minAge) Enter(ctx context.Context, m Move) error    { return enterBy(ctx, a, m) }
func (a minAge) Leave(context.Context, Move, Outcome) error { return nil }
func (a minAge) letGo()                                     {}

func (a minAge) look(_ context.Context, m Move) (v release.Verdict, after time.Duration) {
	v = release.Verdict{Release: m.To, Rule: "age", Passed: true, Input: fmt.Sprintf("known here for %s of %s", hours(m.age), hours(time.Duration(a)))}
	switch {
	case m.age >= time.Duration(a):
	case m.Critical, m.Manual:
		v.Detail = "too young, but " + pressing(m)
	default:
		after = time.Duration(a) - m.age
		v.Passed, v.Detail = false, fmt.Sprintf("a release is taken once it has been known here for %s", hours(time.Duration(a)))
	}
	return v, after
}

// hours is a duration as a person says it.
func hours(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.3g days", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%.3g hours", d.Hours())
	}
	return d.Round(time.Second).String()
}

// pressing says why a move does not wait.
func pressing(m Move) string {
	if m.Critical {
		return "it is critical for this installation"
	}
	return "a person asked"
}
