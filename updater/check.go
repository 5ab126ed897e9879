package updater

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Result is what a check found or an update did.
type Result struct {
	// Replaced is the version at the program's path before.
	Replaced string
	// Offered is the version that this machine should install, "" if none.
	Offered string
	// Installed is the version that was put at the path, "" if none was.
	Installed string
	// Restarted: a successor that runs the installed file serves already, and
	// this process should end.
	Restarted bool
	// Notes are the release notes of what was offered.
	Notes string
	// Critical: the version at the path should not be run any longer.
	Critical bool
	// Managed says who else keeps the file current, and by which command, "" if
	// nobody does: then Update and Rollback refuse with ErrNothing.
	Managed string
}

// Check asks the source whether there is something to install. It changes
// nothing but what is remembered about documents, and needs no permission to
// write: what it cannot store it keeps in memory.
func (u *Updater) Check(ctx context.Context) (Result, error) {
	return u.look(ctx, request{manual: true})
}

// request says what somebody asks for.
type request struct {
	want   *semver.Version // nil: the newest
	manual bool            // a person asked: the rollout's ramp is for the others
}

func (u *Updater) look(ctx context.Context, req request) (Result, error) {
	v, err := u.check(ctx, req)
	u.set(func(s *Status) { s.State = Idle })
	var r Result
	if v != nil {
		r = v.result()
	}
	if m := u.manager(); m != nil {
		r.Managed = m.String()
	}
	return r, err
}

// view is what one check saw.
type view struct {
	clock     release.Clock // fixed once; every rule judges the same moment
	installed *semver.Version
	trust     *verify.Trust
	channel   *release.Channel
	offer     *release.Offer
}

func (v *view) result() Result {
	r := Result{Replaced: v.installed.String()}
	if v.offer != nil {
		r.Offered = v.offer.Entry.Version.String()
		r.Notes = v.offer.Manifest.Notes
		r.Critical = v.offer.Critical
	}
	return r
}

// check is the order of attacks.md in code: time, memory, trust, channel,
// manifest. It returns a view with no offer when nothing newer is on offer.
func (u *Updater) check(ctx context.Context, req request) (v *view, err error) {
	u.cycle.Lock()
	defer u.cycle.Unlock()
	u.set(func(s *Status) { s.State = Checking; s.LastAttempt = u.now().UTC(); s.Sources = nil })
	defer func() {
		err = fail(Checking, "", err)
		u.report(v, err)
	}()

	seen, err := u.recall()
	if err != nil {
		return nil, err
	}
	v = &view{trust: seen.trust}
	if v.installed, err = u.installedVersion(ctx, seen.state); err != nil {
		return nil, err
	}
	v.clock = u.clock(seen.state)
	if behind := v.clock.Behind(); behind > 24*time.Hour {
		u.begin(ClockBehind, "the clock stands before dates that were signed already; expiry is judged by those", nil)
	} else {
		u.end(ClockBehind)
	}
	if err := u.channel(ctx, v, seen); err != nil {
		return v, err
	}
	in := seen.state.Installed
	u.set(func(s *Status) { s.Proved, s.Failed = in == nil || in.Proved, failures(seen.state) })
	client := release.Client{
		Platform:  release.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH, Variant: u.opts.Variant},
		Installed: v.installed, Now: v.clock.Now(), Installation: seen.state.Installation,
		Failed: failures(seen.state), Want: req.want, Manual: req.manual,
	}
	var rules []release.Verdict
	v.offer, rules, err = release.Select(v.channel, client, func(e release.Entry) (*release.Manifest, error) {
		return u.manifest(ctx, v, e)
	})
	u.set(func(s *Status) { s.Explain = rules })
	return v, err
}

