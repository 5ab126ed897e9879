package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A mortal bench dies at one of its writes: to the repository, before or after it has arrived, or to the lock.
type mortal struct {
	*bench
	mu           sync.Mutex
	writes, dies int // the write at which it dies; 0: never
	died         bool
	away         bool // the shelf is a remote, and each machine has a folder of its own
}

var errKilled = errors.New("killed")

// write counts one write and is the end of the run if it is the last that happens.
func (m *mortal) write(happens func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.died || m.writes == m.dies {
		m.died = true
		return errKilled
	}
	if err := happens(); err != nil {
		return err
	}
	m.writes++
	if m.writes == m.dies {
		m.died = true
		return errKilled
	}
	return nil
}

// mortalShelf lets no Put pass once the process is dead.
type mortalShelf struct {
	*shelf
	m *mortal
}

func (s mortalShelf) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	return s.m.write(func() error { return s.shelf.Put(ctx, name, body, size, replaces) })
}

// A machine is a checkout of the publisher's project: a lock of some age, and keys.
type machine struct {
	name   string
	lock   *Memory
	folder *shelf // its own, if it is away from where the repository is served
}

// run is one run of the tool on a machine. What was kept of the lock by then is what the machine has afterwards.
func (m *mortal) run(on *machine, what func(*Publisher) error) error {
	m.now = m.now.Add(time.Minute)
	working := committed(m.t, on.lock)
	working.save = func() error {
		return m.write(func() error {
			on.lock = committed(m.t, working)
			return nil
		})
	}
	o := m.options()
	served := mortalShelf{m.shelf, m}
	o.Store, o.Memory = served, working
	if m.away {
		o.Store = mortalShelf{on.folder, m}
	}
	err := func() error {
		if m.away && m.shelf.objects["stable"] != nil {
			if err := Carry.Pull(m.t.Context(), o, served, true); err != nil {
				return err
			}
		}
		p, err := Open(m.t.Context(), o)
		if err != nil {
			return err
		}
		if err := what(p); err != nil || !m.away {
			return err
		}
		return Carry.Push(m.t.Context(), o, served, false)
	}()
	if m.died {
		return errKilled
	}
	return err
}

// TestPublishersDays is a week of a publisher with several machines, killed at every write of every run: each verb is run
// again after it was killed, as a person or a timer does, and all of it goes through without a person who decides anything.
//
// All of them share one folder, or each has its own and goes theseus pull --documents && … && theseus push.
func TestPublishersDays(t *testing.T) {
	for name, away := range map[string]bool{"one folder": false, "a remote": true} {
		t.Run(name, func(t *testing.T) {
			writes := week(t, 0, away)
			t.Logf("killed at %d points", writes)
			if writes < 30 {
				t.Fatalf("only %d writes: this test kills next to nothing", writes)
			}
			step := testenv.Pick(5, 1, 1)
			if away { // there are more of them
				step = testenv.Pick(17, 3, 1)
			}
			for at := 1; at <= writes; at += step {
				t.Run(fmt.Sprint(at), func(t *testing.T) { week(t, at, away) })
			}
		})
	}
}

