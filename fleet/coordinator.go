package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-go/theseus/internal/text"
)

// Options says what a Coordinator decides about. Store and Groups are required.
type Options struct {
	Store  Store
	Groups []Group

	// Logger gets what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// OnEvent is called for every event once it is in the store, and before who caused it has its answer: an audit log
	// says at least as much as the machines know. Events of one group come one at a time and in order, those of several
	// may come at once.
	OnEvent func(Event)
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Group is a name that machines are grouped under, and what its operator wants.
type Group struct {
	Name   string `json:"group"`         // as FleetLock has it: 1 to 64 letters, digits, '.' and '-'
	App    string `json:"app,omitempty"` // "" serves machines that name no app, or any
	Policy Policy `json:"policy"`
}

// A Coordinator says who of a group may go now. Its methods may be called by any number of goroutines; each returns once
// the store has what it says.
type Coordinator struct {
	opts   Options
	groups atomic.Pointer[map[groupKey]Policy]
	hosts  atomic.Int64
	counts counts

	mu    sync.Mutex
	desks map[groupKey]*desk
}

type groupKey struct{ app, name string }

func (k groupKey) String() string {
	if k.app == "" {
		return k.name
	}
	return k.app + "/" + k.name
}

// storeKey has a part that is there for all, so that no app has the name of another's folder.
func (k groupKey) storeKey(kind string) string {
	return kind + "/" + cmp.Or(k.app, "_") + "/" + k.name
}

// Limits of what is waited for.
const (
	storePatience = 5 * time.Second // for one call of the store
	carryPatience = 8 * time.Second // for asks to be carried, however often somebody else was faster
	maxBatch      = 1024            // asks that one document is changed for at once
	maxWaiting    = 20000           // asks of a group; more are told to come later
)

// New returns a Coordinator. It starts nothing.
func New(o Options) (*Coordinator, error) {
	if o.Store == nil {
		return nil, errors.New("fleet: Options.Store is nil; it is required")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Coordinator{opts: o, desks: map[groupKey]*desk{}}
	return c, c.SetGroups(o.Groups)
}

// SetGroups exchanges the groups and their policies, which count from the next decision on. An error changes nothing. A
// group that is no longer named keeps its document, and goes on where it was when it is named again.
func (c *Coordinator) SetGroups(groups []Group) error {
	m := map[groupKey]Policy{}
	for _, g := range groups {
		k := groupKey{g.App, g.Name}
		if !validName(g.Name) {
			return fmt.Errorf("fleet: group %.70q: 1 to 64 letters, digits, '.' and '-' are needed, a letter or digit first and last, and no two dots together", g.Name)
		}
		if g.App != "" && !validApp(g.App) {
			return fmt.Errorf("fleet: app %.70q: 1 to 64 of a-z, 0-9, '.', '_' and '-' are needed, a letter or digit first", g.App)
		}
		if _, ok := m[k]; ok {
			return fmt.Errorf("fleet: the group %v is there twice", k)
		}
		if err := g.Policy.Check(); err != nil {
			return fmt.Errorf("fleet: group %v: %w", k, err)
		}
		m[k] = g.Policy
	}
	if len(m) == 0 {
		return errors.New("fleet: there is no group")
	}
	c.groups.Store(&m)
	return nil
}

// Groups returns the groups that there are, in order.
func (c *Coordinator) Groups() (all []Group) {
	for k, p := range *c.groups.Load() {
		all = append(all, Group{k.name, k.app, p})
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Name, b.Name)) })
	return all
}

func alnum(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func validName(s string) bool {
	if s == "" || len(s) > 64 || !alnum(s[0]) || !alnum(s[len(s)-1]) || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' || !alnum(byte(r)) && r != '.' && r != '-' })
}

func validApp(s string) bool {
	if s == "" || len(s) > 64 || !alnum(s[0]) || !alnum(s[len(s)-1]) || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || r >= 'A' && r <= 'Z' || !alnum(byte(r)) && r != '.' && r != '-' && r != '_'
	})
}

// validID reports whether an id is one visible word. FleetLock lets clients choose the form of their ids, but operators have to
// read and type them.
func validID(s string) bool { return visible(s, 128) }

