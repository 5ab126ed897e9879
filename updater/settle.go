package updater

import (
	"errors"
	"os"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
)

// countStart settles the journal, counts a start of an unproved file, and
// undoes one that was started too often. back: the file at the path is now
// another one than this process runs.
func (u *Updater) countStart() (back bool, err error) {
	lock, release, err := u.acquire()
	if err != nil {
		return false, err
	}
	defer release()
	u.acting.Lock()
	defer u.acting.Unlock()
	if err := u.settle(lock); err != nil {
		return false, err
	}
	st, err := u.load()
	if err != nil {
		return false, err
	}
	u.shown(st)
	ours := u.runsPath()
	if st.Installed == nil || !u.runsInstalled(st.Installed) {
		return false, nil
	}
	err = u.counted(lock, false)
	return ours && !u.runsPath(), err
}

// prove records that the installed file ran healthily in this process. It
// reports whether there is nothing left to prove; there is while another
// process holds the lock, which proves or undoes itself.
func (u *Updater) prove() bool {
	if u.manager() != nil {
		return true
	}
	st, err := u.load()
	if err != nil {
		return false
	}
	if in := st.Installed; in == nil || in.Proved || !u.runsInstalled(in) {
		u.shown(st)
		return true
	}
	lock, release, err := u.acquire()
	if err != nil {
		return !errors.Is(err, state.ErrBusy)
	}
	defer release()
	u.proved(lock, st.Installed.ID)
	return true
}

// proved records that the file with this hash ran healthily. What was installed
// over it since has its own probation.
func (u *Updater) proved(lock *state.Lock, id content.ID) {
	var version string
	_, err := u.change(lock, func(st *state.State) {
		if in := st.Installed; in != nil && !in.Proved && in.ID == id {
			in.Proved, in.Starts, in.Counted = true, 0, false
			version = in.Version
		}
	})
	if err != nil {
		u.log.Warn("recording that the version has proved itself", "err", err)
		return
	}
	if version != "" {
		u.emit(Event{Kind: Proved, Version: version, Text: "runs healthily"})
	}
}

// shown puts what is remembered into the status.
func (u *Updater) shown(st *state.State) {
	u.set(func(s *Status) {
		s.Failed = failures(st)
		s.Proved = st.Installed == nil || st.Installed.Proved
		switch {
		case st.Installed != nil:
			s.Installed = st.Installed.Version
		case s.Installed == "":
			s.Installed = u.running.String()
		}
	})
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