func week(t *testing.T, dies int, away bool) (writes int) {
	m := &mortal{bench: newBench(t), dies: dies, away: away}
	m.within = 30 * 24 * time.Hour
	desk := &machine{"desk", NewMemory(), newShelf()}
	client := m.client("stable", m.root)
	must := func(on *machine, name string, what func(*Publisher) error) {
		t.Helper()
		err := m.run(on, what)
		if errors.Is(err, errKilled) {
			m.died, m.dies = false, 0
			if m.shelf.objects["stable"] != nil { // clients see a whole older state or a whole newer one
				if err := client.look(); err != nil {
					t.Errorf("%s on %s was killed at write %d, and a client says: %v", name, on.name, dies, err)
				}
			}
			if err = m.run(on, what); err != nil {
				t.Errorf("%s on %s again after it was killed at write %d: %v", name, on.name, dies, err)
			}
		}
		if err != nil {
			t.Fatalf("%s on %s: %v", name, on.name, err)
		}
		if err := client.look(); err != nil {
			t.Errorf("after %s on %s a client says: %v", name, on.name, err)
		}
		m.now = m.now.Add(24 * time.Hour)
	}
	publish := func(channel, version string, files bool) func(*Publisher) error {
		r := &Release{Version: parse(t, version).Version, Channel: channel, Keep: 20, Quiet: true, Allow: Checks}
		if files {
			r.Artifacts = []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: m.program("program " + version)}}
		}
		return func(p *Publisher) error {
			_, err := p.Publish(t.Context(), r)
			return err
		}
	}
	refresh := func(p *Publisher) error {
		_, err := p.Refresh(t.Context(), nil, 0)
		return err
	}
	amend := func(version string, change func(*release.Entry)) func(*Publisher) error {
		return func(p *Publisher) error {
			_, _, err := p.Amend(t.Context(), "stable", parse(t, version).Version, 0, func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
				change(e)
				return "", nil
			})
			return err
		}
	}
	clone := func(of *machine, name string) *machine { return &machine{name, committed(t, of.lock), newShelf()} }

	must(desk, "publish 1.0.0", publish("stable", "1.0.0", true))
	tag := clone(desk, "the tag's checkout")
	must(desk, "publish 1.1.0 to beta", publish("beta", "1.1.0", true))
	must(desk, "promote", publish("stable", "1.1.0", false))
	must(desk, "withdraw", amend("1.0.0", func(e *release.Entry) { e.Yanked = &release.Yank{Reason: "bad", Action: "up"} }))

	// A job on a tag has the lock of that commit, the timer has a fresh clone each time, and at night somebody pauses a
	// release from a laptop that has not been used since.
	must(tag, "publish 1.2.0", publish("stable", "1.2.0", true))
	laptop := clone(desk, "the laptop")
	must(clone(desk, "the timer"), "refresh", refresh)
	must(clone(desk, "the timer, again"), "refresh", refresh)
	must(laptop, "pause", amend("1.2.0", func(e *release.Entry) { e.Paused = "login fails" }))
	must(clone(desk, "the timer, at last"), "refresh", refresh)

	// The desk commits last, and a merge joins what it and the laptop know.
	must(desk, "refresh", refresh)
	joined := committed(t, desk.lock)
	if err := joined.Merge(committed(t, laptop.lock)); err != nil {
		t.Fatal(err)
	}
	desk.lock = joined
	must(desk, "publish 1.3.0", publish("stable", "1.3.0", true))

	// The lock is lost.
	desk.lock = NewMemory()
	must(desk, "refresh", refresh)
	must(desk, "resume", amend("1.2.0", func(e *release.Entry) { e.Paused = "" }))

	c := m.channel("stable")
	if e := c.Entry(parse(t, "1.0.0").Version); e == nil || e.Yanked == nil {
		t.Error("the withdrawal got lost")
	}
	if got := strings.Join(Versions(c), " "); got != "1.3.0 1.2.0 1.1.0 1.0.0" {
		t.Errorf("on offer: %s", got)
	}
	return m.writes
}

// TestRotationKilledAnywhere kills the change of the only key at every write; to say it again finishes it.
func TestRotationKilledAnywhere(t *testing.T) {
	points := 0
	for at := 1; ; at++ {
		m := &mortal{bench: newBench(t)}
		desk := &machine{name: "desk", lock: NewMemory()}
		client := m.client("stable", m.root)
		m.must(m.run(desk, func(p *Publisher) error {
			r := &Release{Version: parse(t, "1.0.0").Version, Channel: "stable", Keep: 20, Quiet: true, Allow: Checks,
				Artifacts: []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: m.program("one")}}}
			_, err := p.Publish(t.Context(), r)
			return errors.Join(err, p.offer(t, "beta", r))
		}))
		m.must(client.look())
		m.writes, m.dies = 0, at
		m.who = []string{"theseus", "new"}
		var kept []byte
		rotate := func() error {
			m.now = m.now.Add(time.Minute)
			working := committed(t, desk.lock)
			working.save = func() error {
				return m.write(func() error {
					desk.lock = committed(t, working)
					return nil
				})
			}
			o := m.options()
			o.Store, o.Memory = mortalShelf{m.shelf, m}, working
			done, err := Rotate(t.Context(), o, Rotation{To: m.keys.role(t, 1, "new").Keys[0], Holds: 365 * 24 * time.Hour, Keep: func(_ int, made []byte) ([]byte, error) {
				if kept == nil && made == nil {
					return nil, errors.New("none")
				}
				if kept == nil {
					if err := m.write(func() error { kept = made; return nil }); err != nil {
						return nil, err
					}
				}
				return kept, nil
			}}, 0)
			if m.died {
				return errKilled
			}
			if err == nil {
				m.root = done.Trust
				err = errors.Join(done.Failed...)
			}
			return err
		}
		err := rotate()
		if err == nil {
			break // lived through all of it
		}
		points++
		if !errors.Is(err, errKilled) {
			t.Fatalf("killed at write %d: %v", at, err)
		}
		m.died, m.dies = false, 0
		if err := rotate(); err != nil {
			t.Errorf("again, after it was killed at write %d: %v", at, err)
			continue
		}
		if err := client.look(); err != nil {
			t.Errorf("killed at write %d and finished: a client says %v", at, err)
		}
		for _, name := range []string{"stable", "beta"} {
			if c := m.channel(name); c.Trust != 1 || !slices.ContainsFunc(c.Signers, func(k verify.Key) bool { return k.Equal(m.keys.signer(t, "new").Key()) }) {
				t.Errorf("killed at write %d and finished: %s is of trust document %d", at, name, c.Trust)
			}
		}
	}
	t.Logf("killed at %d points", points)
	if points < 10 {
		t.Errorf("killed at %d points only", points)
	}
}

// offer puts a release into one more channel.
func (p *Publisher) offer(t *testing.T, channel string, r *Release) error {
	again := *r
	again.Channel, again.Artifacts = channel, nil
	_, err := p.Publish(t.Context(), &again)
	return err
}
