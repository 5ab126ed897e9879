package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/release"
)

// policyVariable names the file with the operator's policy, in place of the usual one.
const policyVariable = "THESEUS_POLICY"

// maxPolicy caps the file, in bytes.
const maxPolicy = 64 << 10

// policy is what the operator of this machine says about updates of the program: a file of lines, each a key and its
// value. It is the operator's and not the program's, so it can hold back what the program would install, and say how
// long to wait for a source, and nothing else.
type policy struct {
	file  string
	lines []policyLine
	wrong error // why nothing is installed: what cannot be understood might hold everything back

	off, ask     bool   // updates off, updates check
	gates        []Gate // of all lines that are some
	stall        time.Duration
	space        int64
	bindCritical bool
	bindManual   bool
}

// policyLine is one line, and what it says about a release.
type policyLine struct {
	number     int
	key, value string
	// judge is nil for a line that says nothing about single releases.
	judge func(v *semver.Version, manual bool) (passed bool, why string)
	gate  looker // nil for a line that is none
}

// policyFile is where the policy of an app is looked for, and whether it has to be there.
func policyFile(app string) (file string, required bool) {
	if file := os.Getenv(policyVariable); file != "" {
		return file, true
	}
	dir := "/etc/theseus"
	if runtime.GOOS == "windows" {
		if dir = os.Getenv("ProgramData"); dir == "" {
			return "", false
		}
		dir = filepath.Join(dir, "theseus")
	}
	return filepath.Join(dir, app+".policy"), false
}

// readPolicy reads it anew: an operator's word counts from the next check on, without a restart. It returns nil if there
// is none.
func readPolicy(file string, required bool) *policy {
	p := &policy{file: file}
	if file == "" {
		return nil
	}
	b, err := readSmall(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		return nil
	case err != nil && required:
		p.wrong = fmt.Errorf("the policy that %s names cannot be read: %w", policyVariable, err)
	case err != nil:
		p.wrong = fmt.Errorf("the policy cannot be read: %w", err)
	default:
		p.wrong = p.parse(string(b))
	}
	if p.wrong != nil {
		p.wrong = text.Error(fmt.Errorf("%w; nothing is installed until that is corrected", p.wrong))
	}
	return p
}

// readSmall reads a file that is one, without waiting for what is not.
func readSmall(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err == nil && len(b) > maxPolicy {
		err = fmt.Errorf("%s is larger than 64 KiB", file)
	}
	return b, err
}

// policyKeys are the keys with what they take. Those that may stand in several lines are marked.
var policyKeys = map[string]struct {
	again bool
	set   func(p *policy, l *policyLine) error
}{
	"updates": {set: func(p *policy, l *policyLine) error {
		p.off, p.ask = l.value == "off", l.value == "check"
		if l.value != "auto" && !p.off && !p.ask {
			return errors.New("it is off, check or auto")
		}
		l.judge = func(_ *semver.Version, manual bool) (bool, string) {
			return !p.off && (!p.ask || manual), "updates are " + l.value + ": " + map[bool]string{
				true: "nothing is installed, not even for a person", false: "they are installed only when a person asks"}[p.off]
		}
		return nil
	}},
	"pin": {set: func(_ *policy, l *policyLine) error {
		fits, err := parsePin(l.value)
		l.judge = func(v *semver.Version, _ bool) (bool, string) {
			return err == nil && fits(v), "only " + l.value + " is wanted here"
		}
		return err
	}},
	"skip": {again: true, set: func(_ *policy, l *policyLine) error {
		skipped, err := release.ParseVersion(l.value)
		if err != nil {
			return err
		}
		l.judge = func(v *semver.Version, _ bool) (bool, string) {
			return !v.Equal(skipped), l.value + " is not wanted here"
		}
		return nil
	}},
	"window": {again: true, set: func(_ *policy, l *policyLine) error {
		w := Windows(l.value).(*weekly)
		l.gate = w
		return w.wrong
	}},
	"min-age": {set: func(_ *policy, l *policyLine) error {
		d, err := parseDuration(l.value, 0, 365*24*time.Hour)
		l.gate = minAge(d)
		return err
	}},
	"inhibit-file": {again: true, set: func(_ *policy, l *policyLine) error {
		if !filepath.IsAbs(l.value) {
			return errors.New("it takes a path from the root")
		}
		l.gate = InhibitFile(l.value).(*lockFile)
		return nil
	}},
	"critical": {set: func(p *policy, l *policyLine) error { return parseWait(l.value, &p.bindCritical) }},
	"manual":   {set: func(p *policy, l *policyLine) error { return parseWait(l.value, &p.bindManual) }},
	"stall": {set: func(p *policy, l *policyLine) (err error) {
		p.stall, err = parseDuration(l.value, time.Second, time.Hour)
		return err
	}},
	"space": {set: func(p *policy, l *policyLine) (err error) {
		p.space, err = parseSize(l.value)
		return err
	}},
	"fleet": {set: notYet},
	"group": {set: notYet},
}

