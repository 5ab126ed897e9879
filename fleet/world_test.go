package fleet

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// A small world, all of it: three machines, two coordinators on one document, and every order in which they can ask, be
// answered or not, finish, fail, die, be late and be looked after. What is decided and what is written are two moves, so
// that everything else can happen between them.
type world struct {
	doc      *group
	revision int
	tick     int
	hosts    [3]machine
	desks    [2]*pending
	released int // 1: there is a second version
	dup      bool
	trace    *trace
}

type machine struct {
	phase   phase
	version int
	attempt int
}

type phase byte

const (
	running phase = iota // the old version
	inside               // between the answer and its end
	well                 // proved, and has not said so
	back                 // undone, and has not said so
	off                  // did not begin, and has not said so
	dead                 // does not come back by itself
	done                 // proved, and has said so
	failed               // undone, and has said so
)

// A pending decision was made on a document that may no longer be the newest.
type pending struct {
	host    int // -1: nobody waits for the answer
	attempt int // of the host: a machine that has given up waits no more
	kind    string
	doc     *group // after it
	changed bool
	stale   bool
	granted bool
}

type trace struct {
	move string
	last *trace
}

func (t *trace) String() string {
	if t == nil {
		return ""
	}
	return t.last.String() + "\n\t" + t.move
}

var versions = [...]string{"1.1.0", "1.2.0"}

var worldStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const tickLength = time.Minute

func (w *world) now() time.Time { return worldStart.Add(time.Duration(w.tick) * tickLength) }

func (g *group) clone() *group {
	n := *g
	n.Holders, n.Failed = maps.Clone(g.Holders), maps.Clone(g.Failed)
	return &n
}

func (w *world) next(move string) *world {
	n := *w
	n.trace = &trace{move, w.trace}
	for i, p := range w.desks {
		if p != nil {
			c := *p
			n.desks[i] = &c
		}
	}
	return &n
}

// key names a state: worlds of one key have one future. Times count by how long they are from now, machines by what they
// do and not by their names, tokens by whether they are the right ones.
func (w *world) key(seed maphash.Seed) uint64 {
	now := w.now()
	b := make([]byte, 0, 512)
	until := func(t time.Time) {
		if d := t.Sub(now); t.IsZero() || d < -superseded {
			b = append(b, '-')
		} else {
			b = strconv.AppendInt(b, int64(d/time.Second), 36)
		}
		b = append(b, ' ')
	}
	flag := func(f bool) { b = strconv.AppendBool(b, f) }
	docs := []*group{w.doc}
	for _, p := range w.desks {
		if p != nil && p.changed && !p.stale {
			docs = append(docs, p.doc)
		}
	}
	var each [len(w.hosts)]string
	for i, m := range w.hosts {
		b = append(b[:0], byte('0'+m.phase), byte('0'+m.version))
		for _, g := range docs {
			if h, ok := g.Holders[name(i)]; ok {
				b = append(b, h.Version...)
				flag(h.Token == m.token())
				if flag(h.Lost); !h.Lost {
					until(h.Until)
				}
			}
			_, bad := g.Failed[name(i)]
			flag(bad)
		}
		for _, p := range w.desks {
			flag(p != nil && p.host == i && p.attempt == m.attempt)
		}
		each[i] = string(b)
	}
	slices.Sort(each[:])
	b = append(b[:0], each[0]+each[1]+each[2]...)
	for _, g := range docs {
		b = append(append(b, g.Version...), g.Before...)
		until(g.Begun)
		until(g.Soaking)
		b = append(b, byte('0'+g.Proved), byte('0'+g.Wave), byte('0'+g.Soaked))
		flag(g.Halted != nil)
	}
	b = append(b, byte('0'+w.released))
	flag(w.dup)
	for _, p := range w.desks {
		if p != nil {
			b = append(b, p.kind...)
			flag(p.changed)
			flag(p.stale)
			flag(p.granted)
		}
		b = append(b, '/')
	}
	return maphash.Bytes(seed, b)
}

