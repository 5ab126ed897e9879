package updater

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Many machines live through a year: in zones with and without summer time, some always on, some by day, some asleep at
// night; clocks are set forward and back, and some have none until the network sets it. No update begins outside a
// window, before its age or while the program is busy, as a witness sees it who knows the true time; and where nothing has
// stood in the way for as long as a machine looks about once, the update has begun.
func TestGatesThroughAYear(t *testing.T) {
	machines := testenv.Pick(30, 300, 10000)
	var installs, held int
	kinds := map[string]int{}
	for seed := range machines {
		m := newMachine(uint64(seed))
		m.live()
		for _, fault := range m.faults {
			t.Errorf("machine %d (%s): %s", seed, m, fault)
		}
		if t.Failed() && seed > 10 {
			t.FailNow()
		}
		installs += m.installs
		for kind, n := range m.held {
			held += n
			kinds[kind] += n
		}
	}
	t.Logf("%d machines, %d installs, %d times held: %v", machines, installs, held, kinds)
	if installs < 5*machines || kinds["window"] == 0 || kinds["age"] == 0 || kinds["inhibit"] == 0 {
		t.Error("too little has happened to say anything")
	}
}

var year = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) // in it, summer time begins and ends in both hemispheres

// span is a time from and until, since the beginning of the year.
type span struct{ from, until time.Duration }

func in(spans []span, at time.Duration) (span, bool) {
	for _, s := range spans {
		if at >= s.from && at < s.until {
			return s, true
		}
	}
	return span{}, false
}

// machine is one of them. Times are true times since the beginning of the year.
type machine struct {
	rand          *rand.Rand
	zone          string
	windows       []string
	age, interval time.Duration
	off, asleep   []span
	busy          []span
	published     []time.Duration // releases, 1.1.0 first
	battery       bool            // its clock goes on while it is off
	offset        time.Duration   // of its clock
	jumps         []jump
	boot          int
	bootAt        time.Duration
	state         *state.State
	installed     *semver.Version
	seen          map[string]time.Duration // when it saw a release first, in truth
	installs      int
	held          map[string]int
	faults        []string
	u             *Updater
	at            time.Duration   // now
	last          time.Duration   // the last check
	waits         *semver.Version // what it held back, if it did
	why           error
}

type jump struct{ at, by time.Duration }

func (m *machine) String() string {
	return fmt.Sprintf("%s, %q, age %v, every %v, battery %v", m.zone, m.windows, m.age, m.interval, m.battery)
}

const yearLong = 365 * 24 * time.Hour

func newMachine(seed uint64) *machine {
	r := rand.New(rand.NewPCG(seed, 15))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	hours := func(n int) time.Duration { return time.Duration(r.IntN(n*60)) * time.Minute }
	m := &machine{rand: r, battery: r.IntN(4) > 0, held: map[string]int{}, seen: map[string]time.Duration{}, state: state.New(),
		installed: semver.MustParse("1.0.0")}
	m.zone = pick("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/Santiago", "Africa/Cairo")
	m.interval = []time.Duration{6 * time.Hour, 12 * time.Hour, 24 * time.Hour}[r.IntN(3)]
	for range r.IntN(3) {
		from := r.IntN(24 * 4)
		until := (from + 4 + r.IntN(40)) % (24 * 4) // an hour at least
		if from == until {
			until = (from + 8) % (24 * 4)
		}
		m.windows = append(m.windows, strings.TrimSpace(fmt.Sprintf("%s %02d:%02d-%02d:%02d %s", pick("", "Mon-Fri", "Sat,Sun", "Fri-Mon", "Wed"),
			from/4, from%4*15, until/4, until%4*15, m.zone)))
	}
	if r.IntN(2) == 0 {
		m.age = time.Duration(r.IntN(14*24)) * time.Hour
	}
	for at := hours(24 * 10); at < yearLong; at += 24*time.Hour + hours(24*30) {
		m.published = append(m.published, at)
	}
	for at := hours(100); at < yearLong; at += 3*time.Hour + hours(24*7) {
		s := span{at, at + hours(5)}
		m.busy = append(m.busy, s)
		at = s.until
	}
	// How it is used: always on, off or asleep each night, or off now and then for long.
	use := r.IntN(4)
	for day := time.Duration(0); day < yearLong; day += 24 * time.Hour {
		night := span{day + 18*time.Hour + hours(3), day + 29*time.Hour + hours(3)}
		switch {
		case use == 1 && r.IntN(10) > 0:
			m.off = append(m.off, night)
		case use == 2 && r.IntN(10) > 0:
			m.asleep = append(m.asleep, night)
		case use == 3 && r.IntN(20) == 0:
			m.off = append(m.off, span{night.from, night.from + hours(24*14)})
			day += 14 * 24 * time.Hour
		}
	}
	if m.battery && r.IntN(3) == 0 { // that a clock without one is right only after a start counts as a jump while it was off
		for at := hours(24 * 30); at < yearLong; at += hours(24 * 60) {
			by := []time.Duration{time.Hour, -time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour, 10 * time.Minute}[r.IntN(5)]
			m.jumps = append(m.jumps[:0], jump{m.seenBeforeOff(at), by}, jump{m.seenBeforeOff(at + 2*time.Hour + hours(72)), -by}) // somebody notices
		}
	}
	m.u = &Updater{opts: &settings{Options: Options{App: "hello", Interval: m.interval}}, events: reporter{conditions: &conditions{log: slog.New(slog.DiscardHandler), now: time.Now, held: map[Kind]string{}}}}
	m.u.now = func() time.Time { return year.Add(m.at + m.offset) }
	m.u.sinceBoot = func() (string, time.Duration) { return fmt.Sprint(m.boot), m.at - m.bootAt }
	if len(m.windows) > 0 {
		m.u.opts.Gates = append(m.u.opts.Gates, Windows(m.windows...))
	}
	if m.age > 0 {
		m.u.opts.Gates = append(m.u.opts.Gates, MinAge(m.age))
	}
	m.u.opts.Gates = append(m.u.opts.Gates, Inhibit(func(context.Context) string {
		if _, busy := in(m.busy, m.at); busy {
			return "busy"
		}
		return ""
	}))
	return m
}

