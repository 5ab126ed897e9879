package restart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A beginning is how this process was started. Its successor is started in the same way, whatever the program has
// changed since: its arguments, its environment, its working directory, which signals it ignores.
type beginning struct {
	path string // of the executable, absolute. Links in it are not resolved: the successor is what they point to by then
	args []string
	env  []string
	dir  string
	mute string // the variable that makes a successor ignore the signals that this process was started to ignore, or ""
	err  error  // why path is not known
}

// begun is recorded before main can change anything.
var begun = begin()

func begin() beginning {
	b := beginning{args: slices.Clone(os.Args), env: os.Environ(), mute: muted()}
	b.dir, _ = os.Getwd()
	b.path, b.err = executable(b.dir)
	return b
}

// executable returns the path under which this program was called, if that names the file that runs, and else the file
// that runs: the first argument may be any text.
func executable(dir string) (string, error) {
	running, err := os.Executable()
	if len(os.Args) == 0 || os.Args[0] == "" {
		return running, err
	}
	called := os.Args[0]
	if !strings.ContainsRune(called, filepath.Separator) {
		found, lerr := exec.LookPath(called)
		if lerr != nil && !errors.Is(lerr, exec.ErrDot) {
			return running, err
		}
		called = found
	}
	if !filepath.IsAbs(called) {
		if dir == "" {
			return running, err
		}
		called = filepath.Join(dir, called)
	}
	if err != nil { // nothing to compare with
		return called, nil
	}
	if there, err := os.Stat(called); err == nil {
		for _, name := range runningFile(running) {
			if here, err := os.Stat(name); err == nil && os.SameFile(there, here) {
				return called, nil
			}
		}
	}
	return running, nil
}

// environment returns the variables of a successor: those that this process was started with, without what was meant for
// this process only.
func (b beginning) environment() []string {
	return slices.DeleteFunc(slices.Clone(b.env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == sentinel || strings.HasPrefix(name, "LISTEN_") && slices.Contains(activationVariables, name) ||
			strings.HasPrefix(name, "ENDLESS_") || strings.HasPrefix(name, "OVERSEER_")
	})
}

var activationVariables = []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"}

// checkSurroundings turns likely exec failures into clear errors.
func checkSurroundings() error {
	if begun.err != nil {
		return calledOff(fmt.Errorf("finding the executable: %w", begun.err))
	}
	if _, err := os.Stat(begun.dir); err != nil {
		return calledOff(fmt.Errorf("the working directory %s, in which this program was started and its successor would be, is gone: %w", begun.dir, err))
	}
	info, err := os.Stat(begun.path)
	switch {
	case err != nil:
		return fmt.Errorf("the executable cannot be started: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("the executable cannot be started: %s is not an executable file (%v)", begun.path, info.Mode())
	case info.Size() == 0:
		return fmt.Errorf("the executable cannot be started: %s is empty", begun.path)
	}
	// A handover needs a few descriptors. Without them it would fail halfway, and blame the version.
	var files []*os.File
	for range 4 {
		a, b, err := os.Pipe()
		if err != nil {
			err = calledOff(fmt.Errorf("no file descriptors are left for a handover: %w", err))
			for _, f := range files {
				f.Close()
			}
			return err
		}
		files = append(files, a, b)
	}
	for _, f := range files {
		f.Close()
	}
	return nil
}
