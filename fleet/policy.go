package fleet

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Policy says how a version goes through a group of machines. The zero Policy is the most careful one: one machine at a
// time, and halt at the first that fails.
type Policy struct {
	// Waves are filled one after the other. None: one wave of all machines.
	Waves []Wave
	// AtOnce is how many machines may be on their way at a time, whatever the wave. At least one may, and at most
	// MaxAtOnce. Zero: one.
	AtOnce Share
	// Failures is the number of machines that fail with a version at which the group halts. Zero: one.
	Failures int
	// Deadline is how long a machine may be on its way. One that has not reported by then has failed, and its slot stays
	// taken until it reports or is cleared. Zero: DefaultDeadline.
	Deadline time.Duration
	// Size is the number of machines, of which shares in percent are shares. Zero: as many as the coordinator has seen in
	// the last month, which is fewer in its first days, and then it is more careful.
	Size int
}

// A Wave ends when To of the machines have proved a version, and Soak has passed since.
type Wave struct {
	To   Share
	Soak time.Duration
}

// A Share is a number of machines, or a percentage of them. The zero Share is none.
type Share struct {
	Count   int
	Percent float64
}

// All is every machine, also those that come later.
var All = Share{Percent: 100}

// Limits of a Policy.
const (
	DefaultDeadline = 15 * time.Minute
	MaxAtOnce       = 2000 // all who are inside stand in one document, which a store keeps at 1 MiB
	maxFailures     = 1000 // they do too
	maxDuration     = 90 * 24 * time.Hour
	maxWaves        = 32
	maxSize         = 100_000_000
	maxPolicyText   = 1 << 10
)

// ParsePolicy reads a policy as an operator writes it: parts between semicolons, in any order.
//
//	canary 5, soak 1h, then 10 %, then 25 %, then all; max 5 % at once; halt after 3 failures; deadline 15m; size 1000
//
// The first part names waves. A number or percentage is of all machines and includes the waves before it; soak is how long
// to wait once the wave before it is full. "canary 5" alone goes on to all; otherwise the last wave has to be "then all".
func ParsePolicy(s string) (Policy, error) {
	var p Policy
	if len(s) > maxPolicyText {
		return Policy{}, fmt.Errorf("the policy is longer than %d bytes", maxPolicyText)
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ";") {
		words := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(part, ",", " , "), "%", " % "))
		if len(words) == 0 {
			return Policy{}, fmt.Errorf("policy %q: a part is empty; write for example %q", s, "canary 1, then all; halt after 1 failure")
		}
		kind := words[0]
		switch kind {
		case "canary", "then":
			kind = "waves"
		case "max", "halt", "deadline", "size":
		default:
			return Policy{}, fmt.Errorf("policy: %q: a part begins with canary, then, max, halt, deadline or size", strings.TrimSpace(part))
		}
		if seen[kind] {
			return Policy{}, fmt.Errorf("policy: %q: there is a part of this kind already", strings.TrimSpace(part))
		}
		seen[kind] = true
		if err := p.parsePart(kind, words); err != nil {
			return Policy{}, fmt.Errorf("policy: %q: %w", strings.TrimSpace(part), err)
		}
	}
	return p, p.Check()
}

func (p *Policy) parsePart(kind string, words []string) (err error) {
	switch kind {
	case "waves":
		p.Waves, err = parseWaves(words)
	case "max":
		share, rest, serr := parseShare(words[1:])
		if serr != nil || strings.Join(rest, " ") != "at once" {
			return errors.Join(serr, errors.New(`write for example "max 5 % at once"`))
		}
		p.AtOnce = share
	case "halt":
		ok := len(words) == 4 && words[1] == "after" && (words[3] == "failures" || words[3] == "failure")
		if ok {
			p.Failures, err = parseCount(words[2])
		}
		if !ok || err != nil {
			return errors.Join(err, errors.New(`write for example "halt after 3 failures"`))
		}
	case "deadline":
		if len(words) != 2 {
			return errors.New(`write for example "deadline 15m"`)
		}
		p.Deadline, err = parseDuration(words[1])
	case "size":
		if len(words) != 2 {
			return errors.New(`write for example "size 1000"`)
		}
		p.Size, err = parseCount(words[1])
	}
	return err
}

