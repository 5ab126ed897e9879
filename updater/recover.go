package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/theseus-go/theseus/internal/aside"
	disk "github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
)

// Recovery is what Recover found and did.
type Recovery struct {
	// Installed is the recorded version at the path, "" if there is no record.
	Installed string
	// Proved: it has run healthily before.
	Proved bool
	// Starts is how often it was started without proving itself.
	Starts int
	// Done are the steps that were settled or undone, as sentences.
	Done []string
	// Busy: another process is at work on this program, and settles it.
	Busy error
}

// Recover brings the program at path back to a version that starts, from
// outside and without network or key: it settles an interrupted update, and
// undoes a release that was started three times and never proved itself. It is
// for the moment before a service starts (ExecStartPre=) and for a rescue
// shell, and works where the program itself cannot even start. It counts the
// start that is coming. It waits at most ten seconds for a process that is at
// work on the same program. log may be nil.
//
// Run by root on a program in a folder of another user's it changes nothing: the error wraps ErrPermission and ends with
// the command that runs it as that user.
func Recover(ctx context.Context, path string, log *slog.Logger) (r Recovery, err error) {
	i := &installation{reporter: &reporter{
		app: path, log: cmp.Or(log, slog.New(slog.DiscardHandler)), now: time.Now, conditions: map[Kind]string{},
		on: func(e Event) {
			if e.Kind == StateMissing {
				return // nothing was done
			}
			text := string(e.Kind) + ": " + e.Text
			if e.Version != "" {
				text = string(e.Kind) + " " + e.Version + ": " + e.Text
			}
			r.Done = append(r.Done, text)
		},
	}}
	if i.target, err = swap.Open(path); err != nil {
		return r, fail(Settling, "", err)
	}
	i.target.Aside = aside.Commit
	if err := asOwner(i.target, "theseus recover "+swap.Quote(i.target.Path)); err != nil {
		return r, fail(Settling, "", err)
	}
	lock, release, err := i.await(ctx, lockWait)
	if errors.Is(err, state.ErrBusy) {
		r.Busy = err
		return r, nil
	}
	if err != nil {
		return r, fail(Settling, "", err)
	}
	defer release()
	if err := i.settle(lock); err != nil {
		return r, err
	}
	if err := i.counted(lock, true); err != nil {
		return r, fail(Undoing, "", err)
	}
	st, err := i.load()
	if err != nil {
		return r, fail(Settling, "", err)
	}
	if st.Installed != nil {
		r.Installed, r.Proved, r.Starts = st.Installed.Version, st.Installed.Proved, st.Installed.Starts
	}
	return r, nil
}

// asOwner refuses to work as root in a folder of somebody else's, and says how to run command as that user.
func asOwner(target *swap.Target, command string) error {
	err := disk.CheckOwner(target)
	if other := (*disk.OtherOwner)(nil); errors.As(err, &other) {
		return fmt.Errorf("%w; run it as that user: %s", err, other.Command(command))
	}
	return err
}