func visible(s string, max int) bool {
	return s != "" && len(s) <= max && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// InvalidError is about an ask that makes no sense, whenever it comes.
type InvalidError struct {
	Kind   string // of a FleetLock answer
	Reason string
}

func (e *InvalidError) Error() string { return e.Reason }

// UnavailableError says that the store did not do its part: nothing is known to have changed. Ask again.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "the store does not answer: " + e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }

// Ask is what a machine says when it asks to go. Group and ID are required.
type Ask struct {
	App, Group string
	ID         string // of the machine: 1 to 128 visible ASCII characters
	Version    string // that it wants to go to. FleetLock has none, and then there are no waves
	From       string // that it runs
	Token      string // of this ask, the same when it is repeated: two machines of one id are told apart by it
}

// Enter returns a slot if the machine may go now, and otherwise a *Refusal, an *InvalidError, an *UnavailableError or the
// error of ctx. Asked again with the same words, it answers the same slot.
func (c *Coordinator) Enter(ctx context.Context, a Ask) (Slot, error) {
	k, err := c.check(&a)
	if err != nil {
		return Slot{}, err
	}
	var slot Slot
	var refusal *Refusal
	d := c.desk(k)
	d.hosts.meet(a.ID, a.From, a.Version, c.opts.Now()) // before, because a share is also of this one
	err = d.do(ctx, func(s *step) { slot, refusal = s.enter(a.ID, a.Version, a.Token) })
	switch {
	case err != nil:
		c.counts.asked("error")
		return Slot{}, err
	case refusal != nil:
		c.counts.asked(string(refusal.Kind))
		d.hosts.see(a.ID, "", refusal.Kind, c.opts.Now())
		// The more there are, the less often each of them asks, and not all at once when a soak ends: a hundred a second.
		if crowd := time.Duration(d.hosts.count()/50) * time.Second; crowd > 0 {
			refusal.After += rand.N(crowd)
		}
		return Slot{}, refusal
	}
	c.counts.asked("entered")
	d.hosts.see(a.ID, "", "", c.opts.Now())
	return slot, nil
}

// Report is what a machine says when its turn is over. Group and ID are required.
type Report struct {
	App, Group string
	ID         string
	Version    string // that it was to go to, and From that it came from, if they are known
	From       string
	Token      string  // of its ask, if it is known
	Outcome    Outcome // "" is Proved, as in FleetLock
	Reason     string  // of Undone and Stopped
}

// Leave takes a machine's report, and its slot back. A machine that has none may say so as often as it likes. Errors are
// those of Enter but for *Refusal.
func (c *Coordinator) Leave(ctx context.Context, r Report) error {
	a := Ask{r.App, r.Group, r.ID, r.Version, r.From, r.Token}
	k, err := c.check(&a)
	if err != nil {
		return err
	}
	r.Outcome = cmp.Or(r.Outcome, Proved)
	if r.Outcome != Proved && r.Outcome != Undone && r.Outcome != Stopped {
		return &InvalidError{"invalid_outcome", fmt.Sprintf("the outcome %.20q is none of proved, undone and stopped", r.Outcome)}
	}
	d := c.desk(k)
	if err := d.do(ctx, func(s *step) { s.leave(r.ID, r.Version, r.Token, r.Outcome, r.Reason) }); err != nil {
		return err
	}
	c.counts.asked("left")
	runs := r.Version
	if r.Outcome != Proved {
		runs = r.From
	}
	d.hosts.see(r.ID, runs, "", c.opts.Now())
	return nil
}

// check says which group is meant. Who names no app gets the group of that name if only one app has it.
func (c *Coordinator) check(a *Ask) (groupKey, error) {
	switch {
	case !validID(a.ID):
		return groupKey{}, &InvalidError{"invalid_client_identity", "client_params.id has to be 1 to 128 visible ASCII characters without spaces"}
	case a.Version != "" && !visible(a.Version, 64), a.From != "" && !visible(a.From, 64):
		return groupKey{}, &InvalidError{"invalid_version", "version and from have to be up to 64 visible ASCII characters"}
	case a.Token != "" && !visible(a.Token, 64):
		return groupKey{}, &InvalidError{"invalid_token", "token has to be up to 64 visible ASCII characters"}
	}
	return c.find(a.App, a.Group)
}

func (c *Coordinator) find(app, group string) (groupKey, error) {
	m := *c.groups.Load()
	for _, k := range []groupKey{{app, group}, {"", group}} {
		if _, ok := m[k]; ok {
			return k, nil
		}
	}
	var found []groupKey
	for k := range m {
		if app == "" && k.name == group {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return groupKey{}, &InvalidError{"ambiguous_group", fmt.Sprintf("%d apps have a group %.64q: name the app", len(found), group)}
	}
	return groupKey{}, &InvalidError{"unknown_group", fmt.Sprintf("there is no group %.64q for the app %.64q: the coordinator's configuration names those that there are", group, app)}
}

// Halt lets nobody of the group in any more, until Resume. Machines on their way go on.
func (c *Coordinator) Halt(ctx context.Context, app, group, reason string) error {
	reason = cmp.Or(text.Short(reason, maxReason).String(), "by hand")
	return c.operate(ctx, app, group, func(s *step) error { s.halt(reason); return nil })
}

// Resume ends a halt and forgets the failures that led to it. Machines that have not come back keep their slots.
func (c *Coordinator) Resume(ctx context.Context, app, group, reason string) error {
	return c.operate(ctx, app, group, func(s *step) error { s.resume(reason); return nil })
}

// Clear forgets that a machine has failed, or has not come back, and frees its slot. One that is on its way and in time is
// a *Refusal.
func (c *Coordinator) Clear(ctx context.Context, app, group, id, reason string) error {
	if !validID(id) {
		return &InvalidError{"invalid_client_identity", "the id has to be 1 to 128 visible ASCII characters without spaces"}
	}
	return c.operate(ctx, app, group, func(s *step) error {
		if r := s.clear(id, reason); r != nil {
			return r
		}
		return nil
	})
}

func (c *Coordinator) operate(ctx context.Context, app, group string, f func(*step) error) error {
	k, err := c.find(app, group)
	if err != nil {
		return err
	}
	var answer error
	if err := c.desk(k).do(ctx, func(s *step) { answer = f(s) }); err != nil {
		return err
	}
	return answer
}

// Run keeps what is known of the machines in the store, until ctx ends, and returns nil. A Coordinator that is not run
// decides all the same, but has forgotten by its next start how many machines there are.
func (c *Coordinator) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
			defer cancel()
			c.Flush(last)
			return nil
		case <-tick.C:
			if err := c.Flush(ctx); err != nil && ctx.Err() == nil {
				c.opts.Logger.Warn("what is known of the machines is not in the store; it is tried again", "error", err)
			}
		}
	}
}

