package updater

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/release"
)

// Notice is for command-line tools that do not update by themselves: it tells the person at the terminal that there is a newer
// version, and which command installs it, in one line on standard error.
//
//	defer u.Notice(ctx)()
//
// It asks the source at most once a day, while the program works; show tells at most once a day. What was learned is kept in
// the user's cache folder, so a program that ends before the answer comes, or has no network, tells what an earlier run has
// learned. Only a run that asks can be slower for it, by a quarter of a second at most, which show waits for the answer.
// A rollout's ramp holds for a notice as for the interval.
//
// Nothing is asked or told where nobody reads it (standard error is no terminal, CI is set), where it is not wanted
// (Options.NoNotice, or NO_UPDATE_NOTIFIER is set), under sudo, and by development builds. show must be called on the goroutine that
// writes to the terminal; it is never nil.
func (u *Updater) Notice(ctx context.Context) (show func()) {
	n := u.notices
	if u.off != nil || u.opts.NoNotice || os.Getenv("CI") != "" || os.Getenv("NO_UPDATE_NOTIFIER") != "" || os.Getenv("SUDO_UID") != "" || release.Development(u.opts.running) || !n.watched() {
		return func() {}
	}
	file, err := n.file(u.disk.Path, u.opts.App, u.opts.Channel)
	if err != nil {
		return func() {}
	}
	began, known := time.Now(), noticed{}.read(file)
	if !due(known.Next, u.now()) {
		return func() { u.tellNotice(file, known) }
	}
	known.Next = u.now().Add(noticeAgain)
	if known.write(file) != nil { // it would be asked each time
		return func() { u.tellNotice(file, known) }
	}
	ctx, cancel := context.WithCancel(ctx)
	answer := make(chan noticed, 1)
	go func() {
		defer cancel()
		known := known
		r, err := u.job(nil, request{terse: true}).look(ctx)
		if err == nil || outcomeOf(err).sentinel == ErrNothing {
			known.Next, known.Offered, known.Managed = u.now().Add(noticeEvery), r.Offered, r.Managed
			_ = known.write(file) // it is asked again in an hour
		}
		answer <- known
	}()
	return func() {
		wait := time.NewTimer(max(0, n.wait-time.Since(began)))
		defer wait.Stop()
		select {
		case known = <-answer:
		case <-wait.C:
		}
		cancel()
		u.tellNotice(file, known)
	}
}

// tellNotice prints what is known, unless that was done today.
func (u *Updater) tellNotice(file string, known noticed) {
	v, err := release.ParseVersion(known.Offered)
	if err != nil || !u.opts.running.LessThan(v) || !due(known.Shown, u.now()) {
		return
	}
	how := "to install it: " + u.opts.App + " self-update"
	if managed := text.Short(known.Managed, 200); !managed.IsZero() {
		how = managed.String()
	}
	known.Shown = u.now().Add(noticeEvery)
	if known.write(file) != nil {
		return // it would be told each time
	}
	fmt.Fprintf(u.notices.out, "%s %s is available, this is %s; %s\n", u.opts.App, v, u.opts.running, how)
}
