// Package state is what an installation remembers: one small file per installed program.
package state

import (
	"context"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/verify"
)

// CONTRACT. Durations and dates are signed or wall as the comment says. Unknown members are kept verbatim at every level that has them.

type State struct {
	Format       int                 `json:"format"`       // 1
	Installation string              `json:"installation"` // random id, 16 bytes hex
	Installed    *File               `json:"installed,omitzero"`
	Previous     *File               `json:"previous,omitzero"`
	Journal      *Journal            `json:"journal,omitzero"`
	Failed       map[string]Failure  `json:"failed,omitzero"` // by version
	Trust        *Trust              `json:"trust,omitzero"`
	Floor        time.Time           `json:"floor,omitzero"` // highest accepted signed date
	Channels     map[string]*Channel `json:"channels,omitzero"`
}
type File struct {
	Version string    `json:"version"`
	ID      verify.ID `json:"id"`
	Proved  bool      `json:"proved"`
	Starts  int       `json:"starts,omitzero"`
	Counted bool      `json:"counted,omitzero"` // recover counted the coming start already
}
type Journal struct { // written and fsynced before the step it names
	Step    string    `json:"step"` // swap, undo, rollback
	From    File      `json:"from"`
	To      File      `json:"to"`
	Cause   string    `json:"cause,omitzero"`
	Started time.Time `json:"started"`
}
type Failure struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	ByHand bool      `json:"by_hand,omitzero"`
}
type Trust struct {
	Version int    `json:"version"`
	File    string `json:"file"`
}
type Channel struct {
	Sequence  int64           `json:"sequence"`
	ID        verify.ID       `json:"id"`
	File      string          `json:"file"` // the accepted file, so that a 304 re-evaluates expiry and rollout
	Signers   []verify.Digest `json:"signers"`
	Validator fetch.Validator `json:"validator,omitzero"`
}

// Load reads Home/state. Missing: a fresh State and ErrNone (an info line). Torn, empty, garbage, wrong owner: a fresh State and ErrCorrupt (an event). Never blocks, never writes.
func Load(home string) (*State, error) { panic("contract") }

// Lock is held by whoever swaps; freed by the kernel when the process ends. TryLock: ErrBusy (with the holder's pid if known).
type Lock struct{}

func TryLock(home string) (*Lock, error)                        { panic("contract") }
func WaitLock(ctx context.Context, home string) (*Lock, error)  { panic("contract") }
func (l *Lock) Unlock() error                                   { panic("contract") }

// Save replaces the file atomically and durably. Only with the lock.
func (l *Lock) Save(s *State) error { panic("contract") }
