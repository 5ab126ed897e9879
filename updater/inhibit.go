package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/release"
)

// inhibitEvery is how soon a busy program is asked again.
const inhibitEvery = time.Minute

// Inhibit is a Gate that is closed while the program is busy with something that must not be interrupted: a migration, a
// job, a call. busy says with what, in a sentence, and returns "" while it is not. It holds back critical releases too, and
// what a person asked for. It is asked again after a minute.
func Inhibit(busy func(context.Context) string) Gate {
	if busy == nil {
		return nil // as any other nil among the gates it is refused
	}
	return inhibit(busy)
}

type inhibit func(context.Context) string

func (i inhibit) Enter(ctx context.Context, m Move) error    { return enterBy(ctx, i, m) }
func (i inhibit) Leave(context.Context, Move, Outcome) error { return nil }
func (i inhibit) letGo()                                     {}

func (i inhibit) look(ctx context.Context, m Move) (release.Verdict, time.Duration) {
	why := i(ctx)
	return release.Verdict{Release: m.To, Rule: "inhibit", Input: "the program", Passed: why == "", Detail: why}, inhibitEvery
}

// InhibitFile is Inhibit for scripts: a Gate that is closed while a process holds a lock on the file, such as
//
//	flock /run/hello.busy backup.sh
//
// The system frees the lock when that process ends, however it ends, so nothing is held back for ever. The gate holds
// the lock while an update is installed and restarted, and a script that comes meanwhile waits. A file that is not there
// holds nothing back.
func InhibitFile(path string) Gate { return &lockFile{path: path} }

type lockFile struct {
	path string
	mu   sync.Mutex
	file *os.File // that this process has locked
}

func (l *lockFile) Leave(context.Context, Move, Outcome) error { return nil }

func (l *lockFile) Enter(_ context.Context, m Move) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		return nil
	}
	f, err := l.take()
	if err != nil {
		return &Held{Kind: "inhibit", Reason: err.Error(), After: inhibitEvery}
	}
	l.file = f
	return nil
}

func (l *lockFile) look(_ context.Context, m Move) (release.Verdict, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := release.Verdict{Release: m.To, Rule: "inhibit", Input: l.path, Passed: true}
	if l.file != nil {
		return v, 0
	}
	f, err := l.take()
	if err != nil {
		v.Passed, v.Detail = false, err.Error()
		return v, inhibitEvery
	}
	free(f)
	return v, 0
}

func (l *lockFile) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	free(l.file)
	l.file = nil
}

// take returns the locked file, nil if there is none.
func (l *lockFile) take() (*os.File, error) {
	info, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file, and cannot be locked", l.path)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("somebody holds %s, and wants no update now", l.path)
		}
		return nil, err
	}
	return f, nil
}

func free(f *os.File) {
	if f != nil {
		_ = durable.Unlock(f)
		_ = f.Close()
	}
}
