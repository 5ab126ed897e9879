package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-go/theseus/fleet"
)

// A world is a fleet, a release and what goes wrong. The machines are simulated; the coordinators are fleet's own, on a
// simulated clock and a store that can be cut off.
type world struct {
	hosts        int
	policy       string
	coordinators int
	release      release

	lateArrivers float64       // share of the machines that come in the hour after the first
	clones       int           // machines that have the id of another one
	skew         time.Duration // how far the second coordinator's clock is ahead
	lostAnswers  float64       // share of answers that do not arrive
	partition    bool          // the second coordinator cannot reach the store between minute 10 and 40
	days         int           // after which the simulation ends; 0: 3
	interval     time.Duration // between polls; 0: an hour
}

// A release is good, or bad in one of these ways, on a share of the machines.
type release struct {
	kills  float64 // the machine never comes back
	undone float64 // fails in probation and is undone
	breaks float64 // breaks half an hour after it was proved, and says so
}

type result struct {
	Hosts    int           `json:"hosts"`
	Proved   int           `json:"proved"`
	Hurt     int           `json:"hurt"`   // machines on which the release did harm
	Killed   int           `json:"killed"` // those that never came back
	Most     int           `json:"most"`   // on their way at once
	Slots    int           `json:"slots"`
	Asks     int           `json:"asks"`
	Half     time.Duration `json:"half"` // after so long half of them have it
	Nearly   time.Duration `json:"nearly"`
	Halted   bool          `json:"halted"`
	Wrong    []string      `json:"wrong,omitempty"` // rules that did not hold
	RealTime time.Duration `json:"real_time"`
}

const (
	probation = 15 * time.Second // swap, handover and probation
	tick      = time.Second      // what happens within one is asked at once, as on a real server
	breakTime = 30 * time.Minute
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

type event struct {
	at   time.Duration
	what kind
	host int32
}

type kind uint8

const (
	poll  kind = iota
	end        // of probation
	crash      // of a machine that was proved
)

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// cutStore is a store that one coordinator cannot reach for a while.
type cutStore struct {
	fleet.Store
	cut *atomic.Bool
}

var errCut = errors.New("the store cannot be reached")

func (s cutStore) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if s.cut.Load() {
		return nil, 0, errCut
	}
	return s.Store.Get(ctx, key)
}

func (s cutStore) CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if s.cut.Load() {
		return 0, errCut
	}
	return s.Store.CompareAndSwap(ctx, key, value, revision)
}