func same(a, b *group) bool {
	x, y := *a, *b
	x.Holders, x.Failed, x.Halted, y.Holders, y.Failed, y.Halted = nil, nil, nil, nil, nil, nil
	for _, g := range []*group{&x, &y} { // what is counted anew
		g.counted, g.going, g.missing, g.next = false, 0, 0, time.Time{}
	}
	if (a.Halted == nil) != (b.Halted == nil) || a.Halted != nil && *a.Halted != *b.Halted {
		return false
	}
	return reflect.DeepEqual(x, y) && maps.Equal(a.Holders, b.Holders) && maps.Equal(a.Failed, b.Failed)
}

type worldTest struct {
	t      *testing.T
	policy Policy
	two    bool // a second version is released at some time
	single bool // one coordinator, so that more happens in as many moves
}

func name(i int) string { return string(rune('a' + i)) }

// decide is what a coordinator does between reading and writing.
func (x *worldTest) decide(w *world, desk int, kind string, host int, f func(*step) *Refusal) *world {
	n := w.next(fmt.Sprintf("%d decides %s %s", desk, kind, nameOr(host)))
	g := w.doc.clone()
	s := g.at(x.policy, len(w.hosts), w.now())
	refusal := f(s)
	if again := g.clone(); true {
		again.counted = false
		if again.at(x.policy, len(w.hosts), w.now()); again.going != g.going || again.missing != g.missing || again.next.Before(g.next) {
			x.t.Fatalf("%d are going, and %d were counted%v", again.going, g.going, n.trace)
		}
	}
	if s.changed == same(w.doc, g) {
		x.t.Fatalf("changed is %v, and the document is\n%s\nbefore and\n%s\nafter%v", s.changed, w.doc.dump(), g.dump(), n.trace)
	}
	if w.doc.Halted != nil && g.Halted == nil && kind != "resume" {
		x.t.Fatalf("%s has ended a halt%v", kind, n.trace)
	}
	n.desks[desk] = &pending{kind: kind, host: host, doc: g, changed: s.changed, granted: refusal == nil}
	if host >= 0 {
		n.desks[desk].attempt = w.hosts[host].attempt
	}
	if x.single && (kind != "enter" || refusal != nil || host < 0) {
		return x.write(n, desk, false)
	}
	return n
}

func nameOr(host int) string {
	if host < 0 {
		return ""
	}
	return name(host)
}

func (m machine) token() string { return fmt.Sprint(m.attempt) }

// moves are all worlds that can come next.
func (x *worldTest) moves(w *world) (all []*world) {
	add := func(n *world) { all = append(all, n) }
	for d := range w.desks {
		if x.single && d == 1 {
			continue
		}
		if p := w.desks[d]; p != nil {
			for _, lost := range []bool{false, true} {
				if lost && (p.host < 0 || p.kind == "clear") {
					continue
				}
				add(x.write(w, d, lost))
			}
			continue
		}
		if d == 1 && w.desks[0] == nil {
			continue // the two are alike: the first one begins
		}
		for i, m := range w.hosts {
			switch m.phase {
			case running:
				add(x.decide(w, d, "enter", i, func(s *step) *Refusal {
					_, r := s.enter(name(i), versions[w.released], m.token())
					return r
				}))
			case well, back, off:
				o := map[phase]Outcome{well: Proved, back: Undone, off: Stopped}[m.phase]
				add(x.decide(w, d, "leave", i, func(s *step) *Refusal { s.leave(name(i), versions[m.version], m.token(), o, "why"); return nil }))
			case dead, failed:
				if _, holds := w.doc.Holders[name(i)]; holds || m.phase == failed {
					add(x.decide(w, d, "clear", i, func(s *step) *Refusal { return s.clear(name(i), "") }))
				}
			case inside:
				if !w.dup { // an ask that was long on its way, and for whose answer nobody waits
					n := x.decide(w, d, "enter", -1, func(s *step) *Refusal {
						_, r := s.enter(name(i), versions[m.version], m.token())
						return r
					})
					n.dup = true
					add(n)
				}
			}
		}
		if w.doc.Halted == nil {
			add(x.decide(w, d, "halt", -1, func(s *step) *Refusal { s.halt("by hand"); return nil }))
		} else {
			add(x.decide(w, d, "resume", -1, func(s *step) *Refusal { s.resume(""); return nil }))
		}
	}
	for i, m := range w.hosts {
		to := func(move string, p phase) {
			n := w.next(name(i) + " " + move)
			n.hosts[i].phase = p
			add(n)
		}
		if m.phase == inside {
			to("is well", well)
			to("goes back", back)
			to("dies", dead)
		}
		if h, holds := w.doc.Holders[name(i)]; m.phase == running && holds && h.Token == m.token() {
			to("gives up", off)
		}
	}
	n := w.next("time passes")
	n.tick++
	add(n)
	if x.two && w.released == 0 {
		n := w.next("a version is released")
		n.released = 1
		add(n)
	}
	return all
}