func parseWaves(words []string) (waves []Wave, err error) {
	for len(words) > 0 {
		var share Share
		verb, rest := words[0], words[1:]
		switch {
		case verb == "canary" && len(waves) == 0:
			if share, rest, err = parseShare(rest); err == nil && share.Count == 0 {
				err = errors.New("a canary is a number of machines")
			}
			waves = append(waves, Wave{To: share})
		case verb == "then":
			share, rest, err = parseShare(rest)
			waves = append(waves, Wave{To: share})
		case verb == "soak" && len(waves) > 0 && waves[len(waves)-1].Soak == 0 && len(rest) > 0:
			waves[len(waves)-1].Soak, err = parseDuration(rest[0])
			rest = rest[1:]
		default:
			err = fmt.Errorf("%q cannot stand here; write for example %q", verb, "canary 5, soak 1h, then 10 %, then all")
		}
		if err != nil {
			return nil, err
		}
		if len(rest) > 0 {
			if rest[0] != "," || len(rest) == 1 {
				return nil, fmt.Errorf("a comma has to stand between two waves, not %q", rest[0])
			}
			rest = rest[1:]
		}
		words = rest
	}
	if len(waves) == 1 && waves[0].To.Count > 0 {
		waves = append(waves, Wave{To: All})
	}
	return waves, nil
}

func parseShare(words []string) (s Share, rest []string, err error) {
	switch {
	case len(words) == 0:
		return Share{}, nil, errors.New("a number, a percentage or all is missing")
	case words[0] == "all":
		return All, words[1:], nil
	case len(words) > 1 && words[1] == "%":
		s.Percent, err = strconv.ParseFloat(words[0], 64)
		if err != nil || !(s.Percent > 0 && s.Percent <= 100) {
			return Share{}, nil, fmt.Errorf("%q is no percentage above 0 and up to 100", words[0])
		}
		return s, words[2:], nil
	}
	s.Count, err = parseCount(words[0])
	return s, words[1:], err
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 || n > maxSize {
		return 0, fmt.Errorf("%q is no number from 1 to %d", s, maxSize)
	}
	return int(n), nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxDuration {
		return 0, fmt.Errorf("%q is no duration above 0 and up to %d days; write for example 90s, 15m or 1h", s, maxDuration/(24*time.Hour))
	}
	return d, nil
}

// Check returns what is wrong with the policy, or nil.
func (p Policy) Check() error {
	switch {
	case p.Failures < 0 || p.Failures > maxFailures:
		return fmt.Errorf("policy: halt after %d failures: at least 1 and at most %d", p.Failures, maxFailures)
	case p.Deadline < 0 || p.Deadline > 0 && p.Deadline < time.Second || p.Deadline > maxDuration:
		return fmt.Errorf("policy: deadline %v: at least 1s and at most %v", p.Deadline, maxDuration)
	case p.Size < 0 || p.Size > maxSize:
		return fmt.Errorf("policy: size %d: at most %d", p.Size, maxSize)
	case len(p.Waves) > maxWaves:
		return fmt.Errorf("policy: %d waves: at most %d", len(p.Waves), maxWaves)
	}
	shares := []Share{p.AtOnce}
	for i, w := range p.Waves {
		if w.To == (Share{}) {
			return fmt.Errorf("policy: wave %d is of no machine", i+1)
		}
		if i > 0 && w.To.within(p.Waves[i-1].To) {
			return fmt.Errorf("policy: wave %d, %v, is no larger than the one before it; a wave includes those before it", i+1, w.To)
		}
		if w.Soak < 0 || w.Soak > maxDuration {
			return fmt.Errorf("policy: soak %v: at most %v", w.Soak, maxDuration)
		}
		shares = append(shares, w.To)
	}
	if n := len(p.Waves); n > 0 && (p.Waves[n-1].To != All || p.Waves[n-1].Soak != 0) {
		return errors.New(`policy: the last wave has to be "then all": machines that no wave lets in would wait for ever`)
	}
	for _, s := range shares {
		if s.Count < 0 || s.Count > maxSize || s.Count > 0 && s.Percent != 0 || math.IsNaN(s.Percent) || s.Percent < 0 || s.Percent > 100 {
			return fmt.Errorf("policy: %v is no share: a number of machines, or a percentage of them", s)
		}
	}
	return nil
}