// run plays a world to its end.
func run(w world, seed uint64) (result, error) {
	began := time.Now()
	if w.days == 0 {
		w.days = 3
	}
	if w.interval == 0 {
		w.interval = time.Hour
	}
	policy, err := fleet.ParsePolicy(w.policy)
	if err != nil {
		return result{}, err
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	var now atomic.Int64 // since start
	var cut atomic.Bool
	store := &fleet.Memory{}
	var cs []*fleet.Coordinator
	for i := range max(w.coordinators, 1) {
		skew, s := time.Duration(0), cutStore{store, new(atomic.Bool)}
		if i == 1 {
			skew, s.cut = w.skew, &cut
		}
		c, err := fleet.New(fleet.Options{
			Store: s, Groups: []fleet.Group{{Name: "sim", Policy: policy}}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Now: func() time.Time { return start.Add(time.Duration(now.Load()) + skew) },
		})
		if err != nil {
			return result{}, err
		}
		cs = append(cs, c)
	}

	type machine struct {
		id     int32
		inside bool
		killed bool
		proved bool
		fate   uint8 // 0 well, 1 killed, 2 undone, 3 breaks
	}
	n := w.hosts + w.clones
	ms := make([]machine, n)
	var q queue
	for i := range ms {
		m := &ms[i]
		m.id = int32(i)
		if i >= w.hosts {
			m.id = int32(i - w.hosts) // the id of another one
		}
		switch x := rnd.Float64(); {
		case x < w.release.kills:
			m.fate = 1
		case x < w.release.kills+w.release.undone:
			m.fate = 2
		case x < w.release.kills+w.release.undone+w.release.breaks:
			m.fate = 3
		}
		at := time.Duration(rnd.Float64() * float64(w.interval))
		if rnd.Float64() < w.lateArrivers {
			at += w.interval
		}
		q = append(q, event{at, poll, int32(i)})
	}
	heap.Init(&q)

	r := result{Hosts: n}
	var mu sync.Mutex // what follows is changed by the asks of one tick
	var done []time.Duration
	inside := 0
	push := func(e event) { heap.Push(&q, e) }
	lost := func() bool { return w.lostAnswers > 0 && rnd.Float64() < w.lostAnswers }
	ctx := context.Background()
	ask := func(e event) {
		m := &ms[e.host]
		mu.Lock()
		c, dropped := cs[rnd.IntN(len(cs))], lost()
		again := time.Duration(rnd.Float64() * float64(10*time.Second))
		r.Asks++
		mu.Unlock()
		_, err := c.Enter(ctx, fleet.Ask{Group: "sim", ID: fmt.Sprint("h", m.id), Version: "1.1.0", From: "1.0.0", Token: fmt.Sprint(e.host)})
		mu.Lock()
		defer mu.Unlock()
		var refusal *fleet.Refusal
		switch {
		case errors.As(err, &refusal):
			r.Halted = r.Halted || refusal.Kind == fleet.KindHalted
			if refusal.Kind != fleet.KindFailed {
				push(event{e.at + max(tick, min(refusal.After, w.interval)+again), poll, e.host})
			}
		case err != nil || dropped:
			push(event{e.at + 30*time.Second + again, poll, e.host})
		default:
			m.inside = true
			inside++
			r.Most = max(r.Most, inside)
			push(event{e.at + probation, end, e.host})
		}
	}
	report := func(e event, o fleet.Outcome) bool {
		m := &ms[e.host]
		mu.Lock()
		c, dropped := cs[rnd.IntN(len(cs))], lost()
		mu.Unlock()
		err := c.Leave(ctx, fleet.Report{Group: "sim", ID: fmt.Sprint("h", m.id), Version: "1.1.0", From: "1.0.0", Token: fmt.Sprint(e.host), Outcome: o})
		if err == nil && !dropped {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		push(event{e.at + 30*time.Second, e.what, e.host})
		return false
	}
	finish := func(e event) {
		m := &ms[e.host]
		mu.Lock()
		if m.inside { // only once, however often it has to report
			m.inside = false
			if m.fate == 1 {
				m.killed = true
				r.Hurt++
				r.Killed++
				inside++ // for ever
			}
			inside--
			if m.fate == 2 {
				r.Hurt++
			}
		}
		fate, killed := m.fate, m.killed
		mu.Unlock()
		switch {
		case killed:
		case fate == 2:
			report(e, fleet.Undone)
		case report(e, fleet.Proved):
			mu.Lock()
			defer mu.Unlock()
			m.proved = true
			r.Proved++
			done = append(done, e.at)
			if fate == 3 {
				r.Hurt++
				push(event{e.at + breakTime, crash, e.host})
			}
		}
	}

	// Coordinators tell each other now and then how many machines there are. In a large world they do so less often.
	exchange, flush := time.Duration(0), time.Duration(max(1, n/10_000))*time.Minute
	for q.Len() > 0 {
		from := q[0].at.Truncate(tick)
		if from > time.Duration(w.days)*24*time.Hour {
			break
		}
		now.Store(int64(from))
		if from >= exchange {
			exchange = from + flush
			if from > 3*time.Hour { // they know each other
				exchange = from + time.Hour
			}
			for _, c := range cs {
				_ = c.Flush(ctx) // one that is cut off does it later
			}
		}
		cut.Store(w.partition && from >= 10*time.Minute && from < 40*time.Minute)
		var batch []event
		for q.Len() > 0 && q[0].at < from+tick {
			batch = append(batch, heap.Pop(&q).(event))
		}
		var wg sync.WaitGroup
		for _, e := range batch {
			wg.Go(func() {
				switch e.what {
				case poll:
					ask(e)
				case end:
					finish(e)
				case crash:
					report(e, fleet.Undone)
				}
			})
		}
		wg.Wait()
	}

	for range 2 {
		for _, c := range cs {
			if err := c.Flush(ctx); err != nil {
				return r, err
			}
		}
	}
	s, err := cs[0].Status(ctx, "", "sim")
	if err != nil {
		return r, err
	}
	r.Slots, r.Halted = s.Slots, s.Halted != nil
	if r.Most > r.Slots {
		r.Wrong = append(r.Wrong, fmt.Sprintf("%d were on their way at once, of %d slots", r.Most, r.Slots))
	}
	if w.release == (release{}) && (r.Proved != n || r.Halted) {
		r.Wrong = append(r.Wrong, fmt.Sprintf("%d of %d have a good release (halted: %v)", r.Proved, n, r.Halted))
	}
	slices.Sort(done)
	if len(done) >= (n+1)/2 {
		r.Half = done[(n+1)/2-1]
	}
	if k := (n*99 + 99) / 100; len(done) >= k {
		r.Nearly = done[k-1]
	}
	r.RealTime = time.Since(began)
	return r, nil
}