// write is the compare-and-swap, and what comes of the answer.
func (x *worldTest) write(w *world, desk int, lost bool) *world {
	move := fmt.Sprintf("%d writes", desk)
	if lost {
		move += ", and the answer is lost"
	}
	n := w.next(move)
	p := n.desks[desk]
	n.desks[desk] = nil
	if p.changed {
		if p.stale {
			return n // a conflict: it is decided anew, which is another move
		}
		n.doc, n.revision = p.doc, w.revision+1
		for i, o := range n.desks {
			if i != desk && o != nil {
				o.stale = true
			}
		}
		if p.kind == "enter" && p.granted && p.host >= 0 {
			x.entered(w, n)
		}
	}
	if p.host < 0 || lost {
		return n
	}
	m := &n.hosts[p.host]
	if m.attempt != p.attempt {
		return n
	}
	switch {
	case p.kind == "enter" && p.granted && m.phase == running:
		m.phase, m.version = inside, slices.Index(versions[:], n.doc.Holders[name(p.host)].Version)
		if m.version < 0 {
			m.version = n.released
		}
	case p.kind == "leave" && m.phase == well:
		m.phase = done
		if m.version < n.released {
			m.phase, m.attempt = running, m.attempt+1
		}
	case p.kind == "leave" && m.phase == back:
		m.phase = failed
		if m.version < n.released {
			m.phase = running
		}
		m.attempt++
	case p.kind == "leave" && m.phase == off:
		m.phase, m.attempt = running, m.attempt+1
	case p.kind == "clear" && p.changed && p.granted:
		m.phase, m.attempt = running, m.attempt+1 // somebody has repaired it
	}
	return n
}

// entered looks at what the first wave and its soak should have kept back.
func (x *worldTest) entered(before, after *world) {
	g := after.doc
	if g.Halted != nil {
		x.t.Fatalf("a machine was let in during a halt%v", after.trace)
	}
	if len(x.policy.Waves) == 0 {
		return
	}
	live, canary := 0, x.policy.Waves[0].To.Count
	for _, h := range g.Holders {
		if h.Version == g.Version {
			live++
		}
	}
	if g.Proved < canary && g.Proved+live > canary {
		x.t.Fatalf("%d are on their way or lost, %d have proved it, of a canary of %d%v", live, g.Proved, canary, after.trace)
	}
}

// check holds what must be true of every world.
func (x *worldTest) check(w *world) {
	k, in := x.policy.slots(len(w.hosts)), 0
	for i, m := range w.hosts {
		if m.phase != inside && m.phase != dead {
			continue
		}
		if _, holds := w.doc.Holders[name(i)]; !holds {
			x.t.Fatalf("%s is inside without a slot%v", name(i), w.trace)
		}
		in++
	}
	if in > k || len(w.doc.Holders) > k {
		x.t.Fatalf("%d are inside, %d slots are taken, of %d%v", in, len(w.doc.Holders), k, w.trace)
	}
	if g := w.doc; len(x.policy.Waves) > 0 && g.Wave > len(x.policy.Waves) {
		x.t.Fatalf("wave %d%v", g.Wave, w.trace)
	}
	if w.doc.Halted == nil && len(w.doc.Failed) >= x.policy.failures() {
		x.t.Fatalf("%d have failed, and nothing is halted%v", len(w.doc.Failed), w.trace)
	}
}

