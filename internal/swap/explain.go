package swap

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/internal/durable"
)

// explain says what an error of the operating system means here and what to do about it. Errors that say so already pass.
func (t *Target) explain(path, doing string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if _, ours := durable.IsUnique(filepath.Base(path)); ours {
		path = filepath.Dir(path) // nobody knows the file, and each time it has another name
	}
	e = &Error{Kind: err, Path: path, Reason: doing, Err: nameless(err)}
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

// nameless returns an error that says what was done and what the system answered, without the name of a file that nobody
// knows: the same fault then reads the same in a rehearsal and in an update.
func nameless(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		if _, ours := durable.IsUnique(filepath.Base(e.Path)); ours && e.Op != "remove" {
			return &brief{e.Op + ": " + e.Err.Error(), err}
		}
	case interface{ Unwrap() []error }:
		var texts []string
		for _, one := range e.Unwrap() {
			texts = append(texts, nameless(one).Error())
		}
		return &brief{strings.Join(slices.Compact(texts), "; "), err}
	}
	return err
}

// brief is an error with another text.
type brief struct {
	text string
	error
}

func (b *brief) Error() string { return b.text }
func (b *brief) Unwrap() error { return b.error }

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