// Flush brings what is known of the machines into the store, and here what other coordinators know.
func (c *Coordinator) Flush(ctx context.Context) error {
	c.mu.Lock()
	var all []*desk
	for _, d := range c.desks {
		all = append(all, d)
	}
	c.mu.Unlock()
	var errs []error
	for _, d := range all {
		errs = append(errs, d.hosts.sync(ctx, c.opts.Store, d.key.storeKey("hosts"), c.opts.Now()))
	}
	return errors.Join(errs...)
}

// A desk is where the asks of one group come together. Many asks are carried by one change of the group's document, so a
// crowd costs the store no more than a few.
type desk struct {
	c     *Coordinator
	key   groupKey
	hosts *hosts
	load  sync.Once

	mu      sync.Mutex
	waiting []*errand
	working bool

	// The document as it was last seen. Only who works has it.
	group    *group
	revision uint64
}

// An errand is one ask on its way. Its decision may be made several times, and the last time counts.
type errand struct {
	ctx    context.Context
	decide func(*step)
	answer chan error
}

func (c *Coordinator) desk(k groupKey) *desk {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[k]
	if d == nil {
		d = &desk{c: c, key: k, hosts: newHosts(&c.hosts)}
		c.desks[k] = d
	}
	return d
}

func (d *desk) do(ctx context.Context, decide func(*step)) error {
	e := &errand{ctx, decide, make(chan error, 1)}
	d.mu.Lock()
	if len(d.waiting) >= maxWaiting {
		d.mu.Unlock()
		return &UnavailableError{fmt.Errorf("%d asks wait for it already", maxWaiting)}
	}
	d.waiting = append(d.waiting, e)
	start := !d.working
	d.working = true
	d.mu.Unlock()
	if start {
		go d.work()
	}
	select {
	case err := <-e.answer:
		return err
	case <-ctx.Done():
		// What was decided for it may still come into the store. A caller that asks again gets the same slot.
		return ctx.Err()
	}
}

