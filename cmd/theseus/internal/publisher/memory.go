package publisher

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Memory is what a publisher knows of one repository without asking the repository: what was signed last. It is a
// floor, not an equality, because others publish too: a document that is newer and keeps what is known is adopted.
type Memory struct {
	App      string                 `yaml:"app"`
	Trust    map[int]verify.Digest  `yaml:"trust,omitempty"` // identity of every trust document that was followed
	Channels map[string]*Remembered `yaml:"channels,omitempty"`

	save func() error // makes it durable; nil: it lives as long as the process
}

// Remembered is what is known of one channel.
type Remembered struct {
	Signed  `yaml:",inline"`
	Pending *Pending                 `yaml:"pending,omitempty"`
	At      map[string]verify.Digest `yaml:"at,omitempty"` // what was last seen at each remote
}

// Signed is a channel document, and what it says that must not get lost.
type Signed struct {
	Sequence int64         `yaml:"sequence"` // 0: none yet
	SHA256   verify.Digest `yaml:"sha256"`   // identity of its text
	Yanked   []string      `yaml:"yanked,omitempty,flow"`
	Floors   []string      `yaml:"floors,omitempty,flow"`
	Critical []string      `yaml:"critical,omitempty,flow"`
}

// Pending is a document that was signed and may or may not have reached the repository. It is kept whole, so that the
// next run can finish the upload.
type Pending struct {
	Sequence int64         `yaml:"sequence"`
	SHA256   verify.Digest `yaml:"sha256"`
	Document string        `yaml:"document"`
}

// NewMemory knows nothing, and is forgotten with the process.
func NewMemory() *Memory { return &Memory{} }

// Aside is the same memory, whose changes are forgotten with the process.
func (m *Memory) Aside() *Memory {
	aside := *m
	aside.save = nil
	return &aside
}

func (m *Memory) keep() error {
	if m.save == nil {
		return nil
	}
	return m.save()
}

// channel is what is known of a channel; a new entry if nothing is.
func (m *Memory) channel(name string) *Remembered {
	if m.Channels == nil {
		m.Channels = map[string]*Remembered{}
	}
	if m.Channels[name] == nil {
		m.Channels[name] = &Remembered{}
	}
	return m.Channels[name]
}

// highest is the highest sequence that was ever signed, whether it arrived or not.
func (r *Remembered) highest() int64 {
	if r.Pending != nil {
		return max(r.Sequence, r.Pending.Sequence)
	}
	return r.Sequence
}

// newestTrust is the version of the newest trust document that was followed.
func (m *Memory) newestTrust() int {
	newest := 0
	for v := range m.Trust {
		newest = max(newest, v)
	}
	return newest
}

func signedOf(c *release.Channel) Signed {
	s := Signed{Sequence: c.Sequence, SHA256: c.ID.SHA256}
	for _, e := range c.Entries {
		v := e.Version.String()
		if e.Yanked != nil {
			s.Yanked = append(s.Yanked, v)
		}
		if e.Floor {
			s.Floors = append(s.Floors, v)
		}
		if e.Critical != nil {
			s.Critical = append(s.Critical, v)
		}
	}
	return s
}

// lost says in words what s knows and a later document does not say any more; "" if nothing.
func (s Signed) lost(later Signed) string {
	var lost []string
	for _, what := range []struct {
		word           string
		before, anyNow []string
	}{
		{"the withdrawal of", s.Yanked, later.Yanked},
		{"the step at", s.Floors, later.Floors},
		{"the critical mark of", s.Critical, later.Critical},
	} {
		for _, v := range what.before {
			if !slices.Contains(what.anyNow, v) {
				lost = append(lost, what.word+" "+v)
			}
		}
	}
	return strings.Join(lost, ", ")
}

// join is s with what other knows as well of withdrawals, steps and critical marks.
func (s Signed) join(other Signed) Signed {
	union := func(a, b []string) []string {
		a = slices.Clone(a)
		for _, v := range b {
			if !slices.Contains(a, v) {
				a = append(a, v)
			}
		}
		return a
	}
	s.Yanked, s.Floors, s.Critical = union(s.Yanked, other.Yanked), union(s.Floors, other.Floors), union(s.Critical, other.Critical)
	return s
}

