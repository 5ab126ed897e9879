package updater

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/theseus-go/theseus/internal/managed"
)

// managedBy is the link-time switch of whoever builds the program for a
// package manager: the command that updates the package, or true. It is set by
//
//	-ldflags "-X 'github.com/theseus-go/theseus/updater.managedBy=guix upgrade hello'"
var managedBy string

// findManager is who else keeps the file at the path current, nil if nobody.
func (u *Updater) findManager() *managed.Manager {
	volume := filepath.VolumeName(u.target.Path)
	p := managed.Place{
		Root: os.DirFS(volume + string(filepath.Separator)),
		Path: strings.TrimPrefix(filepath.ToSlash(u.target.Path[len(volume):]), "/"),
		OS:   runtime.GOOS, PID: os.Getpid(), Parent: os.Getppid(),
	}
	m, free := managed.Said(p, managedBy, os.Getenv(managed.Variable))
	if m == nil && !free && !u.opts.Unmanaged {
		m = managed.Find(p)
	}
	if m != nil {
		u.set(func(s *Status) { s.Managed = told(m) })
	}
	return m
}

// told is what is said of a manager where the machine is not described.
func told(m *managed.Manager) string {
	if m.Command == "" {
		return m.Name
	}
	return m.Name + ": " + m.Command
}

// foreign is the refusal to replace a file that somebody else keeps current,
// nil if nobody does.
func (u *Updater) foreign() error {
	m := u.manager()
	if m == nil {
		return nil
	}
	return &classified{fmt.Errorf("this installation does not update itself: %v", m), ErrNothing}
}

// watch is a turn of the interval where somebody else keeps the file current:
// it checks, and says once of each version that it is there.
func (u *Updater) watch(ctx context.Context) (Result, error) {
	r, err := u.look(ctx, request{})
	if err == nil && r.Offered != "" {
		u.begin(Managed, fmt.Sprintf("%s is on offer; %v", r.Offered, u.manager()), nil)
	}
	return r, err
}
