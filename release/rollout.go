package release

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Rollout says what share of the installations a release is offered to, over time: nobody before the first step, the
// share of the last step after it, and between two steps a straight line from one share to the next. One step is a
// fixed share; two steps are a ramp, which also spreads the downloads.
type Rollout []RolloutStep

// RolloutStep is one corner of a rollout. Each step is later than the one before and its share not
// smaller, so that what was offered stays on offer.
type RolloutStep struct {
	At          time.Time
	BasisPoints int // share in hundredths of a percent, 0 to 10000
}

const (
	maxSteps = 32
	all      = 1_000_000 // buckets, and the share that is everyone
)

// Share returns the share of installations at a time, in millionths, rounded down.
func (r Rollout) Share(now time.Time) int {
	share := 0
	for i, s := range r {
		if now.Before(s.At) {
			if i > 0 { // both factors stay below 2^39 and 2^20: years 0 to 9999, whole seconds
				from := r[i-1]
				rise, length := int64(s.BasisPoints-from.BasisPoints)*100, s.At.Unix()-from.At.Unix()
				share += int(rise * (now.Unix() - from.At.Unix()) / length)
			}
			return share
		}
		share = s.BasisPoints * 100
	}
	return share
}

// Bucket returns the place of an installation in the queue for one version of one app: 0 to 999,999, the first eight
// bytes (big endian) of a SHA-256 over app, version and installation id, modulo a million. The version is in it so that
// each release has other first movers. A rollout has reached the installation when its share is above the bucket.
func Bucket(app string, v *semver.Version, installation string) int {
	h := sha256.Sum256([]byte("theseus/rollout/v1\n" + app + "\n" + v.String() + "\n" + installation))
	return int(binary.BigEndian.Uint64(h[:8]) % all)
}

func (r Rollout) check(what string) error {
	if len(r) > maxSteps {
		return malformed("%s: a rollout has at most %d steps", what, maxSteps)
	}
	for i, s := range r {
		if s.BasisPoints < 0 || s.BasisPoints > 10000 {
			return malformed("%s: rollout step %d: %d basis points; want 0 to 10000", what, i+1, s.BasisPoints)
		}
		if i > 0 && (!r[i-1].At.Before(s.At) || s.BasisPoints < r[i-1].BasisPoints) {
			return malformed("%s: rollout step %d: later steps must have later times and no smaller shares", what, i+1)
		}
	}
	return nil
}

// percent writes millionths for a person, exactly.
func percent(millionths int) string {
	return fmt.Sprintf("%d.%04d %%", millionths/10000, millionths%10000)
}