// saidBy is s without what a later document takes back.
func (s Signed) saidBy(later Signed) Signed {
	both := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(v string) bool { return !slices.Contains(b, v) })
	}
	s.Yanked, s.Floors, s.Critical = both(s.Yanked, later.Yanked), both(s.Floors, later.Floors), both(s.Critical, later.Critical)
	return s
}

// Merge joins what two machines remember of one repository: of each channel the higher entry and what either knows to be
// withdrawn, a step or critical, of trust what either followed. The higher document may have been signed by a machine that
// did not know of a withdrawal: it must not be built upon as if it did. Two memories that contradict each other cannot both be of this repository.
func (m *Memory) Merge(other *Memory) error {
	if m.App != "" && other.App != "" && m.App != other.App {
		return ui.Fail(ui.ExitRefused, "one of them is about app %q and the other about %q: they are not of one repository", m.App, other.App)
	}
	m.App = cmp.Or(m.App, other.App)
	for v, id := range other.Trust {
		if mine, ok := m.Trust[v]; ok && mine != id {
			return ui.Fail(ui.ExitRefused, "they have followed different trust documents %d: find out which one the holders signed, and keep that lock", v)
		}
	}
	if m.Trust == nil {
		m.Trust = map[int]verify.Digest{}
	}
	maps.Copy(m.Trust, other.Trust)
	for name, theirs := range other.Channels {
		ours := m.channel(name)
		if ours.Sequence == theirs.Sequence && ours.SHA256 != theirs.SHA256 {
			return ui.Fail(ui.ExitRefused, "both have signed a channel %s with sequence %d, and not the same: clients refuse one of them; publish again from the lock whose document is served", name, ours.Sequence)
		}
		joined := ours.join(theirs.Signed)
		if theirs.Sequence > ours.Sequence {
			ours.Signed = theirs.Signed
		}
		ours.Yanked, ours.Floors, ours.Critical = joined.Yanked, joined.Floors, joined.Critical
		ours.At = joinSeen(ours.At, theirs.At)
		if theirs.Pending != nil && (ours.Pending == nil || theirs.Pending.Sequence > ours.Pending.Sequence) {
			ours.Pending = theirs.Pending
		}
		if ours.Pending != nil && ours.Pending.Sequence <= ours.Sequence {
			ours.Pending = nil // it arrived, or was overtaken
		}
	}
	return nil
}

func (m *Memory) check() error {
	for name, c := range m.Channels {
		switch {
		case release.ValidChannel(name) != nil:
			return fmt.Errorf("%q is not the name of a channel", name)
		case c == nil:
			return fmt.Errorf("channel %s has no entry", name)
		case c.Sequence < 0 || c.Sequence > release.MaxSequence || c.Pending != nil && (c.Pending.Sequence < 1 || c.Pending.Sequence > release.MaxSequence):
			return fmt.Errorf("channel %s has a sequence that cannot be", name)
		case c.Sequence == 0 && c.Pending == nil:
			return fmt.Errorf("channel %s has neither a document nor a pending one", name)
		}
	}
	return nil
}

// Judge says what is wrong with a channel that is served, for somebody who knows what was signed: it is older, or has lost
// something. nil if nothing is known of it.
func (m *Memory) Judge(c *release.Channel) error {
	known := m.Channels[c.Name]
	switch {
	case known == nil || known.Sequence == 0:
		return nil
	case c.ID.SHA256 == known.SHA256:
		if lost := known.lost(signedOf(c)); lost != "" {
			return ui.Fail(ui.ExitRefused, "sequence %d was signed by a machine that did not know of %s", c.Sequence, lost)
		}
		return nil
	case c.Sequence < known.Sequence:
		return ui.Fail(ui.ExitRefused, "sequence %d is served, and %d was signed: an old one is replayed, or the newest was not copied there", c.Sequence, known.Sequence)
	case c.Sequence == known.Sequence:
		return ui.Fail(ui.ExitRefused, "sequence %d is served, and it is another document than was signed here", c.Sequence)
	}
	if lost := known.lost(signedOf(c)); lost != "" {
		return ui.Fail(ui.ExitRefused, "sequence %d is newer than what was signed here and says nothing any more of %s", c.Sequence, lost)
	}
	return nil
}