// within reports whether s is surely no larger than t.
func (s Share) within(t Share) bool {
	if s.Count > 0 && t.Count > 0 {
		return s.Count <= t.Count
	}
	return s.Count == 0 && t.Count == 0 && s.Percent <= t.Percent || t == All
}

// upTo is the share of size machines, rounded up: the size of a wave.
func (s Share) upTo(size int) int {
	if s == All {
		return math.MaxInt
	}
	if s.Count > 0 {
		return s.Count
	}
	return int(math.Ceil(float64(size) * s.Percent / 100))
}

// downTo is the share of size machines, rounded down: a limit.
func (s Share) downTo(size int) int {
	if s.Count > 0 {
		return s.Count
	}
	return int(float64(size) * s.Percent / 100)
}

// slots is how many machines may be on their way at a time in a group of this size.
func (p Policy) slots(size int) int {
	return min(max(p.AtOnce.downTo(p.size(size)), 1), MaxAtOnce)
}

func (p Policy) size(known int) int {
	if p.Size > 0 {
		return p.Size
	}
	return known
}

func (p Policy) failures() int { return max(p.Failures, 1) }

func (p Policy) deadline() time.Duration {
	if p.Deadline == 0 {
		return DefaultDeadline
	}
	return p.Deadline
}

// wave is the index of the wave that is being filled once so many machines have proved a version.
func (p Policy) wave(proved, known int) int {
	for i := range p.Waves {
		if proved < p.target(i, known) {
			return i
		}
	}
	return len(p.Waves)
}

// target is how many machines fill a wave: no more than there are, unless it is the last one, and no fewer than the wave
// before it, for in a small group a percentage may be less than the number that it follows.
func (p Policy) target(wave, known int) (target int) {
	if wave >= len(p.Waves) || p.Waves[wave].To == All {
		return math.MaxInt
	}
	size := max(p.size(known), 1)
	for _, w := range p.Waves[:wave+1] {
		target = max(target, min(w.To.upTo(size), size))
	}
	return target
}

func (s Share) String() string {
	switch {
	case s == All:
		return "all"
	case s.Percent != 0:
		return strconv.FormatFloat(s.Percent, 'f', -1, 64) + " %"
	}
	return strconv.Itoa(s.Count)
}

// String is the policy as ParsePolicy reads it.
func (p Policy) String() string {
	var b strings.Builder
	for i, w := range p.Waves {
		switch {
		case i == 0 && w.To.Count > 0:
			b.WriteString("canary ")
		case i == 0:
			b.WriteString("then ")
		default:
			b.WriteString(", then ")
		}
		b.WriteString(w.To.String())
		if w.Soak > 0 {
			b.WriteString(", soak " + short(w.Soak))
		}
	}
	if len(p.Waves) == 0 {
		b.WriteString("then all")
	}
	at := p.AtOnce
	if at == (Share{}) {
		at = Share{Count: 1}
	}
	s := "s"
	if p.failures() == 1 {
		s = ""
	}
	fmt.Fprintf(&b, "; max %v at once; halt after %d failure%s; deadline %s", at, p.failures(), s, short(p.deadline()))
	if p.Size > 0 {
		fmt.Fprintf(&b, "; size %d", p.Size)
	}
	return b.String()
}

// short is a duration without the zeros at its end.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePolicy.
func (p *Policy) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePolicy(string(b))
	return err
}
