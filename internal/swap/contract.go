// Package swap replaces a running executable so that there is a whole one at its path at every instant.
package swap

import (
	"github.com/theseus-go/theseus/verify"
	"os"
)

// CONTRACT.

// Target is the executable that is replaced: resolved once, links followed.
type Target struct {
	Path string // real path, absolute
	Dir  string // Path's folder
	Home string // Dir/.NAME.theseus: state, lock, staging, previous
}

// Open resolves path (links followed, must be a regular file). Changes nothing, creates nothing.
func Open(path string) (*Target, error) { panic("contract") }

// Prepare makes Home (0755, owner and group of Dir) if needed and reports early what would keep a swap from working:
// folder not writable, read-only file system, immutable file, noexec, not enough space for need bytes. Typed errors.
func (t *Target) Prepare(need int64) error { panic("contract") }

// Identify hashes the file at the path.
func (t *Target) Identify() (verify.ID, error) { panic("contract") }

// Create makes a private, exclusive, unpredictably named file in Home for staging; Sweep removes litter of ours (only by the lock's holder), keep lists names to keep.
func (t *Target) Create(prefix string) (*os.File, error) { panic("contract") }
func (t *Target) Sweep(keep ...string) error             { panic("contract") }

// Replace puts staged (open descriptor, verified; want re-hashed from this descriptor right before the rename) at the path,
// keeps the file that was there as Home/previous if keepPrevious (hard link), copies mode, owner, xattrs policy; fsyncs file and folders.
func (t *Target) Replace(staged *os.File, want verify.ID, keepPrevious bool) error {
	panic("contract")
}

// Restore puts Home/previous back at the path (hard link + rename, no new disk block), if it is want.
func (t *Target) Restore(want verify.ID) error { panic("contract") }

// Errors: ErrPermission, ErrReadOnly, ErrNoSpace, ErrNotRegular, ErrNoPrevious, ErrChanged (staged bytes are not want) ... each usable with errors.Is
