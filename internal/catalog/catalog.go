// Package catalog is what a repository has on offer, verified: trust documents, channels, manifests.
//
// [Documents] is the door through which every reader goes, a client as well as the publisher's tool. It begins with what
// the reader has pinned and opens nothing that does not follow from that:
//
//	docs := catalog.Documents{Source: source, App: "hello", Trust: root}
//	followed, err := docs.Walk(ctx)                        // trust/N+1, trust/N+2, …
//	channel, file, err := docs.Channel(ctx, "stable", nil) // by the keys that docs.Trust names now
//	manifest, file, err := docs.Manifest(ctx, channel.Entries[0])
//
// [Client] is Documents with a memory: it refuses what is older than what was accepted before, asks conditionally, and
// decides when to look for newer keys.
//
//	view, err := client.Look(ctx, source, memory, time.Now())
//	memory = view.Memory                                   // also with an error; keep it before anything is downloaded
//	offer, rules, err := view.Select(ctx, release.Client{…})
//
// The package knows no disk and no clock: [Memory] is a value that it is given and gives back changed. It returns
// facts and errors; what they mean to a person or a service is for the caller to say.
package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Source has the documents of a repository. *fetch.Client is one.
type Source interface {
	// Document gets the document at path, of at most limit bytes, and is content when accept is. v, if not nil, makes
	// the request conditional. A document that is not there is a fetch.ErrNotFound. See fetch.Client.Document.
	Document(ctx context.Context, path string, limit int64, v *fetch.Validator, accept func([]byte) error) (fetch.Result, error)
}

// Files is a Source that just reads: a folder, or a bucket. It returns at most limit+1 bytes, so that one byte too
// many can be told, and an fs.ErrNotExist for what is not there.
type Files func(ctx context.Context, path string, limit int64) ([]byte, error)

// Document reads the file. Nothing is conditional where reading is cheap.
func (f Files) Document(ctx context.Context, path string, limit int64, _ *fetch.Validator, accept func([]byte) error) (fetch.Result, error) {
	b, err := f(ctx, path, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fetch.Result{}, fmt.Errorf("%w: %w", fetch.ErrNotFound, err)
	case err != nil:
		return fetch.Result{}, err
	case int64(len(b)) > limit:
		return fetch.Result{}, &fetch.Refusal{Err: fmt.Errorf("%s is %w: more than %d bytes", path, fetch.ErrTooLarge, limit)}
	}
	if err := accept(b); err != nil {
		return fetch.Result{}, &fetch.Refusal{Err: err}
	}
	return fetch.Result{}, nil
}

// Documents opens the signed documents of one app, by the keys that its trust document names.
type Documents struct {
	Source Source
	App    string
	Trust  *verify.Trust // what is pinned at first; Walk moves it

	// Failed are the sources that did not serve, in the order in which they were asked.
	Failed []fetch.Attempt
}

// MaxRotations is how many trust documents are followed in one walk, and looked for where nothing lists them.
const MaxRotations = 256

// Walk follows trust documents N+1, N+2, …, each signed by a threshold of its predecessor and of itself, until there
// is no further one. d.Trust is the last one then. With an error it is the last one that followed, as followed says
// too: each step is good by itself. Expiry is for the caller to judge, on the last one alone.
func (d *Documents) Walk(ctx context.Context) (followed []*verify.Trust, err error) {
	for range MaxRotations {
		var next *verify.Trust
		version := d.Trust.Version + 1
		err := d.get(ctx, release.TrustPath(version), verify.TypeTrust, func(b []byte) (err error) {
			next, err = d.Trust.Next(b, d.App)
			return err
		})
		if missing(err) {
			return followed, nil
		}
		if err != nil {
			return followed, fmt.Errorf("trust document %d: %w", version, err)
		}
		d.Trust = next
		followed = append(followed, next)
	}
	return followed, fmt.Errorf("more than %d trust documents in a row: %w", MaxRotations, verify.ErrTooLarge)
}

// Channel opens a channel document. judge, if not nil, may refuse it, and the next source is asked.
func (d *Documents) Channel(ctx context.Context, name string, judge func(*release.Channel) error) (c *release.Channel, file []byte, err error) {
	err = d.get(ctx, name, verify.TypeChannel, func(b []byte) error {
		opened, err := release.OpenChannel(b, d.Trust.Channel, d.App, name)
		if err == nil && judge != nil {
			err = judge(opened)
		}
		if err == nil {
			c, file = opened, bytes.Clone(b)
		}
		return err
	})
	return c, file, err
}

// Manifest opens the manifest that a channel names in e.
func (d *Documents) Manifest(ctx context.Context, e release.Entry) (m *release.Manifest, file []byte, err error) {
	err = d.get(ctx, release.ManifestPath(e.Version), verify.TypeManifest, func(b []byte) (err error) {
		m, err = release.OpenManifest(b, d.Trust.Release, d.App, e)
		file = bytes.Clone(b)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return m, file, nil
}

func (d *Documents) get(ctx context.Context, path string, t verify.Type, accept func([]byte) error) error {
	res, err := d.Source.Document(ctx, path, t.MaxSize(), nil, accept)
	d.Failed = append(d.Failed, res.Failed...)
	return err
}

// ErrRoot is the error where a client was built with another trust document than the one of the same version that it
// remembers: one of the two is not the publisher's.
var ErrRoot = errors.New("built with another trust document than the one that is remembered")

// Refused reports whether err says that something answered, and that what it served is not what it should be.
func Refused(err error) bool {
	var served *fetch.Refusal
	if errors.As(err, &served) {
		return true
	}
	for _, e := range []error{
		verify.ErrMalformed, verify.ErrTooLarge, verify.ErrAlgorithm, verify.ErrSignature, verify.ErrThreshold, verify.ErrType,
		release.ErrMalformed, release.ErrApp, release.ErrChannel, release.ErrVersion, release.ErrID,
		release.ErrRollback, release.ErrEquivocation, release.ErrTrust, release.ErrExpired, release.ErrFuture,
		fetch.ErrTooLarge, fetch.ErrHash, ErrRoot,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// missing reports whether no source has the file. Some object stores answer 403 for a missing file to clients that
// may not list the bucket.
func missing(err error) bool {
	status := (*fetch.StatusError)(nil)
	forbidden := errors.As(err, &status) && status.Code == http.StatusForbidden
	return (errors.Is(err, fetch.ErrNotFound) || forbidden) && !Refused(err)
}