// report puts what a check saw into status and events.
func (u *Updater) report(v *view, err error) {
	u.set(func(s *Status) {
		if v != nil {
			s.Installed, s.Offered = v.installed.String(), ""
			if v.offer != nil {
				s.Offered = v.offer.Entry.Version.String()
			}
			if v.channel != nil {
				s.Sequence, s.Expires, s.Trust = v.channel.Sequence, v.channel.Expires, v.trust.Version
			}
		}
		if err == nil || errors.Is(err, ErrNothing) {
			s.LastCheck = u.now().UTC()
		}
	})
	switch {
	case errors.Is(err, release.ErrRollback) && !u.lagging():
		u.begin(RollbackSeen, "no source has served the newest document that was seen for a day; somebody may be holding updates back", err)
	case errors.Is(err, release.ErrRollback):
		u.begin(StaleSource, "the source lags behind what was seen before", err)
	case errors.Is(err, release.ErrExpired):
		u.begin(Expired, "nobody vouches for the channel any longer: the publisher must refresh it, or somebody is holding updates back", err)
	case errors.Is(err, ErrRefused):
		u.begin(Refused, "what was served is refused", err)
	case errors.Is(err, ErrUnreachable):
		u.begin(Unreachable, "no source answers", err)
		return // says nothing about the other conditions
	case err == nil || errors.Is(err, ErrNothing):
		u.end(Refused, Unreachable, StaleSource, RollbackSeen, Expired)
	}
}

// failures are the versions that Select must not offer again by itself.
func failures(st *state.State) map[string]string {
	m := make(map[string]string, len(st.Failed))
	for version, f := range st.Failed {
		m[version] = f.Reason
	}
	return m
}

// channel brings v.channel to the newest document that passes every check,
// walking to newer trust documents where that is asked for, and remembers it
// before anything else is downloaded.
func (u *Updater) channel(ctx context.Context, v *view, seen *recalled) error {
	if u.trustDue(v) {
		// Asking is a courtesy to key rotation: no answer is no reason to stop,
		// the trust document's own expiry is.
		if err := u.walk(ctx, v); err != nil && ctx.Err() != nil {
			return err
		}
	}
	for walked := false; ; walked = true {
		if seen.forget(v.trust, u.opts.Channel) {
			v.clock.Floor = seen.state.Floor
		}
		err := u.fetchChannel(ctx, v, seen)
		before := v.trust.Version
		switch {
		case walked:
		case err != nil && (errors.Is(err, verify.ErrSignature) || errors.Is(err, verify.ErrThreshold)):
			// Perhaps signed by keys that a newer trust document names. If there
			// is none, the refusal of the channel is the answer.
			if walkErr := u.walk(ctx, v); walkErr != nil && refusal(walkErr) {
				return walkErr
			}
		case err == nil && v.channel.Trust > v.trust.Version:
			if err := u.walk(ctx, v); err != nil {
				return err
			}
		}
		if v.trust.Version == before {
			if err != nil {
				return err
			}
			break
		}
	}
	if v.trust.Expired(v.clock.Now()) {
		return fmt.Errorf("trust document %d ended on %s: the publisher must sign a newer one: %w",
			v.trust.Version, v.trust.Expires.Format(time.DateOnly), release.ErrExpired)
	}
	return nil
}

