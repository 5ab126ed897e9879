package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// View is what a client saw at one moment.
type View struct {
	Clock   release.Clock // fixed once: every rule judges by the same moment
	Trust   *verify.Trust
	Channel *release.Channel // accepted and current, with what it includes; nil if there is none

	// Memory is what to remember from now on. It is just as good if Look returned an error: what was verified before
	// stays verified.
	Memory   Memory
	Followed []*verify.Trust // new trust documents, in their order
	Failed   []fetch.Attempt // sources that did not serve

	// TrustLost says why the remembered trust document was not usable, nil if it was.
	TrustLost error
	client    *Client
	source    Source
}

// Look gets the newest documents that pass every check: memory, trust, channel, in this order. now is the wall clock.
// The View is never nil.
func (c *Client) Look(ctx context.Context, source Source, m Memory, now time.Time) (*View, error) {
	v := &View{client: c, source: source, Memory: m, Clock: release.Clock{Wall: now, Floor: m.Floor, Built: c.Built}}
	trust, lost, err := c.inForce(m)
	if err != nil {
		return v, err
	}
	if lost != nil {
		v.TrustLost, v.Memory.Trust = lost, Trust{}
	}
	v.believe(trust)
	return v, v.look(ctx)
}

// believe makes a trust document the one in force, and forgets what it does not vouch for.
func (v *View) believe(trust *verify.Trust) {
	v.Trust = trust
	v.Memory.forget(trust)
	v.Clock.Floor = v.Memory.Floor
}

// look brings v.Channel to the newest document that passes every check, in this order. Nothing of a document is
// remembered before its last check.
func (v *View) look(ctx context.Context) error {
	if v.walkDue() {
		// Asking is a courtesy to key rotation: no answer is no reason to stop, the trust document's own expiry is.
		if err := v.walk(ctx); err != nil && ctx.Err() != nil {
			return err
		}
	}
	all, err := v.acceptAll(ctx)
	if err != nil {
		return err
	}
	v.Channel = all
	if v.Trust.Expired(v.Clock.Now()) {
		return fmt.Errorf("trust document %d ended on %s: the publisher must sign a newer one: %w",
			v.Trust.Version, v.Trust.Expires.Format(time.DateOnly), release.ErrExpired)
	}
	return nil
}

// acceptAll accepts the client's channel and those that it includes, all by the same trust document.
func (v *View) acceptAll(ctx context.Context) (*release.Channel, error) {
	for {
		c, err := v.accept(ctx, v.client.Channel)
		if err != nil {
			return nil, err
		}
		trust := v.Trust
		var included []*release.Channel
		for _, name := range c.Includes {
			other, err := v.accept(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("channel %s, which %s includes: %w", name, c.Name, err)
			}
			included = append(included, other)
		}
		if v.Trust == trust {
			return c.Including(included...)
		}
	}
}

// accept gets the newest document of one channel that passes every check, and remembers it.
func (v *View) accept(ctx context.Context, name string) (*release.Channel, error) {
	c, known, err := v.channel(ctx, name)
	switch moved, walkErr := v.walkFor(ctx, c, err); {
	case walkErr != nil:
		return nil, walkErr
	case moved:
		c, known, err = v.channel(ctx, name)
	}
	if errors.Is(err, release.ErrRollback) && v.lagging(name) {
		err = &also{err, ErrLagging}
	}
	if err != nil {
		return nil, err
	}
	if err := c.Current(v.Trust); err != nil {
		return nil, err
	}
	v.remember(name, known)
	v.raise(c.Issued)
	return c, nil
}

// known is what is remembered of one channel, nil if nothing is.
func (v *View) known(name string) *Channel {
	if name == v.client.Channel {
		return v.Memory.Channel
	}
	return v.Memory.Included[name]
}

func (v *View) remember(name string, c *Channel) {
	if name == v.client.Channel {
		v.Memory.Channel = c
		return
	}
	v.Memory.Included = with(v.Memory.Included, name, c)
}

// walkFor looks for a newer trust document where the channel, or how it was refused, says that there is one. moved
// reports whether there was.
func (v *View) walkFor(ctx context.Context, c *release.Channel, err error) (moved bool, _ error) {
	before := v.Trust.Version
	switch {
	case errors.Is(err, verify.ErrSignature) || errors.Is(err, verify.ErrThreshold):
		// Perhaps signed by keys that a newer trust document names. If there is none, the refusal of the channel is
		// the answer.
		if walkErr := v.walk(ctx); walkErr != nil && Refused(walkErr) {
			return false, walkErr
		}
	case err == nil && c.Trust > v.Trust.Version:
		if walkErr := v.walk(ctx); walkErr != nil {
			return false, walkErr
		}
	}
	return v.Trust.Version != before, nil
}

// walkDue reports whether to look for a newer trust document unasked: once a day, and near the end of the one in
// force.
func (v *View) walkDue() bool {
	if !v.Trust.Expires.IsZero() && v.Clock.Now().Add(7*24*time.Hour).After(v.Trust.Expires) {
		return true
	}
	return v.Clock.Wall.Sub(v.Memory.Asked) >= 24*time.Hour
}