func notYet(*policy, *policyLine) error {
	return errors.New("this version of the program cannot be told about a fleet by its policy")
}

// parse reads the lines.
func (p *policy) parse(content string) error {
	seen := map[string]int{}
	for i, line := range strings.Split(content, "\n") {
		line, _, _ = strings.Cut(line, "#")
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key == "" {
			continue
		}
		l := policyLine{number: i + 1, key: key, value: strings.TrimSpace(value)}
		fail := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: %s: %w", p.file, l.number, key, fmt.Errorf(format, args...))
		}
		k, known := policyKeys[key]
		switch {
		case !known:
			return fail("there is no such key; there are updates, pin, skip, window, min-age, inhibit-file, critical, manual, stall and space")
		case l.value == "":
			return fail("it has no value")
		case !k.again && seen[key] > 0:
			return fail("it stands in line %d already", seen[key])
		}
		seen[key] = l.number
		if err := k.set(p, &l); err != nil {
			return fail("%q: %w", l.value, err)
		}
		p.lines = append(p.lines, l)
	}
	// One window of several is enough.
	all := &weekly{}
	for _, l := range p.lines {
		switch g := l.gate.(type) {
		case *weekly:
			all.all = append(all.all, g.all...)
		case *lockFile:
			p.gates = append(p.gates, g)
		case minAge:
			p.gates = append(p.gates, g)
		}
	}
	if len(all.all) > 0 {
		p.gates = append(p.gates, all)
	}
	return nil
}

// bind is the move as windows and ages see it.
func (p *policy) bind(g Gate, m Move) Move {
	switch g.(type) {
	case *weekly, minAge:
		if p != nil {
			m.Critical, m.Manual = m.Critical && !p.bindCritical, m.Manual && !p.bindManual
		}
	}
	return m
}

// judge says what the policy says about a release by its version.
func (p *policy) judge(v *semver.Version, manual bool) (rules []release.Verdict) {
	switch {
	case p == nil:
		return nil
	case p.wrong != nil:
		return []release.Verdict{{Release: v.String(), Rule: "policy", Input: p.file, Detail: p.wrong.Error()}}
	}
	for _, l := range p.lines {
		if l.judge != nil {
			r := p.line(l)
			if r.Passed, r.Detail = l.judge(v, manual); r.Passed {
				r.Detail = ""
			} else {
				r.Detail = fmt.Sprintf("%s, says %s:%d", r.Detail, p.file, l.number)
			}
			r.Release = v.String()
			rules = append(rules, r)
		}
	}
	return rules
}

func (p *policy) line(l policyLine) release.Verdict {
	return release.Verdict{Rule: l.key, Input: l.value, Passed: true, Detail: fmt.Sprintf("in force, by %s:%d", p.file, l.number)}
}

// rest are the verdicts of the lines that judge no release. m is the move to what is on offer, nil if nothing is.
func (p *policy) rest(ctx context.Context, m *Move, judged bool) (rules []release.Verdict) {
	if p == nil {
		return nil
	}
	if p.wrong != nil && !judged {
		return []release.Verdict{{Rule: "policy", Input: p.file, Detail: p.wrong.Error()}}
	}
	for _, l := range p.lines {
		r := p.line(l)
		switch _, age := l.gate.(minAge); {
		case l.judge != nil && judged, age && judged:
			continue
		case l.gate != nil && m != nil:
			v, _ := l.gate.look(ctx, p.bind(l.gate, *m))
			v.Rule, v.Input = r.Rule, r.Input
			if !v.Passed {
				v.Detail = fmt.Sprintf("%s, says %s:%d", v.Detail, p.file, l.number)
			}
			r = v
		}
		rules = append(rules, r)
	}
	return rules
}

// parsePin reads 1, 1.4 or a whole version.
func parsePin(s string) (fits func(*semver.Version) bool, err error) {
	if v, err := release.ParseVersion(s); err == nil {
		return v.Equal, nil
	}
	var want []uint64
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != part || len(want) == 2 {
			return nil, errors.New("it takes a version, or the beginning of one: 1.4.2, 1.4 or 1")
		}
		want = append(want, n)
	}
	return func(v *semver.Version) bool { return slices.Equal(want, []uint64{v.Major(), v.Minor()}[:len(want)]) }, nil
}

// parseDuration reads 90s, 36h or 3d.
func parseDuration(s string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil {
		return 0, errors.New("it takes a time, such as 90s, 36h or 3d")
	}
	if d < least || d > most {
		return 0, fmt.Errorf("it takes a time from %v to %s", least, hours(most))
	}
	return d, nil
}

func parseWait(s string, binds *bool) error {
	if *binds = s == "wait"; !*binds && s != "now" {
		return errors.New("it is now or wait: whether windows and ages hold back such an update too")
	}
	return nil
}

// parseSize reads 500MB, in powers of ten.
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for suffix, size := range map[string]int64{"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = n, size
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil || n > uint64(1<<62/unit) {
		return 0, errors.New("it takes a number of bytes, such as 500MB or 2GB")
	}
	return int64(n) * unit, nil
}
