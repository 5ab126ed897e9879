package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func mustParse(t testing.TB, s string) Policy {
	t.Helper()
	p, err := ParsePolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func coordinator(t testing.TB, s Store, policy string, change ...func(*Options)) *Coordinator {
	t.Helper()
	o := Options{Store: s, Groups: []Group{{Name: "web", Policy: mustParse(t, policy)}}, Logger: quiet}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(id, version string) Ask { return Ask{Group: "web", ID: id, Version: version} }

func refused(t *testing.T, err error, want Kind) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Kind != want {
		t.Fatalf("%v, want a refusal of the kind %s", err, want)
	}
	return r
}

// faulty is a store that now and then does not answer: before it has done what it was asked, or after.
type faulty struct {
	Store
	mu    sync.Mutex
	r     *rand.Rand
	one   int // of so many calls
	swaps atomic.Int64
	// If they are there, a Get says that it has come, and waits.
	came, gate chan struct{}
}

var errAway = errors.New("the store is away")

func (f *faulty) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.one > 0 && f.r.IntN(f.one) == 0
}

func (f *faulty) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if f.gate != nil {
		f.came <- struct{}{}
		<-f.gate
	}
	if f.fails() {
		return nil, 0, errAway
	}
	return f.Store.Get(ctx, key)
}

func (f *faulty) CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if strings.HasPrefix(key, "groups/") {
		f.swaps.Add(1)
	}
	if f.fails() {
		return 0, errAway
	}
	r, err := f.Store.CompareAndSwap(ctx, key, value, revision)
	if f.fails() {
		return 0, errAway
	}
	return r, err
}

// Forty machines on three slots, two coordinators, and a store that fails one call in five, before or after.
func TestCrowd(t *testing.T) {
	store := &faulty{Store: &Memory{}, r: rand.New(rand.NewPCG(1, 2)), one: 5}
	var c [2]*Coordinator
	for i := range c {
		c[i] = coordinator(t, store, "canary 1, then all; max 3 at once; halt after 5 failures")
	}
	var inside, most, done atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			a := Ask{Group: "web", ID: fmt.Sprint("host", i), Version: "1.1.0", From: "1.0.0", Token: fmt.Sprint("t", i)}
			for n := i; ; n++ {
				if _, err := c[n%2].Enter(t.Context(), a); err == nil {
					break
				}
				runtime.Gosched()
			}
			now := inside.Add(1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			runtime.Gosched()
			inside.Add(-1)
			for n := i; c[n%2].Leave(t.Context(), Report{Group: "web", ID: a.ID, Version: a.Version, Token: a.Token}) != nil; n++ {
			}
			done.Add(1)
		})
	}
	wg.Wait()
	if most.Load() > 3 || done.Load() != 40 {
		t.Errorf("%d at once, %d done", most.Load(), done.Load())
	}
	store.one = 0
	s, err := c[0].Status(t.Context(), "", "web")
	if err != nil || s.Proved != 40 || len(s.Holders) != 0 || len(s.Failed) != 0 || s.Halted != nil {
		t.Errorf("%+v %v", s, err)
	}
}

// A crowd costs the store no more than a few writes.
func TestBatch(t *testing.T) {
	store := &faulty{Store: &Memory{}}
	c := coordinator(t, store, "max all at once; size 2000")
	if _, err := c.Enter(t.Context(), ask("first", "1.1.0")); err != nil { // has read what is known of the machines
		t.Fatal(err)
	}
	store.came, store.gate = make(chan struct{}, 10), make(chan struct{})
	store.swaps.Store(0)
	const crowd = 500
	var wg sync.WaitGroup
	come := func(i int) {
		wg.Go(func() {
			if _, err := c.Enter(t.Context(), ask(fmt.Sprint("h", i), "1.1.0")); err != nil {
				t.Error(err)
			}
		})
	}
	come(0)
	<-store.came // the first one is being decided about
	for i := 1; i < crowd; i++ {
		come(i)
	}
	d := c.desk(groupKey{"", "web"})
	for waiting := 0; waiting < crowd-1; runtime.Gosched() {
		d.mu.Lock()
		waiting = len(d.waiting)
		d.mu.Unlock()
	}
	close(store.gate)
	wg.Wait()
	if n := store.swaps.Load(); n != 2 {
		t.Errorf("one machine and then %d at once were let in by %d writes", crowd-1, n)
	}
}