// walk follows newer trust documents and remembers each.
func (v *View) walk(ctx context.Context) error {
	v.Memory.Asked = v.Clock.Wall
	docs := v.documents()
	followed, err := docs.Walk(ctx)
	for _, t := range followed {
		v.Memory.Trust = Trust{Version: t.Version, File: string(t.File)}
		v.believe(t)
		v.raise(t.Issued)
	}
	v.Followed = append(v.Followed, followed...)
	return err
}

// raise moves the floor of the clock.
func (v *View) raise(issued time.Time) {
	v.Memory.Floor = v.Clock.Raise(issued)
	v.Clock.Floor = v.Memory.Floor
}

func (v *View) documents() Documents {
	return Documents{Source: v.source, App: v.client.App, Trust: v.Trust}
}

// channel gets one channel document that is signed, for us, not older than what is remembered, and current; "not
// modified" re-evaluates the remembered one. known is what to remember of it, if it stands.
func (v *View) channel(ctx context.Context, name string) (c *release.Channel, known *Channel, err error) {
	var file []byte
	var seen release.Seen
	if known = v.known(name); known != nil {
		seen = known.Seen
	}
	accept := func(b []byte) error {
		opened, err := release.OpenChannel(b, v.Trust.Channel, v.client.App, name)
		if err != nil {
			return err
		}
		if err := opened.Follows(seen); err != nil {
			if errors.Is(err, release.ErrRollback) {
				err = &also{err, fetch.ErrStale} // ask once past the caches
			}
			return err
		}
		if err := opened.Fresh(v.Clock); err != nil {
			return err
		}
		c, file = opened, bytes.Clone(b)
		return nil
	}
	var validator *fetch.Validator
	if known != nil && known.Validator.ETag != "" {
		if _, err := release.OpenChannel([]byte(known.File), v.Trust.Channel, v.client.App, name); err == nil {
			validator = &known.Validator
		}
	}
	res, err := v.get(ctx, name, validator, accept)
	if err != nil {
		return nil, nil, err
	}
	if res.NotModified {
		stale := accept([]byte(known.File))
		if stale == nil {
			served := *known
			served.Served = v.Clock.Wall.UTC()
			return c, &served, nil
		}
		// "Nothing new" of a document that no longer holds: whoever says so lags or lies. All sources are asked for
		// the whole document.
		if res, err = v.get(ctx, name, nil, accept); err != nil {
			return nil, nil, stale
		}
	}
	return c, &Channel{Seen: seen.Accept(c), File: string(file), Served: v.Clock.Wall.UTC(), Validator: res.Validator}, nil
}

func (v *View) get(ctx context.Context, name string, validator *fetch.Validator, accept func([]byte) error) (fetch.Result, error) {
	res, err := v.source.Document(ctx, name, verify.TypeChannel.MaxSize(), validator, accept)
	v.Failed = append(v.Failed, res.Failed...)
	return res, err
}

// ErrLagging is found in a release.ErrRollback where whoever served the old document may merely be behind: the
// remembered one is current, and was served less than a day ago.
var ErrLagging = errors.New("the source lags behind")

// also is two errors, with the text of the first.
type also struct {
	error
	second error
}

func (e *also) Unwrap() []error { return []error{e.error, e.second} }

func (v *View) lagging(name string) bool {
	known := v.known(name)
	if known == nil || v.Clock.Wall.Sub(known.Served) > 24*time.Hour {
		return false
	}
	c, err := release.OpenChannel([]byte(known.File), v.Trust.Channel, v.client.App, name)
	return err == nil && c.Fresh(v.Clock) == nil
}

// Select chooses what this client should install now: see release.Select. client.Now is set here.
func (v *View) Select(ctx context.Context, client release.Client) (*release.Offer, []release.Verdict, error) {
	client.Now = v.Clock.Now()
	return release.Select(v.Channel, client, func(e release.Entry) (*release.Manifest, error) { return v.Manifest(ctx, e) })
}

// maxManifests is how many manifests are kept for the next look.
const maxManifests = 16

// Manifest opens one release manifest, by the hash that the channel names. One that was fetched before is opened
// under the entry that names it now, and by the keys that are trusted now.
func (v *View) Manifest(ctx context.Context, e release.Entry) (*release.Manifest, error) {
	if file := v.Memory.Manifests[e.Manifest]; file != nil {
		if m, err := release.OpenManifest(file, v.Trust.Release, v.client.App, e); err == nil {
			return m, nil
		}
	}
	docs := v.documents()
	m, file, err := docs.Manifest(ctx, e)
	v.Failed = append(v.Failed, docs.Failed...)
	if err != nil {
		return nil, err
	}
	kept := maps.Clone(v.Memory.Manifests)
	if kept == nil || len(kept) >= maxManifests {
		kept = map[verify.ID][]byte{}
	}
	kept[e.Manifest] = file
	v.Memory.Manifests = kept
	return m, nil
}