// live goes from check to check. The timer of the interval stands still while the machine sleeps, and every half minute
// the program looks whether the time has come by the clock on the wall.
func (m *machine) live() {
	next := m.start()
	due := m.u.now().Add(next)
	for m.at < yearLong {
		// By the timer, or by the clock on the wall, which is looked at each half minute.
		step := m.at + min(next, max(0, due.Sub(m.u.now()))+30*time.Second)
		fires := step
		for _, j := range m.jumps {
			if j.at > m.at && j.at < step {
				step = j.at
			}
		}
		for _, spans := range [][]span{m.asleep, m.off} {
			if s, ok := firstAfter(spans, m.at, step); ok {
				step = s.from
			}
		}
		next -= step - m.at
		m.at = step
		if s, off := in(m.off, m.at); off {
			m.skipJumps(m.at, s.until)
			m.at = s.until
			next = m.start()
			due = m.u.now().Add(next)
			continue
		}
		if s, asleep := in(m.asleep, m.at); asleep {
			m.skipJumps(m.at, s.until)
			m.at = s.until
			continue
		}
		for _, j := range m.jumps {
			if j.at == m.at {
				m.offset += j.by
			}
		}
		if m.at < fires {
			continue
		}
		m.missed()
		err := m.poll()
		m.last = m.at
		next = untilNext(err, m.interval, m.rand.Float64)
		due = m.u.now().Add(next)
	}
}

// skipJumps leaves out what would happen to the clock while nobody looks: that nobody can tell from time that went by.
func (m *machine) skipJumps(from, until time.Duration) {
	for i, j := range m.jumps {
		if j.at >= from && j.at <= until {
			m.jumps[i].at = until + time.Minute + time.Duration(i)
		}
	}
}

// seenBeforeOff is a time for setting the clock at which the machine is on, and stays on until the next check: what is set
// right before it is switched off nobody can tell either.
func (m *machine) seenBeforeOff(at time.Duration) time.Duration {
	for _, s := range m.off {
		if at < s.until && at+m.interval*5/4+time.Hour > s.from {
			at = s.until + time.Minute
		}
	}
	return at
}

func firstAfter(spans []span, at, before time.Duration) (span, bool) {
	for _, s := range spans {
		if s.from > at && s.from <= before {
			return s, true
		}
	}
	return span{}, false
}

// start is a start of the machine, and returns when the first check comes.
func (m *machine) start() time.Duration {
	m.boot++
	m.bootAt = m.at
	m.waits = nil // the next check comes soon
	if !m.battery {
		m.offset = -m.at - 400*24*time.Hour // until the network sets it, some hours later
		m.jumps = append(m.jumps[:0], jump{m.seenBeforeOff(m.at + time.Duration(1+m.rand.IntN(200))*time.Minute), m.at + 400*24*time.Hour})
	}
	return time.Duration(m.rand.IntN(30)) * time.Second
}

