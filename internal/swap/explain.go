package swap

import (
	"errors"
	"io/fs"

	"github.com/theseus-go/theseus/internal/durable"
)

// explain says what an error of the operating system means here and what to do about it. Errors that say so already pass.
func (t *Target) explain(path, doing string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	e = &Error{Kind: err, Path: path, Reason: doing, Err: err}
	var untrusted *durable.Untrusted
	switch {
	case errors.As(err, &untrusted):
		e.Kind = ErrPermission // it says what to do
	case isReadOnly(err):
		e.Kind, e.Fix = ErrReadOnly, t.readOnlyFix()
	case isFull(err):
		e.Kind, e.Fix = ErrNoSpace, t.noSpaceFix()
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Fix = ErrPermission, t.permissionFix(path)
	default:
		e.Fix = "resolve that, then update again; a disk that fails says so in the kernel's log: dmesg"
	}
	return e
}

// Explain is what to tell of an error that writing a file of Create or Resume gave: a full disk, a quota, a lost mount.
func (t *Target) Explain(err error) error { return t.explain(t.Home, "writing in it", err) }

// permissionFix is the command for who lacks a right, or for a right that root has taken from everybody.
func (t *Target) permissionFix(path string) string {
	for _, p := range []string{path, t.Path, t.Dir, t.Home} {
		if fix := thaw(p); fix != "" {
			return "it is protected against change: " + fix
		}
	}
	return ownerFix(t.Dir)
}
