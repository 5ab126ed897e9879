package updater

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/aside"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/managed"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/versions"
	"github.com/theseus-go/theseus/release"
)

// process is the program that runs here, and its installation on disk.
type process struct {
	disk    *installation.Installation
	invoked string          // the path as the program was started, links not followed
	own     *image          // the file that this process runs
	version *semver.Version // what it says it is
	log     *slog.Logger
}

// locate resolves the program's path while it still can be asked for: after a swap the operating system may name the
// old file. configured is "" for the program that runs. With an
// error, it has no installation.
func locate(configured string) (*process, error) {
	p := &process{}
	executable, err := os.Executable()
	if configured != "" {
		executable, err = filepath.Abs(configured)
	}
	if err != nil {
		return p, fmt.Errorf("finding this program's file: %w", err)
	}
	if p.disk, err = installation.Running(executable, aside.Commit); err != nil {
		return p, unfound(executable, err)
	}
	// What runs is not what is at the path by now, if another process has updated it since this one was started.
	runs := p.disk.Path
	if configured == "" && runtime.GOOS == "linux" {
		runs = "/proc/self/exe" // of the file itself, whatever its name is now
	}
	if p.own, err = openImage(runs); err != nil {
		return p, unfound(executable, err)
	}
	// The name it was started by may be a link that a deployment flips.
	p.invoked = executable
	if started, err := exec.LookPath(os.Args[0]); err == nil && configured == "" {
		if started, err = filepath.Abs(started); err == nil {
			if real, err := filepath.EvalSymlinks(started); err == nil && real == p.disk.Path {
				p.invoked = started
			}
		}
	}
	return p, nil
}

// askInstalled asks the program at the path for its version.
func (p *process) askInstalled(ctx context.Context) answer {
	a, _ := askVersion(ctx, ProbeTimeout, p.disk.Path, p.invoked, func(_ *exec.Cmd, start func()) (func() error, error) {
		start()
		return nothing, nil
	})
	return a
}

// ownName is the name by which the program was started, without the ending of an executable.
func (p *process) ownName() string { return strings.TrimSuffix(filepath.Base(p.invoked), ".exe") }

func unfound(path string, err error) error {
	return fmt.Errorf("finding this program's file: %w; see what keeps it from being looked at: ls -ld %s", err, swap.Quote(filepath.Dir(path)))
}

// moved reports that the name this program was started by now leads elsewhere: swapping the file found at the start
// would change nothing that will run next.
func (p *process) moved() error {
	real, err := filepath.EvalSymlinks(p.invoked)
	if err != nil {
		return unfound(p.invoked, err)
	}
	if real != p.disk.Path {
		return fmt.Errorf("%s now leads to %s, this process runs %s: restart the service to follow the link, then update",
			p.invoked, real, p.disk.Path)
	}
	return nil
}

// installed is the version of the file at the path: ours, if it is the file that this process runs; the recorded one,
// if its hash is the recorded one; else somebody deployed it by hand, and it is asked.
func (p *process) installed(ctx context.Context, st *state.State) (*semver.Version, error) {
	if _, err := os.Stat(p.disk.Path); err != nil {
		return nil, fmt.Errorf("looking at the installed program: %w", err)
	}
	if p.own.is(p.disk) {
		return p.version, nil
	}
	if st.Installed != nil {
		id, err := p.disk.Identify()
		if err != nil {
			return nil, fmt.Errorf("looking at the installed program: %w", err)
		}
		if id == st.Installed.ID {
			return release.ParseVersion(st.Installed.Version)
		}
	}
	said := p.askInstalled(ctx)
	if said.err == nil {
		if v, err := release.ParseVersion(versions.First(said.stdout, said.stderr, p.ownName())); err == nil {
			return v, nil
		}
	}
	p.log.Warn("the file at the program's path was put there by hand and does not say its version; taking it for the running one", "err", said.err)
	return p.version, nil
}

// behind reports whether the file at the path is one that an updater installed and that this process does not run.
func (p *process) behind(st *state.State) bool {
	if st.Installed == nil || p.own.is(p.disk) {
		return false
	}
	id, err := p.disk.Identify()
	return err == nil && id == st.Installed.ID && st.Installed.Version != p.version.String()
}

// runs reports whether this process runs the file at the path, and that is the recorded one.
func (p *process) runs(in *state.File) bool {
	id, err := p.disk.Identify()
	return err == nil && id == in.ID && p.own.is(p.disk)
}

// managedBy is the link-time switch of whoever builds the program for a package manager: the command that updates the
// package, or true. It is set by
//
//	-ldflags "-X 'github.com/theseus-go/theseus/updater.managedBy=guix upgrade hello'"
var managedBy string

// findManager finds out who else keeps the file at the path current, nil if nobody does. unmanaged overrides what is
// found, not what was said.
func (p *process) findManager(unmanaged bool) *managed.Manager {
	volume := filepath.VolumeName(p.disk.Path)
	at := managed.Place{
		Root: os.DirFS(volume + string(filepath.Separator)),
		Path: strings.TrimPrefix(filepath.ToSlash(p.disk.Path[len(volume):]), "/"),
		OS:   runtime.GOOS, PID: os.Getpid(), Parent: os.Getppid(),
		Believe: func(name string) bool { return p.disk.Believes(filepath.Base(name)) },
	}
	m, free := managed.Said(at, managedBy, os.Getenv(managed.Variable))
	if m == nil && !free && !unmanaged {
		m = managed.Find(at)
	}
	return m
}