// A caller that goes away before the decision is not given a slot.
func TestGoneBeforeTheDecision(t *testing.T) {
	store := &faulty{Store: &Memory{}}
	c := coordinator(t, store, "max 1 at once")
	if _, err := c.Status(t.Context(), "", "web"); err != nil {
		t.Fatal(err)
	}
	store.came, store.gate = make(chan struct{}, 10), make(chan struct{})
	first := make(chan error)
	go func() { first <- c.Leave(t.Context(), Report{Group: "web", ID: "first"}) }()
	<-store.came // so what comes now waits
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Enter(ctx, ask("gone", "1.1.0")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(store.gate)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enter(t.Context(), ask("here", "1.1.0")); err != nil {
		t.Fatalf("who has gone away is in the way: %v", err)
	}
}

// What the operator wants counts from the next decision on, and is never what some other coordinator has stored.
func TestPolicyIsConfiguration(t *testing.T) {
	var store Memory
	c := coordinator(t, &store, "max 1 at once")
	if _, err := c.Enter(t.Context(), ask("a", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Enter(t.Context(), ask("b", "1.1.0"))
	refused(t, err, KindFull)
	if err := c.SetGroups([]Group{{Name: "web", Policy: mustParse(t, "max 2 at once")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enter(t.Context(), ask("b", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetGroups([]Group{{Name: "web"}, {Name: "web"}}); err == nil {
		t.Error("a group is there twice")
	}
	if err := c.SetGroups([]Group{{Name: "db"}}); err != nil {
		t.Fatal(err)
	}
	var invalid *InvalidError
	if _, err := c.Enter(t.Context(), ask("c", "1.1.0")); !errors.As(err, &invalid) || invalid.Kind != "unknown_group" {
		t.Errorf("a group that is no longer configured answers %v", err)
	}
	if err := c.SetGroups([]Group{{Name: "web", Policy: mustParse(t, "max 2 at once")}}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Enter(t.Context(), ask("c", "1.1.0"))
	refused(t, err, KindFull)
}

// An older coordinator beside a newer one decides nothing by a document that it does not understand.
func TestNewerDocument(t *testing.T) {
	for doc, want := range map[string]string{`{"format":2,"barred":["a"]}`: "newer", `{"format":1,"holders":7}`: "damaged", `nonsense`: "damaged"} {
		var store Memory
		if _, err := store.CompareAndSwap(t.Context(), "groups/_/web", []byte(doc), 0); err != nil {
			t.Fatal(err)
		}
		c := coordinator(t, &store, "max 1 at once")
		var away *UnavailableError
		_, err := c.Enter(t.Context(), ask("a", "1.1.0"))
		if !errors.As(err, &away) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", doc, err)
		}
		if _, err := c.Status(t.Context(), "", "web"); err == nil {
			t.Errorf("%s: there is a status", doc)
		}
		if v, _, _ := store.Get(t.Context(), "groups/_/web"); string(v) != doc {
			t.Errorf("%s was replaced by %s", doc, v)
		}
	}
}

// A machine's story, as an audit log has it.
func TestEvents(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var got []string
	c := coordinator(t, &Memory{}, "canary 1, then all; max 2 at once; halt after 2 failures; deadline 1m; size 10", func(o *Options) {
		o.Now = func() time.Time { return now }
		o.OnEvent = func(e Event) { got = append(got, strings.TrimSpace(fmt.Sprint(e.Kind, " ", e.ID))) }
	})
	ctx := t.Context()
	enter := func(id string) error { _, err := c.Enter(ctx, ask(id, "1.1.0")); return err }
	leave := func(id string, o Outcome) {
		if err := c.Leave(ctx, Report{Group: "web", ID: id, Outcome: o, Reason: "crashed\nat once"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := enter("a"); err != nil {
		t.Fatal(err)
	}
	refused(t, enter("b"), KindWave)
	leave("a", Proved)
	if err := errors.Join(enter("b"), enter("c")); err != nil {
		t.Fatal(err)
	}
	leave("b", Undone)
	now = now.Add(2 * time.Minute)
	r := refused(t, enter("d"), KindHalted)
	if r.Verb != VerbResume {
		t.Errorf("%+v", r)
	}
	leave("c", Proved)
	leave("c", Proved)
	refused(t, enter("d"), KindHalted)
	if err := errors.Join(c.Resume(ctx, "", "web", "looked at it"), c.Resume(ctx, "", "web", "")); err != nil {
		t.Fatal(err)
	}
	if err := enter("d"); err != nil {
		t.Fatal(err)
	}
	refused(t, c.Clear(ctx, "", "web", "d", ""), KindFull)
	now = now.Add(2 * time.Minute)
	refused(t, enter("d"), KindFailed)
	if err := c.Clear(ctx, "", "web", "d", ""); err != nil {
		t.Fatal(err)
	}
	leave("d", Undone) // it has been cleared: this is old
	if err := c.Halt(ctx, "", "web", ""); err != nil {
		t.Fatal(err)
	}
	want := []string{"began", "entered a", "proved a", "wave", "entered b", "entered c", "failed b", "lost c", "halted",
		"found c", "proved c", "resumed", "entered d", "lost d", "cleared d", "halted"}
	if !slices.Equal(got, want) {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

// A version that takes the place of another: its rollout begins anew, slots that are taken stay taken, and machines that
// have not heard of it do not turn the group back.
func TestSuperseded(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := coordinator(t, &Memory{}, "canary 1, then all; max 2 at once; halt after 2 failures; deadline 10m; size 10", func(o *Options) {
		o.Now = func() time.Time { return now }
	})
	ctx := t.Context()
	enter := func(id, v string) error { _, err := c.Enter(ctx, ask(id, v)); return err }
	leave := func(id string, o Outcome) {
		t.Helper()
		if err := c.Leave(ctx, Report{Group: "web", ID: id, Outcome: o}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(enter("a", "1.1.0"), enter("b", "1.2.0")); err != nil {
		t.Fatal(err)
	}
	refused(t, enter("c", "1.2.0"), KindFull) // a and b are inside
	leave("a", Undone)                        // of 1.1.0, which says nothing about 1.2.0
	r := refused(t, enter("c", "1.1.0"), KindWave)
	if !strings.Contains(r.Reason, "1.2.0") {
		t.Error(r)
	}
	refused(t, enter("c", "1.2.0"), KindWave)
	leave("b", Proved)
	s, err := c.Status(ctx, "", "web")
	if err != nil || s.Version != "1.2.0" || s.Proved != 1 || len(s.Failed) != 0 {
		t.Fatalf("%+v %v", s, err)
	}
	now = now.Add(superseded + time.Second) // the publisher has gone back
	if err := enter("c", "1.1.0"); err != nil {
		t.Fatal(err)
	}
	// A halt is not ended by a version either.
	if err := c.Halt(ctx, "", "web", "no"); err != nil {
		t.Fatal(err)
	}
	refused(t, enter("d", "1.3.0"), KindHalted)
}

// A machine that breaks half an hour later has failed with the version, once.
func TestBreaksLater(t *testing.T) {
	c := coordinator(t, &Memory{}, "canary 2, soak 1h, then all; max 2 at once; halt after 2 failures; size 10")
	ctx := t.Context()
	for _, id := range []string{"a", "b"} {
		if _, err := c.Enter(ctx, ask(id, "1.1.0")); err != nil {
			t.Fatal(err)
		}
		if err := c.Leave(ctx, Report{Group: "web", ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []Report{{ID: "a", Version: "1.1.0"}, {ID: "a", Version: "1.1.0"}, {ID: "b", Version: "1.0.0"}, {ID: "b"}} {
		r.Group, r.Outcome = "web", Undone
		if err := c.Leave(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := c.Status(ctx, "", "web"); err != nil || len(s.Failed) != 1 || s.Halted != nil {
		t.Fatalf("%+v %v", s, err)
	}
	if err := c.Leave(ctx, Report{Group: "web", ID: "b", Version: "1.1.0", Outcome: Undone}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Enter(ctx, ask("c", "1.1.0"))
	refused(t, err, KindHalted)
}

// An operator who resumes a group knows which machines are missing. A late report that one of them was rolled back does not
// halt the group again.
func TestForgivenFailureIsNoNews(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := coordinator(t, &Memory{}, "max 2 at once; halt after 1 failure; deadline 1m; size 10", func(o *Options) {
		o.Now = func() time.Time { return now }
	})
	ctx := t.Context()
	if _, err := c.Enter(ctx, ask("a", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Minute)
	_, err := c.Enter(ctx, ask("b", "1.1.0"))
	refused(t, err, KindHalted)
	if err := errors.Join(c.Resume(ctx, "", "web", ""), c.Leave(ctx, Report{Group: "web", ID: "a", Version: "1.1.0", Outcome: Undone})); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Status(ctx, "", "web"); err != nil || s.Halted != nil || len(s.Holders) != 0 {
		t.Errorf("%+v %v", s, err)
	}
}

// Two machines of one id do not share a slot, and one cannot report for the other.
func TestSameID(t *testing.T) {
	c := coordinator(t, &Memory{}, "max 2 at once; size 10")
	ctx := t.Context()
	a := Ask{Group: "web", ID: "a", Version: "1.1.0", Token: "one"}
	if _, err := c.Enter(ctx, a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enter(ctx, a); err != nil {
		t.Fatalf("asked again: %v", err)
	}
	clone := a
	clone.Token = "two"
	_, err := c.Enter(ctx, clone)
	refused(t, err, KindSameID)
	if err := c.Leave(ctx, Report{Group: "web", ID: "a", Token: "two", Outcome: Stopped}); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Status(ctx, "", "web"); err != nil || len(s.Holders) != 1 {
		t.Errorf("another machine's report has freed the slot: %+v %v", s, err)
	}
	later := a
	later.Version, later.Token = "1.2.0", ""
	_, err = c.Enter(ctx, later) // it has not said what has become of 1.1.0
	refused(t, err, KindSameID)
	if err := c.Leave(ctx, Report{Group: "web", ID: "a"}); err != nil { // another process of it
		t.Fatal(err)
	}
	if s, err := c.Status(ctx, "", "web"); err != nil || len(s.Holders) != 0 || s.Proved != 1 {
		t.Errorf("%+v %v", s, err)
	}
}

// A group that grows while a wave soaks does not soak for ever; one that turns out to be much larger begins again.
func TestSoakOfAGrowingGroup(t *testing.T) {
	p := mustParse(t, "then 10 %, soak 1h, then all; max 100 at once")
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	g := &group{Format: format}
	n := 0
	turn := func(known int) *Refusal {
		s := g.at(p, known, now)
		n++
		id := fmt.Sprint("h", n)
		if _, r := s.enter(id, "1.1.0", ""); r != nil {
			return r
		}
		s.leave(id, "", "", Proved, "")
		return nil
	}
	for range 10 {
		if r := turn(100); r != nil {
			t.Fatal(r)
		}
	}
	full := now
	now = now.Add(30 * time.Minute)
	if r := turn(100); r == nil || r.Kind != KindSoak || r.After != 30*time.Minute {
		t.Fatal(r)
	}
	if r := turn(110); r != nil { // the wave is of eleven now
		t.Fatal(r)
	}
	if r := turn(110); r == nil || r.Kind != KindSoak || !now.Add(r.After).Equal(full.Add(time.Hour)) {
		t.Fatal("the soak has begun anew:", r)
	}
	now = full.Add(time.Hour)
	if r := turn(110); r != nil {
		t.Fatal(r)
	}
	for g.Proved < 24 {
		if r := turn(240); r != nil {
			t.Fatal(r)
		}
	}
	if r := turn(240); r == nil || r.Kind != KindSoak || r.After != time.Hour {
		t.Fatal("twice as many machines, and they are not watched:", r)
	}
}

// A coordinator that knows nobody yet takes the first machines for all of them; they are watched all the same, and once
// there are more the waves are filled with as many.
func TestWavesOfAnUnknownGroup(t *testing.T) {
	p := mustParse(t, "canary 5, soak 1h, then 10 %, then 50 %, soak 1h, then all; max 100 at once")
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	g := &group{Format: format}
	known := 0
	var last *Refusal
	turn := func() bool {
		known++
		s := g.at(p, known, now)
		id := fmt.Sprint("h", known)
		if _, last = s.enter(id, "1.1.0", ""); last != nil {
			return false
		}
		s.leave(id, "", "", Proved, "")
		return true
	}
	play := func() (entered int) {
		for range 1000 {
			if turn() {
				entered++
			}
		}
		return entered
	}
	if n := play(); n != 5 || last.Kind != KindSoak {
		t.Fatalf("%d canaries, then %v", n, last)
	}
	now = now.Add(time.Hour)
	if n := play(); g.Proved >= known || last.Kind != KindSoak || g.Proved < 500 || g.Proved > known/2 {
		t.Fatalf("%d more, %d of %d, then %v", n, g.Proved, known, last)
	}
	now = now.Add(time.Hour)
	if n := play(); n != 1000 {
		t.Fatalf("%d of the last thousand: %v", n, last)
	}
}

// How many machines there are is known by the next process too, and by the other coordinator.
func TestHostsAreRemembered(t *testing.T) {
	var store Memory
	c := coordinator(t, &store, "max 1 at once; halt after 9 failures")
	other := coordinator(t, &store, "max 1 at once; halt after 9 failures")
	if _, err := other.Enter(t.Context(), Ask{Group: "web", ID: "z", Version: "1.1.0", From: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		c.Enter(t.Context(), Ask{Group: "web", ID: fmt.Sprintf("h%03d", i), Version: "1.1.0", From: "1.0.0"})
	}
	if err := errors.Join(c.Flush(t.Context()), other.Flush(t.Context()), c.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	next := coordinator(t, &store, "max 1 at once")
	s, err := next.Status(t.Context(), "", "web")
	if err != nil || s.Hosts != 301 || s.Versions["1.0.0"] != 301 {
		t.Fatalf("%d %v %v", s.Hosts, s.Versions, err)
	}
	hosts, err := next.Hosts("", "web", "h100", 2)
	if err != nil || len(hosts) != 2 || hosts[0].ID != "h101" || hosts[0].Held != KindFull || hosts[1].Wants != "1.1.0" {
		t.Errorf("%+v %v", hosts, err)
	}
	// A machine that has not been seen for a month is forgotten.
	old := coordinator(t, &store, "max 1 at once", func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(hostMemory + time.Hour) }
	})
	if s, err := old.Status(t.Context(), "", "web"); err != nil || s.Hosts != 0 {
		t.Errorf("%d %v", s.Hosts, err)
	}
}

func TestTenThousandHostsInMemory(t *testing.T) {
	c := coordinator(t, &Memory{}, "max 1 at once")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 10_000
	d := c.desk(groupKey{"", "web"})
	for i := range n {
		d.hosts.meet(fmt.Sprintf("host-%032x", i), "1.0.0", "1.1.0", time.Now())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d hosts take %d KiB", n, used>>10)
	if d.hosts.count() != n || used > 8<<20 {
		t.Errorf("%d hosts take %d MiB", d.hosts.count(), used>>20)
	}
	runtime.KeepAlive(c)
}

func TestInvalidAsks(t *testing.T) {
	c := coordinator(t, &Memory{}, "max 1 at once", func(o *Options) {
		o.Groups = append(o.Groups, Group{Name: "db", App: "one"}, Group{Name: "db", App: "two"}, Group{Name: "solo", App: "one"})
	})
	for _, k := range []struct {
		ask  Ask
		kind string
	}{
		{Ask{Group: "web"}, "invalid_client_identity"},
		{Ask{Group: "web", ID: "a b"}, "invalid_client_identity"},
		{Ask{Group: "web", ID: "a\x1b[1m"}, "invalid_client_identity"},
		{Ask{Group: "web", ID: strings.Repeat("a", 129)}, "invalid_client_identity"},
		{Ask{Group: "none", ID: "a"}, "unknown_group"},
		{Ask{Group: "", ID: "a"}, "unknown_group"},
		{Ask{Group: "../x", ID: "a"}, "unknown_group"},
		{Ask{Group: "db", ID: "a"}, "ambiguous_group"},
		{Ask{Group: "db", App: "three", ID: "a"}, "unknown_group"},
		{Ask{Group: "web", ID: "a", Version: strings.Repeat("1", 65)}, "invalid_version"},
		{Ask{Group: "web", ID: "a", From: "1\n"}, "invalid_version"},
		{Ask{Group: "web", ID: "a", Token: "é"}, "invalid_token"},
	} {
		var invalid *InvalidError
		if _, err := c.Enter(t.Context(), k.ask); !errors.As(err, &invalid) || invalid.Kind != k.kind {
			t.Errorf("%+v: %v", k.ask, err)
		}
	}
	if _, err := c.Enter(t.Context(), Ask{Group: "solo", ID: "a"}); err != nil {
		t.Errorf("the only group of that name: %v", err)
	}
	if err := c.Leave(t.Context(), Report{Group: "web", ID: "a", Outcome: "broken"}); err == nil {
		t.Error("there is a fourth outcome")
	}
	for _, bad := range []Group{{Name: ""}, {Name: "a/b"}, {Name: ".a"}, {Name: "a."}, {Name: "a..b"}, {Name: "a", App: "A"}, {Name: "a", App: "x/y"}, {Name: "ä"}, {Name: "a", Policy: Policy{Failures: -1}}} {
		if _, err := New(Options{Store: &Memory{}, Groups: []Group{bad}}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if _, err := New(Options{Groups: []Group{{Name: "a"}}}); err == nil {
		t.Error("no store is needed")
	}
	if _, err := New(Options{Store: &Memory{}}); err == nil {
		t.Error("no group is needed")
	}
}
