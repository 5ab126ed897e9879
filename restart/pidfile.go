package restart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A pidFile names the process in service. Its methods do nothing if there is no path.
type pidFile struct {
	path  string
	retry sync.Once // begins to try again

	mu   sync.Mutex
	ours bool // it names this process, as far as is known
}

// pidFileRetry is how often it is tried.
const pidFileRetry = time.Second

// write replaces the file atomically, so that nobody reads half a number.
func (p *pidFile) write() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := os.CreateTemp(filepath.Dir(p.path), "."+filepath.Base(p.path)+".*")
	if err != nil {
		return fmt.Errorf("writing the PID file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, os.Getpid())
	if err == nil {
		err = f.Chmod(0o644) // monitoring reads it
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), p.path)
	}
	if err != nil {
		return fmt.Errorf("writing the PID file: %w", err)
	}
	p.ours = true
	return nil
}

// isOurs reports whether the file names this process, and whether that could be seen. Where it could not, because no
// descriptor is left for instance, it is taken for what it was last.
func (p *pidFile) isOurs() (ours, seen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := os.ReadFile(p.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.ours, false
	}
	p.ours = err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(os.Getpid())
	return p.ours, true
}

// remove removes the file if it names this process.
func (p *pidFile) remove() {
	if p.path == "" {
		return
	}
	if ours, _ := p.isOurs(); ours {
		os.Remove(p.path)
	}
}

// writePIDFile makes the PID file name this process. Where that fails (a full disk) the file is removed, because it names
// a process that will soon be gone, and the write is tried again until it succeeds.
func (r *Restarter) writePIDFile() {
	if r.pidFile.path == "" {
		return
	}
	if err := r.pidFile.write(); err != nil {
		if ours, _ := r.pidFile.isOurs(); !ours {
			os.Remove(r.pidFile.path)
		}
		r.event(Event{Kind: EventDowngrade, Err: err, Text: "without a PID file, until it can be written"})
		r.retryPIDFile()
	}
}

// restorePIDFile makes the PID file name this process again. A successor may have written its own id, and died before its
// last word.
func (r *Restarter) restorePIDFile() {
	if r.pidFile.path == "" {
		return
	}
	switch ours, seen := r.pidFile.isOurs(); {
	case !seen:
		r.retryPIDFile()
	case !ours:
		r.writePIDFile()
	}
}

// retryPIDFile looks after the PID file from now on.
func (r *Restarter) retryPIDFile() {
	r.pidFile.retry.Do(func() {
		go func() {
			tick := time.NewTicker(pidFileRetry)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-r.done:
					return
				}
				// The successor writes its own id while this process stands by.
				if p := r.Phase(); p == PhaseServing || p == PhaseHandingOver {
					if ours, seen := r.pidFile.isOurs(); seen && !ours {
						r.pidFile.write() // if that fails, there is another time
					}
				}
			}
		}()
	})
}
