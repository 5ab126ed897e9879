// Package state is what an installation remembers: one small JSON file per installed program, HOME/state, and the lock
// beside it.
//
// The file is replaced atomically, so reading takes no lock. It is written only by the holder of the lock. Programs of
// several versions read and write it in turn, because an undo brings an older program back: unknown members are kept as
// they are, and the meaning of a member never changes. What cannot be believed (torn, empty, of another owner, of a format
// from the future) counts as lost and is reported, and the program goes on from what is compiled into it.
package state

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/internal/text"
)

// Format is the only value of State.Format that this program understands. It changes only if members must be understood
// that cannot be ignored, which undoing an update forbids: expect it to stay.
const Format = 1

// maxSize caps the file: some channels (256 KiB of text and 16 KiB of signatures each), a trust document (64 KiB), and
// their escapes.
const maxSize = 4 << 20

var (
	// ErrNone is the answer where nothing was remembered yet: a first installation, or a deleted folder.
	ErrNone = errors.New("no state is remembered")
	// ErrCorrupt is the answer where something is there that cannot be believed.
	ErrCorrupt = errors.New("the remembered state is not usable")
	// ErrPermission is fs.ErrPermission: who runs this may not read or write the state of this installation.
	ErrPermission = fs.ErrPermission
)

// State is everything that is remembered. The maps are never nil after Load.
type State struct {
	Format       int    `json:"format"`
	Installation string `json:"installation"` // random: 16 bytes in hex
	// Machine is a hash of the name of the machine on which this was written, and Origin the first Installation, from
	// which another machine derived its own; see settleIn.
	Machine string `json:"machine,omitzero"`
	Origin  string `json:"origin,omitzero"`
	// Installed is the file at the path as this program last knew it; nil if it never installed one.
	Installed *File `json:"installed,omitzero"`
	// Previous is the kept file that a rollback leads to, always a proved one; Older are those before it, newest first.
	Previous *File    `json:"previous,omitzero"`
	Older    []*File  `json:"older,omitzero"`
	Journal  *Journal `json:"journal,omitzero"`
	// Failed are the versions that failed here, by version: see Failure.Wait for how long the interval leaves one alone.
	Failed map[string]Failure `json:"failed,omitzero"`
	// Staged is a verified file in the state folder that was not put at the path, and waits for another attempt.
	Staged *File `json:"staged,omitzero"`
	// Hold says why it waits, if a gate of the program holds it back, and Claim what gates have to be told the end of.
	Hold     *Hold               `json:"hold,omitzero"`
	Claim    *Claim              `json:"claim,omitzero"`
	Sights   []Sight             `json:"sights,omitzero"` // of releases that are newer than what is installed, if anybody asks for their age
	Trust    *Trust              `json:"trust,omitzero"`
	History  []Move              `json:"history,omitzero"` // oldest first
	Counts   Counts              `json:"counts,omitzero"`
	Floor    time.Time           `json:"floor,omitzero"` // the latest signed date of an accepted document
	Channels map[string]*Channel `json:"channels,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// File is an executable that is or was at the path.
type File struct {
	Version string     `json:"version"`
	ID      content.ID `json:"id"`
	Proved  bool       `json:"proved"`
	Starts  int        `json:"starts,omitzero"`
	Counted bool       `json:"counted,omitzero"` // recover counted the coming start already

	Unknown jsontext.Value `json:",embed"`
}

// Journal is the step at work: written and synced before the step begins, removed when its outcome is recorded.
type Journal struct {
	Step  string    `json:"step"` // Swap, Undo or Rollback
	From  File      `json:"from"` // the file at the path before the step
	To    File      `json:"to"`   // and after it
	Cause text.Line `json:"cause,omitzero"`
	// Judged says whose fault Cause is.
	Judged  blame.Judgement `json:"judged,omitzero"`
	Started time.Time       `json:"started"`
	Trigger string          `json:"trigger,omitzero"` // who asked, for the history

	Unknown jsontext.Value `json:",embed"`
}

// Hold is an update that would be installed if a gate of the program let it.
type Hold struct {
	Version string    `json:"version"`
	Kind    string    `json:"kind"`   // which gate
	Reason  text.Line `json:"reason"` // as it was when kind or version changed last
	Since   time.Time `json:"since"`  // when updates began to be held; another release on offer does not end that

	Unknown jsontext.Value `json:",embed"`
}

// Claim is a move that gates were asked about: written before they are asked, removed when all of them have been told how
// it ended. Whatever they keep taken for this installation is described by a claim, or nothing is.
type Claim struct {
	From     string     `json:"from"`
	To       string     `json:"to"` // versions
	ID       content.ID `json:"id"` // of the file that is to be installed
	Critical bool       `json:"critical,omitzero"`
	Manual   bool       `json:"manual,omitzero"`
	Since    time.Time  `json:"since"`

	Unknown jsontext.Value `json:",embed"`
}

// Trust is the newest trust document that was accepted.
type Trust struct {
	Version int    `json:"version"`
	File    string `json:"file"`

	Unknown jsontext.Value `json:",embed"`
}

// Channel is what was last accepted of one channel.
type Channel struct {
	Sequence  int64            `json:"sequence"`
	ID        content.ID       `json:"id"`
	File      string           `json:"file"`           // the accepted file, so that a 304 re-evaluates expiry and rollout
	Signers   []content.Digest `json:"signers"`        // fingerprints of the keys that were counted for it
	Threshold int              `json:"threshold"`      // how many of them were needed
	Trust     int              `json:"trust,omitzero"` // no channel made under an older trust document counts any more: see release.Seen
	Served    time.Time        `json:"served"`         // when a source last served it, by the wall clock
	Validator Validator        `json:"validator,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Validator makes a later request for the same document conditional: an ETag, and the source that it is from.
type Validator struct {
	Source string `json:"source"`
	ETag   string `json:"etag"`
}

// New is the state of an installation that remembers nothing, with an identity of its own.
func New() *State {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return &State{
		Format:       Format,
		Installation: hex.EncodeToString(id[:]),
		Machine:      machine(),
		Failed:       map[string]Failure{},
		Channels:     map[string]*Channel{},
	}
}

// Clone returns a copy that shares nothing with s that anybody changes.
func (s *State) Clone() *State {
	c := *s
	c.Installed, c.Previous, c.Journal, c.Trust = clone(s.Installed), clone(s.Previous), clone(s.Journal), clone(s.Trust)
	c.History, c.Counts = slices.Clone(s.History), s.Counts.Clone()
	c.Sights = slices.Clone(s.Sights)
	c.Staged, c.Hold, c.Claim = clone(s.Staged), clone(s.Hold), clone(s.Claim)
	c.Older = slices.Clone(s.Older)
	for i, f := range c.Older {
		c.Older[i] = clone(f)
	}
	c.Failed = maps.Clone(s.Failed)
	c.Channels = maps.Clone(s.Channels)
	for name, known := range c.Channels {
		c.Channels[name] = clone(known)
	}
	return &c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// Equal reports whether s and other would be the same file.
func (s *State) Equal(other *State) bool {
	a, err := encode(s)
	b, otherErr := encode(other)
	return err == nil && otherErr == nil && bytes.Equal(a, b)
}

// Keep lists the kept files that this state may still need: what Target.Sweep must spare.
func (s *State) Keep() []content.Digest {
	var keep []content.Digest
	if s.Previous != nil {
		keep = append(keep, s.Previous.ID.SHA256)
	}
	for _, f := range s.Older {
		keep = append(keep, f.ID.SHA256)
	}
	if s.Staged != nil {
		keep = append(keep, s.Staged.ID.SHA256)
	}
	if s.Journal != nil {
		keep = append(keep, s.Journal.From.ID.SHA256, s.Journal.To.ID.SHA256)
	}
	return keep
}

// Load reads HOME/state. It never blocks and never writes, and the state it returns is never nil: with ErrNone (nothing
// there: a first installation, worth an info line), ErrCorrupt (something there that cannot be believed: worth an alarm)
// or ErrPermission (there, but not for us) it is a fresh one.
func Load(home string) (*State, error) {
	s, err := load(home)
	if err != nil {
		return New(), err
	}
	return s, nil
}

func load(home string) (*State, error) {
	path := filepath.Join(home, "state")
	f, err := open(home)
	var untrusted *durable.Untrusted
	switch {
	case errors.As(err, &untrusted):
		return nil, corrupt(path, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNone
	case refused(err):
		return nil, unread(path, err)
	case err != nil:
		return nil, corrupt(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case refused(err):
		return nil, unread(path, err)
	case err != nil:
		return nil, corrupt(path, err)
	}
	if len(data) > maxSize {
		return nil, corrupt(path, fmt.Errorf("larger than %d bytes", maxSize))
	}
	s, err := parse(data)
	if err != nil {
		return nil, corrupt(path, err)
	}
	s.settleIn(machine())
	return s, nil
}

func open(home string) (*os.File, error) {
	place, err := beside.Open(home)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	if place.Home == nil {
		return nil, fs.ErrNotExist
	}
	return place.Read("state")
}

func unread(path string, err error) error {
	return fmt.Errorf("reading %s: %w; see what keeps it from being read: ls -l %[1]s", path, err)
}

// refused: the system did not open the file, for want of rights, descriptors or memory. What is in it is as good as before,
// and must not be replaced by a fresh state, which would forget the rollback floor.
func refused(err error) bool {
	for _, passing := range []error{fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func corrupt(path string, err error) error {
	return fmt.Errorf("%w: %s: %w; the program goes on from what is compiled into it, and the next update writes a new one", ErrCorrupt, path, err)
}

func parse(data []byte) (*State, error) {
	if len(data) == 0 {
		return nil, errors.New("empty")
	}
	s := New()
	s.Installation, s.Machine, s.Format = "", "", 0
	// Duplicate names, invalid UTF-8 and trailing data are errors here; names are told apart by case.
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	if s.Failed == nil {
		s.Failed = map[string]Failure{}
	}
	if s.Channels == nil {
		s.Channels = map[string]*Channel{}
	}
	return s, s.check()
}

// check refuses what no program of ours writes and what a caller would stumble over.
func (s *State) check() error {
	if s.Format != Format {
		return fmt.Errorf("format %d, this program knows %d", s.Format, Format)
	}
	if id, err := hex.DecodeString(s.Installation); err != nil || len(id) != 16 {
		return errors.New("installation is not 16 bytes in hex")
	}
	files := append([]*File{s.Installed, s.Previous, s.Staged}, s.Older...)
	if s.Journal != nil {
		files = append(files, &s.Journal.From, &s.Journal.To)
	}
	for i, f := range files {
		switch {
		case f == nil && i < 3:
		case f == nil:
			return errors.New("a file that is null")
		case f.ID.Size < 0 || f.Starts < 0:
			return fmt.Errorf("version %q: a negative number", f.Version)
		}
	}
	for version, f := range s.Failed {
		if f.Steps < 0 || f.Served < 0 || f.Judged.Attempts < 0 {
			return fmt.Errorf("failed %q: a negative number", version)
		}
	}
	if s.Claim != nil && s.Claim.ID.Size < 0 {
		return errors.New("a claim of a negative size")
	}
	for name, c := range s.Channels {
		if c == nil || c.Sequence < 0 || c.ID.Size < 0 {
			return fmt.Errorf("channel %q is damaged", name)
		}
	}
	if s.Trust != nil && s.Trust.Version < 1 {
		return fmt.Errorf("trust version %d", s.Trust.Version)
	}
	return nil
}

// Save replaces HOME/state atomically and durably: when it returns nil, a power cut does not take it back. It refuses if
// the lock file was removed under us, because then somebody else may hold another one.
func (l *Lock) Save(s *State) error {
	if err := l.held(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("saving state: %w", err)
	}
	b, err := encode(s)
	if err != nil {
		return fmt.Errorf("saving state: %w", err)
	}
	if err := l.place.Home.WriteFile("state", b, 0o644); err != nil {
		return fmt.Errorf("saving state: %w", err)
	}
	return nil
}