// settle lets the world go on without further mishaps, and without anybody doing anything: how far do the machines come?
// It returns why the first that does not get through has to wait.
func (x *worldTest) settle(w *world) (*world, *Refusal) {
	n := w.next("and then all goes well")
	n.doc, n.desks = w.doc.clone(), [2]*pending{}
	const rounds = 8
	for range rounds {
		n.tick += 100 // deadlines, soaks, and what was superseded: all over
		var held *Refusal
		moved := false
		for i := range n.hosts {
			m := &n.hosts[i]
			s := n.doc.at(x.policy, len(n.hosts), n.now())
			switch m.phase {
			case running, failed:
				_, r := s.enter(name(i), versions[n.released], m.token())
				if r != nil {
					if held == nil || r.Verb != "" && held.Verb == "" {
						held = r
					}
					continue
				}
				fallthrough
			case inside, well:
				s.leave(name(i), "", m.token(), Proved, "")
				m.phase, m.version, m.attempt, moved = done, n.released, m.attempt+1, true
			case back:
				s.leave(name(i), versions[m.version], m.token(), Undone, "why")
				m.phase, m.attempt, moved = running, m.attempt+1, true
			case off:
				s.leave(name(i), "", m.token(), Stopped, "")
				m.phase, m.attempt, moved = running, m.attempt+1, true
			}
		}
		if held == nil {
			return n, nil
		}
		if !moved && held.Verb != "" {
			return n, held
		}
	}
	x.t.Fatalf("machines wait, and neither time nor a verb ends it: %s%v", n.doc.dump(), n.trace)
	return nil, nil
}

func (g *group) dump() string { b, _ := json.Marshal(g); return string(b) }

// unstick does what refusals name, until every machine that lives has got through. The other verb must not help.
func (x *worldTest) unstick(w *world) {
	for range 12 {
		n, held := x.settle(w)
		if held == nil {
			return
		}
		other := &world{doc: n.doc.clone(), tick: n.tick, hosts: n.hosts, released: n.released, trace: n.trace}
		s := n.doc.at(x.policy, len(n.hosts), n.now())
		o := other.doc.at(x.policy, len(n.hosts), n.now())
		switch held.Verb {
		case VerbResume:
			for i := range other.hosts {
				o.clear(name(i), "")
			}
			s.resume("")
		case VerbClear:
			o.resume("")
			if len(held.IDs) == 0 {
				x.t.Fatalf("%v: clear whom?%v", held, n.trace)
			}
			for _, id := range held.IDs {
				if r := s.clear(id, ""); r != nil {
					x.t.Fatalf("clearing %s, as %v says: %v%v", id, held, r, n.trace)
				}
				i := int(id[0] - 'a')
				if m := &n.hosts[i]; m.phase == dead {
					m.phase = running
					m.attempt++
				}
			}
		default:
			x.t.Fatalf("%v names no verb%v", held, n.trace)
		}
		if _, still := x.settle(other); still == nil || still.Kind != held.Kind {
			x.t.Fatalf("%v: another verb than %s has ended it, now %v%v", held, held.Verb, still, n.trace)
		}
		w = n
	}
	x.t.Fatalf("no end of verbs: %s%v", w.doc.dump(), w.trace)
}

func TestSmallWorld(t *testing.T) {
	canary := []Wave{{Share{Count: 1}, tickLength / 2}, {All, 0}}
	one := Policy{Deadline: tickLength / 2}
	two := Policy{Waves: canary, AtOnce: Share{Count: 2}, Failures: 2, Deadline: tickLength / 2}
	for _, c := range []struct {
		name        string
		policy      Policy
		two, single bool
		depth       int
	}{
		{"one at a time", one, false, false, testenv.Pick(9, 12, 16)},
		{"one at a time, one coordinator", one, false, true, testenv.Pick(18, 22, 30)},
		{"canary and soak", two, false, false, testenv.Pick(8, 10, 14)},
		{"canary and soak, one coordinator", two, false, true, testenv.Pick(14, 18, 24)},
		{"two versions", two, true, true, testenv.Pick(10, 13, 18)},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &worldTest{t: t, policy: c.policy, two: c.two, single: c.single}
			seed := maphash.MakeSeed()
			first := &world{doc: &group{Format: format}}
			seen := map[uint64]bool{first.key(seed): true}
			frontier, moves := []*world{first}, 0
			for depth := 0; depth < c.depth; depth++ {
				var next []*world
				for _, w := range frontier {
					for _, n := range x.moves(w) {
						moves++
						k := n.key(seed)
						if seen[k] {
							continue
						}
						seen[k] = true
						x.check(n)
						x.unstick(n)
						next = append(next, n)
					}
				}
				frontier = next
			}
			t.Logf("depth %d: %d moves, %d worlds, each played to its end", c.depth, moves, len(seen))
			if len(seen) < 1000 {
				t.Error("there are few worlds: this test looks at nothing")
			}
		})
	}
}
