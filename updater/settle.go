package updater

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
)

// settle finishes or undoes what an interrupted update left. Only with the lock.
func (u *Updater) settle(lock *state.Lock) error {
	seen, err := u.recall()
	if err != nil {
		return fail(Settling, "", err)
	}
	st := seen.state
	if st.Journal == nil {
		return nil
	}
	j := *st.Journal
	at, err := u.target.Identify()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(Settling, j.To.Version, err)
	}
	kept, err := u.target.Kept(j.Kept().ID.SHA256)
	if err != nil && !errors.Is(err, swap.ErrNoPrevious) {
		return fail(Settling, j.To.Version, err)
	}
	verdict := state.Settle(j, at, kept)
	if verdict.Restore != nil {
		if err := u.target.Restore(verdict.Restore.ID); err != nil {
			return fail(Settling, j.To.Version, err)
		}
	}
	st.Settle(verdict, u.now().UTC())
	if err := lock.Save(st); err != nil {
		return fail(Settling, j.To.Version, err)
	}
	if err := u.target.Sweep(st.Keep()...); err != nil {
		u.log.Warn("sweeping what an interrupted update left", "err", err)
	}
	u.set(func(s *Status) { s.Failed = failures(st) })
	text := fmt.Sprintf("an interrupted %s to %s: %s", j.Step, j.To.Version, verdict.Outcome)
	u.emit(Event{Kind: Settled, Version: j.To.Version, Text: text})
	if verdict.Outcome == state.Stuck || verdict.Outcome == state.Lost {
		return fail(Settling, j.To.Version, fmt.Errorf("%s; the version to go back to is missing: install a release by name", text))
	}
	return nil
}

// countStart settles the journal, counts a start of an unproved file, and
// undoes one that was started too often. back: the file at the path is now
// another one than this process runs.
func (u *Updater) countStart() (back bool, err error) {
	lock, release, err := u.acquire()
	if err != nil {
		return false, err
	}
	defer release()
	if err := u.settle(lock); err != nil {
		return false, err
	}
	seen, err := u.recall()
	if err != nil {
		return false, err
	}
	in := seen.state.Installed
	if in == nil {
		u.set(func(s *Status) { s.Installed, s.Proved = u.running.String(), true })
		return false, nil
	}
	u.set(func(s *Status) { s.Installed, s.Proved, s.Failed = in.Version, in.Proved, failures(seen.state) })
	if in.Proved || !u.runsInstalled(in) {
		return false, nil
	}
	if in.Starts >= maxStarts {
		cause := fmt.Errorf("started %d times and never ran for %v", in.Starts, u.proveAfter)
		if err := u.undo(lock, cause); err != nil {
			return false, err
		}
		return !u.runsPath(), nil
	}
	if in.Counted {
		in.Counted = false
	} else {
		in.Starts++
	}
	return false, lock.Save(seen.state)
}

// prove records that the installed file ran healthily in this process. It
// reports whether there is nothing left to prove; there is while another
// process holds the lock, which proves or undoes itself.
func (u *Updater) prove() bool {
	seen, err := u.recall()
	if err != nil {
		return false
	}
	in := seen.state.Installed
	if in == nil || in.Proved || !u.runsInstalled(in) {
		u.set(func(s *Status) { s.Proved = in == nil || in.Proved })
		return true
	}
	lock, release, err := u.acquire()
	if err != nil {
		return !errors.Is(err, state.ErrBusy)
	}
	defer release()
	u.proveLocked(lock)
	return true
}

func (u *Updater) proveLocked(lock *state.Lock) {
	var version string
	err := u.change(lock, func(st *state.State) {
		if st.Installed != nil && !st.Installed.Proved {
			st.Installed.Proved, st.Installed.Starts, st.Installed.Counted = true, 0, false
			version = st.Installed.Version
		}
	})
	if err != nil {
		u.log.Warn("recording that the version has proved itself", "err", err)
		return
	}
	u.set(func(s *Status) { s.Proved = true })
	if version != "" {
		u.emit(Event{Kind: Proved, Version: version, Text: "runs healthily"})
	}
}

// runsPath: the file at the path is the one that this process runs.
func (u *Updater) runsPath() bool {
	info, err := os.Stat(u.target.Path)
	return err == nil && os.SameFile(info, u.own)
}

// runsInstalled: and it is the recorded one.
func (u *Updater) runsInstalled(in *state.File) bool {
	id, err := u.target.Identify()
	return err == nil && id == in.ID && u.runsPath()
}
