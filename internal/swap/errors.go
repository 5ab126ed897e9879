package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// What a caller may branch on. Every one arrives inside an *Error.
var (
	// ErrPermission is fs.ErrPermission: this user may not do it, or nobody may (an immutable file).
	ErrPermission = fs.ErrPermission
	ErrReadOnly   = errors.New("read-only file system")
	ErrNoSpace    = errors.New("not enough space")
	ErrNotRegular = errors.New("not a regular file")
	// ErrUnlike: the new file would lack something that the old one has, or must not silently get it.
	ErrUnlike = errors.New("the new file cannot be made like the old one")
	// ErrNoPrevious: the kept file that should be restored is missing or damaged.
	ErrNoPrevious = errors.New("the previous file is not available")
	// ErrChanged: bytes or names are no longer what was verified.
	ErrChanged = errors.New("changed since it was verified")
	// ErrNotSealed: what should be put at the path is not a staged file that Seal returned.
	ErrNotSealed = errors.New("not a sealed staged file")
	// ErrUnfit: this place cannot hold a running executable that is replaced (noexec, a mount of its own, …).
	ErrUnfit = errors.New("updates cannot work in this place")
)

// Error says what keeps a swap from working, and what to do about it.
type Error struct {
	Kind   error  // one of the above
	Path   string // what it is about
	Reason string // what was found, in words
	Fix    string // what to do next: a command where there is one
	Err    error  // what the operating system said; may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Path, e.Reason)
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	if e.Fix != "" {
		fmt.Fprintf(&b, "; %s", e.Fix)
	}
	return b.String()
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func notRegular(path string) error {
	return &Error{Kind: ErrNotRegular, Path: path, Reason: "not a regular file", Fix: "install the program as an ordinary file there"}
}