// poll is what a check decides, by the code of the updater, and what the witness says to it.
func (m *machine) poll() error {
	c := &release.Channel{App: "hello", Name: "stable"}
	var issued time.Time
	for n, at := range m.published {
		if at <= m.at {
			v := semver.New(1, uint64(n+1), 0, "", "")
			c.Entries = append([]release.Entry{{Version: v, Manifest: verify.ID{Size: int64(n)}}}, c.Entries...)
			issued = year.Add(at)
			if _, known := m.seen[v.String()]; !known {
				m.seen[v.String()] = m.at
			}
		}
	}
	if len(c.Entries) > 4 {
		c.Entries = c.Entries[:4]
	}
	if issued.After(m.state.Floor) {
		m.state.Floor = issued
	}
	clock := release.Clock{Wall: m.u.now(), Floor: m.state.Floor}
	j := &job{Updater: m.u, gates: m.u.opts.Gates, installed: m.installed, view: &catalog.View{Channel: c, Clock: clock}}
	m.state = j.see(m.state, clock)
	platform := release.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	offer, _, err := release.Select(c, release.Client{Platform: platform, Installed: m.installed, Now: clock.Now(), Local: j.local}, func(e release.Entry) (*release.Manifest, error) {
		return &release.Manifest{App: "hello", Version: e.Version, Artifacts: []release.Artifact{{Platform: platform, Downloads: []release.Download{{}}}}}, nil
	})
	err = j.heldHere(err)
	if err == nil && offer != nil {
		j.offer = offer
		move := j.proposed()
		for _, g := range j.gates {
			if err = g.Enter(context.Background(), move); err != nil {
				break
			}
		}
	}
	m.waits, m.why = nil, err
	if h := (*Held)(nil); errors.As(err, &h) {
		m.held[h.Kind]++
		for _, e := range c.Entries { // the oldest is ripe first
			if m.installed.LessThan(e.Version) {
				m.waits = e.Version
			}
		}
	}
	m.witness(c, offer, err, clock)
	if err == nil && offer != nil {
		m.installed = offer.Entry.Version
		m.installs++
	}
	return err
}

// witness knows the true time, and what the clock on the wall shows, and decides in another way.
func (m *machine) witness(c *release.Channel, offer *release.Offer, err error, clock release.Clock) {
	began := err == nil && offer != nil
	fault := func(format string, args ...any) {
		m.faults = append(m.faults, fmt.Sprintf("at %v, the clock shows %v: ", year.Add(m.at), clock.Wall.UTC())+fmt.Sprintf(format, args...))
	}
	_, busy := in(m.busy, m.at)
	shown := len(m.windows) == 0 || shows(m.windows, m.zone, clock.Wall) && clock.Behind() <= 24*time.Hour
	ripe := func(v *semver.Version) bool { return m.at-m.seen[v.String()] >= m.age }
	if began {
		if busy {
			fault("%s began while the program was busy", offer.Entry.Version)
		}
		if !shown {
			fault("%s began outside %q", offer.Entry.Version, m.windows)
		}
		// A machine without a battery knows of the time that it was off only what the signed dates tell.
		if !ripe(offer.Entry.Version) {
			fault("%s began when it was %v old, not %v", offer.Entry.Version, m.at-m.seen[offer.Entry.Version.String()], m.age)
		}
		return
	}
	// Nothing has begun: does something stand in the way?
	free := false
	for _, e := range c.Entries {
		// What went by while the machine was off is known again at the latest when its clock is set.
		free = free || m.installed.LessThan(e.Version) && m.battery && len(m.jumps) == 0 && ripe(e.Version)
	}
	if free && !busy && shown {
		fault("nothing stands in the way, and nothing began: %v", err)
	}
}

// missed is the witness between two checks: once what holds a release back is over, a machine that is awake looks within
// minutes, and not when the next interval ends.
func (m *machine) missed() {
	if m.waits == nil || !m.battery || len(m.jumps) > 0 {
		return
	}
	const step = 15 * time.Minute
	free := 0
	for at := m.last; at < m.at; at += step {
		_, busy := in(m.busy, at)
		_, asleep := in(m.asleep, at)
		if busy || asleep || at-m.seen[m.waits.String()] < m.age || len(m.windows) > 0 && !shows(m.windows, m.zone, year.Add(at)) {
			free = 0
			continue
		}
		if free++; free == 3 {
			m.faults = append(m.faults, fmt.Sprintf("from %v on nothing has held %s back, and the next check after %v (%v) is at %v", year.Add(at-2*step), m.waits, year.Add(m.last), m.why, year.Add(m.at)))
			return
		}
	}
}

var places = map[string]*time.Location{}

// shows reports whether a clock on the wall of a zone shows a time in a window, by its hands.
func shows(windows []string, zone string, at time.Time) bool {
	if len(windows) == 0 {
		return true
	}
	place := places[zone]
	if place == nil {
		var err error
		if place, err = time.LoadLocation(zone); err != nil {
			panic(err)
		}
		places[zone] = place
	}
	const week = "SunMonTueWedThuFriSatSunMonTueWedThuFriSat"
	hand, today, yesterday := at.In(place).Format("15:04"), at.In(place).Format("Mon"), ""
	yesterday = week[strings.LastIndex(week, today)-3:][:3]
	for _, w := range windows {
		f := strings.Fields(w)
		days := "SunMonTueWedThuFriSat"
		if len(f) == 3 {
			days = map[string]string{"Mon-Fri": "MonTueWedThuFri", "Sat,Sun": "SatSun", "Fri-Mon": "FriSatSunMon", "Wed": "Wed"}[f[0]]
			f = f[1:]
		}
		from, until, _ := strings.Cut(f[0], "-")
		switch {
		case from < until && hand >= from && hand < until && strings.Contains(days, today):
			return true
		case from > until && hand >= from && strings.Contains(days, today), from > until && hand < until && strings.Contains(days, yesterday):
			return true
		}
	}
	return false
}