// fetchChannel gets one channel document that is signed, for us, not older
// than what is remembered, and current; 304 re-evaluates the remembered one.
func (u *Updater) fetchChannel(ctx context.Context, v *view, seen *recalled) error {
	var file []byte
	accept := func(b []byte) error {
		c, err := release.OpenChannel(b, v.trust.Channel, u.opts.App, u.opts.Channel)
		if err != nil {
			return err
		}
		if err := seen.compare(c); err != nil {
			if errors.Is(err, release.ErrRollback) {
				err = &classified{err, fetch.ErrStale} // ask once past the caches
			}
			return err
		}
		if err := c.Fresh(v.clock); err != nil {
			return err
		}
		v.channel, file = c, b
		return nil
	}
	var validator *fetch.Validator
	known := seen.channel(u.opts.Channel)
	if known != nil && known.Validator.ETag != "" {
		if _, err := release.OpenChannel([]byte(known.File), v.trust.Channel, u.opts.App, u.opts.Channel); err == nil {
			validator = (*fetch.Validator)(&known.Validator)
		}
	}
	res, err := u.fetch.Document(ctx, u.opts.Channel, verify.TypeChannel.MaxSize(), validator, accept)
	u.set(func(s *Status) { s.Sources = append(s.Sources, res.Failed...) })
	if err != nil {
		return err
	}
	if res.NotModified {
		err := accept([]byte(known.File))
		if err == nil {
			u.served(*known)
			return nil
		}
		// "Nothing new" of a document that no longer holds: whoever says so lags or lies. All sources are asked for
		// the whole document.
		again, other := u.fetch.Document(ctx, u.opts.Channel, verify.TypeChannel.MaxSize(), nil, accept)
		u.set(func(s *Status) { s.Sources = append(s.Sources, again.Failed...) })
		if other != nil {
			return err
		}
		res = again
	}
	s := release.Seen{}.Accept(v.channel)
	now := &state.Channel{
		Sequence: s.Sequence, ID: onDisk(s.ID), File: string(file), Validator: state.Validator(res.Validator),
		Threshold: s.Threshold, Served: u.now().UTC(),
	}
	for _, key := range s.Signers {
		now.Signers = append(now.Signers, content.Digest(key))
	}
	u.remember(memory{channel: now, floor: v.clock.Raise(v.channel.Issued)})
	return nil
}

// walk follows trust documents N+1, N+2, …, each signed by a threshold of its
// predecessor and of itself, and remembers every verified step.
func (u *Updater) walk(ctx context.Context, v *view) error {
	const most = 256 // rotations in one walk
	u.mu.Lock()
	u.trustAsked = u.now()
	u.mu.Unlock()
	for range most {
		var next *verify.Trust
		_, err := u.fetch.Document(ctx, release.TrustPath(v.trust.Version+1), verify.TypeTrust.MaxSize(), nil, func(b []byte) (err error) {
			next, err = v.trust.Next(b, u.opts.App)
			return err
		})
		if missing(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("trust document %d: %w", v.trust.Version+1, err)
		}
		v.trust = next
		u.remember(memory{
			trust: &state.Trust{Version: next.Version, File: string(next.File)},
			floor: v.clock.Raise(next.Issued),
		})
		u.emit(Event{Kind: TrustChanged, Text: fmt.Sprintf("trust document %d is in force", next.Version)})
	}
	return fmt.Errorf("more than %d trust documents in a row: %w", most, verify.ErrTooLarge)
}

// missing: no source has the file. Some object stores answer 403 for a missing
// file to whoever may not list the bucket.
func missing(err error) bool {
	status := (*fetch.StatusError)(nil)
	forbidden := errors.As(err, &status) && status.Code == http.StatusForbidden
	return (errors.Is(err, fetch.ErrNotFound) || forbidden) && !refusal(err)
}

// trustDue: once a day, and near the end of the trust document in force. The
// channel and its signatures ask for more.
func (u *Updater) trustDue(v *view) bool {
	if !v.trust.Expires.IsZero() && v.clock.Now().Add(7*24*time.Hour).After(v.trust.Expires) {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.now().Sub(u.trustAsked) >= 24*time.Hour
}

// manifest gets one release manifest, by the hash that the channel names.
func (u *Updater) manifest(ctx context.Context, v *view, e release.Entry) (*release.Manifest, error) {
	u.mu.Lock()
	file := u.manifests[e.Manifest]
	u.mu.Unlock()
	if file != nil {
		// Under the entry that names it now, and by the keys that are trusted now.
		if m, err := release.OpenManifest(file, v.trust.Release, u.opts.App, e); err == nil {
			return m, nil
		}
	}
	var m *release.Manifest
	res, err := u.fetch.Document(ctx, release.ManifestPath(e.Version), verify.TypeManifest.MaxSize(), nil, func(b []byte) (err error) {
		m, err = release.OpenManifest(b, v.trust.Release, u.opts.App, e)
		file = b
		return err
	})
	u.set(func(s *Status) { s.Sources = append(s.Sources, res.Failed...) })
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.manifests) >= 16 {
		clear(u.manifests)
	}
	u.manifests[e.Manifest] = file
	return m, nil
}
