package updater

import (
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// memory is what this process learned about documents. What could be written
// is in the state file too; a process that may not write has it only here.
type memory struct {
	trust   *state.Trust
	channel *state.Channel
	floor   time.Time
}

// recalled is what is remembered, by the file and by this process.
type recalled struct {
	state *state.State
	trust *verify.Trust
}

// recall loads the state without a lock (it is replaced atomically), adds what
// this process alone knows, and finds the trust that is in force.
func (u *Updater) recall() (*recalled, error) {
	st, err := u.load()
	if err != nil {
		return nil, err
	}
	return u.know(st)
}

// know adds to st what this process alone knows.
func (u *Updater) know(st *state.State) (*recalled, error) {
	u.mu.Lock()
	m := u.memory
	u.mu.Unlock()
	r, err := u.join(st, m)
	if err == nil && m.channel != nil && forgotten(m.channel, r.trust) {
		// The floor goes with the channel that raised it, or a date signed by a stolen key would outlive the key.
		u.mu.Lock()
		if u.memory.channel == m.channel {
			u.memory.channel, u.memory.floor = nil, time.Time{}
		}
		u.mu.Unlock()
	}
	return r, err
}

// join adds m to st, keeping the higher of each value.
func (u *Updater) join(st *state.State, m memory) (*recalled, error) {
	if m.trust != nil && (st.Trust == nil || m.trust.Version > st.Trust.Version) {
		st.Trust = m.trust
	}
	r := &recalled{state: st, trust: u.root}
	if st.Trust != nil {
		known, err := verify.ParseTrust(st.Trust.File)
		switch {
		case err != nil || known.App != u.opts.App:
			u.begin(TrustCorrupt, "the remembered trust document cannot be read; going on from what the program was built with", err)
			st.Trust = nil
		case known.Version > u.root.Version:
			r.trust = known
		case known.Version == u.root.Version && known.ID() != u.root.ID():
			return nil, fmt.Errorf("the program was built with another trust document %d than this installation remembers: %w", known.Version, ErrRefused)
		}
	}
	r.forget(r.trust, u.opts.Channel)
	if m.channel != nil && forgotten(m.channel, r.trust) {
		m.channel, m.floor = nil, time.Time{}
	}
	if m.channel != nil {
		if old := r.channel(u.opts.Channel); old == nil || m.channel.Sequence >= old.Sequence {
			if st.Channels == nil {
				st.Channels = map[string]*state.Channel{}
			}
			c := *m.channel // the original is shared by all who recall
			c.Unknown = nil
			if old != nil {
				c.Unknown = old.Unknown // what a newer version of us keeps there
			}
			st.Channels[u.opts.Channel] = &c
		}
	}
	if m.floor.After(st.Floor) {
		st.Floor = m.floor
	}
	return r, nil
}

// forgotten: the keys that vouched for a remembered channel were replaced, so
// that its sequence must not bind their successors: a leaked key that signed
// the highest sequence would otherwise end all updates.
func forgotten(c *state.Channel, trust *verify.Trust) bool {
	_, reset := seen(c).Under(trust)
	return reset
}

func seen(c *state.Channel) release.Seen {
	s := release.Seen{Sequence: c.Sequence, ID: signed(c.ID), Threshold: c.Threshold}
	for _, key := range c.Signers {
		s.Signers = append(s.Signers, verify.Digest(key))
	}
	return s
}

// forget drops sequence, text and time floor of a channel whose signers were
// replaced, and reports whether it did.
func (r *recalled) forget(trust *verify.Trust, channel string) bool {
	c := r.channel(channel)
	if c == nil || !forgotten(c, trust) {
		return false
	}
	delete(r.state.Channels, channel)
	r.state.Floor = time.Time{}
	return true
}

func (r *recalled) channel(name string) *state.Channel { return r.state.Channels[name] }

// compare holds a channel document against the remembered one.
func (r *recalled) compare(c *release.Channel) error {
	known := r.channel(c.Name)
	if known == nil {
		return nil
	}
	return c.Follows(seen(known))
}

// lagging: the source that served an old document may merely be behind: the
// remembered document is current, and was served less than a day ago.
func (u *Updater) lagging() bool {
	r, err := u.recall()
	if err != nil {
		return false
	}
	known := r.channel(u.opts.Channel)
	if known == nil || u.now().Sub(known.Served) > 24*time.Hour {
		return false
	}
	c, err := release.OpenChannel([]byte(known.File), r.trust.Channel, u.opts.App, u.opts.Channel)
	return err == nil && c.Fresh(u.clock(r.state)) == nil
}

// served notes that a source still serves the remembered document. An idle poll
// writes nothing; once an hour is near enough.
func (u *Updater) served(c state.Channel) {
	written := c.Served
	c.Served = u.now().UTC()
	if c.Served.Sub(written) > time.Hour {
		u.remember(memory{channel: &c})
		return
	}
	u.mu.Lock()
	u.memory.channel = &c
	u.mu.Unlock()
}

// remember keeps what was just verified: in memory at once, in the file if
// nobody else is writing it and this process may.
func (u *Updater) remember(m memory) {
	u.mu.Lock()
	if m.trust != nil {
		u.memory.trust = m.trust
	}
	if m.channel != nil {
		if old := u.memory.channel; old != nil && m.channel.Sequence < old.Sequence {
			u.memory.floor = time.Time{} // the keys were replaced: see forgotten
		}
		u.memory.channel = m.channel
	}
	if m.floor.After(u.memory.floor) {
		u.memory.floor = m.floor
	}
	u.mu.Unlock()
	if u.manager() != nil {
		return // its folder is a package's
	}
	lock, done, err := u.acquire()
	if err != nil {
		return // kept in memory; who may not write is told when it matters
	}
	defer done()
	if _, err := u.change(lock, func(*state.State) {}); err != nil {
		u.log.Warn("remembering the channel", "err", err)
	}
}

// clock is what this installation knows about the time.
func (u *Updater) clock(st *state.State) release.Clock {
	return release.Clock{Wall: u.now(), Floor: st.Floor, Built: u.opts.Built}
}