// work carries what waits until nothing does.
func (d *desk) work() {
	d.load.Do(d.loadHosts)
	for {
		d.mu.Lock()
		n := min(len(d.waiting), maxBatch)
		batch := slices.Clone(d.waiting[:n])
		d.waiting = slices.Delete(d.waiting, 0, n)
		d.working = n > 0
		d.mu.Unlock()
		if n == 0 {
			return
		}
		began := time.Now()
		live, err := d.carry(batch)
		for _, e := range live {
			e.answer <- err
		}
		d.c.counts.carried(n, time.Since(began))
	}
}

func (d *desk) loadHosts() {
	ctx, cancel := context.WithTimeout(context.Background(), storePatience)
	defer cancel()
	if err := d.hosts.sync(ctx, d.c.opts.Store, d.key.storeKey("hosts"), d.c.opts.Now()); err != nil {
		d.c.opts.Logger.Warn("what was known of the machines could not be read; shares of the group are smaller until they have asked", "group", d.key.String(), "error", err)
	}
}

// carry makes the decisions of all on one document and changes it once. It returns whom the answer is for.
func (d *desk) carry(batch []*errand) ([]*errand, error) {
	c := d.c
	ctx, cancel := context.WithTimeout(context.Background(), carryPatience)
	defer cancel()
	key := d.key.storeKey("groups")
	for attempt := 0; ; attempt++ {
		// Callers that have gone away are dropped: nobody would use their slot.
		batch = slices.DeleteFunc(batch, func(e *errand) bool { return e.ctx.Err() != nil })
		if len(batch) == 0 {
			return nil, nil
		}
		policy, ok := (*c.groups.Load())[d.key]
		if !ok {
			return batch, &InvalidError{"unknown_group", fmt.Sprintf("the group %v is no longer configured", d.key)}
		}
		if err := d.read(ctx, key); err != nil {
			return batch, &UnavailableError{err}
		}
		s := d.group.at(policy, d.hosts.count(), c.opts.Now().UTC().Truncate(time.Millisecond))
		for _, e := range batch {
			e.decide(s)
		}
		if !s.changed {
			return batch, nil
		}
		revision, err := d.write(ctx, key)
		if err == nil {
			d.revision = revision
			for _, e := range s.events {
				e.App, e.Group = d.key.app, d.key.name
				if c.opts.OnEvent != nil {
					c.opts.OnEvent(e)
				}
			}
			return batch, nil
		}
		d.group = nil // it was changed here and not there
		if !errors.Is(err, ErrConflict) {
			return batch, &UnavailableError{err}
		}
		c.counts.conflicts.Add(1)
		// Another coordinator won this round and may be writing again already, so wait for a random time.
		select {
		case <-ctx.Done():
			return batch, &UnavailableError{fmt.Errorf("others change the group all the time: %w", err)}
		case <-time.After(rand.N(time.Millisecond << min(attempt+1, 6))):
		}
	}
}

// read makes the document the newest. It is decoded only if somebody else has changed it.
func (d *desk) read(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	b, revision, err := d.c.opts.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	if d.group != nil && revision == d.revision {
		return nil
	}
	d.group, err = decode(b)
	d.revision = revision
	return err
}

func (d *desk) write(ctx context.Context, key string) (uint64, error) {
	b, err := json.Marshal(d.group)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	return d.c.opts.Store.CompareAndSwap(ctx, key, b, d.revision)
}
