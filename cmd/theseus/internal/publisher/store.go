package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// What a publisher knows of where a repository lies.
type (
	Store   = store.Store
	Version = store.Version
)

const (
	Nothing  = store.Nothing
	Anything = store.Anything
)

// ErrChanged is the answer to a Put that would have replaced something else than what was read.
var ErrChanged = store.ErrChanged

// A repository is one application's repository in a store, with names for what lies where.
type repository struct{ Store }

// path is a name in the repository for people.
func (r repository) path(name string) string { return r.String() + "/" + name }

// read returns a document; fs.ErrNotExist if there is none.
func (r repository) read(ctx context.Context, name string, t verify.Type) ([]byte, Version, error) {
	body, v, err := r.Get(ctx, name)
	if err != nil {
		return nil, v, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, t.MaxSize()+1))
	if err == nil && int64(len(b)) > t.MaxSize() {
		err = ui.Fail(ui.ExitRefused, "%s is larger than such a document may be (%s): restore it from your backup", r.path(name), ui.Bytes(t.MaxSize()))
	}
	return b, v, err
}

// source is the repository as the catalog reads it.
func (r repository) source() catalog.Files {
	return func(ctx context.Context, path string, limit int64) ([]byte, error) {
		body, _, err := r.Get(ctx, path)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return io.ReadAll(io.LimitReader(body, limit+1))
	}
}

// write stores a document in the place of what was read.
func (r repository) write(ctx context.Context, name string, data []byte, replaces Version) error {
	err := r.Put(ctx, name, strings.NewReader(string(data)), int64(len(data)), replaces)
	if errors.Is(err, ErrChanged) {
		return ui.Fail(ui.ExitError, "%s was changed by someone else meanwhile: run the command again: %w", r.path(name), err)
	}
	return err
}

// names returns the names of the objects directly in a folder.
func (r repository) names(ctx context.Context, folder string) ([]string, error) {
	objects, err := r.List(ctx, folder)
	return store.Names(objects), err
}

// channels returns the names of the channels that are there.
func (r repository) channels(ctx context.Context) ([]string, error) {
	names, err := r.names(ctx, "")
	return slices.DeleteFunc(names, func(n string) bool { return release.ValidChannel(n) != nil }), err
}

// versions returns the versions that have a manifest.
func (r repository) versions(ctx context.Context) ([]*semver.Version, error) {
	names, err := r.names(ctx, "releases")
	var versions []*semver.Version
	for _, n := range names {
		if text, ok := strings.CutSuffix(n, ".manifest"); ok {
			if v, err := release.ParseVersion(text); err == nil {
				versions = append(versions, v)
			}
		}
	}
	return versions, err
}

// trusts returns the versions of the trust documents that are there, lowest first.
func (r repository) trusts(ctx context.Context) ([]int, error) {
	names, err := r.names(ctx, "trust")
	var versions []int
	for _, n := range names {
		if v, err := strconv.Atoi(n); err == nil && v > 0 && strconv.Itoa(v) == n {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	return versions, err
}

// claimedApp returns the app that the repository's channels name.
func (r repository) claimedApp(ctx context.Context) (string, error) {
	names, err := r.channels(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		file, _, err := r.read(ctx, name, verify.TypeChannel)
		if err != nil {
			return "", err
		}
		if c, err := Peek(file); err == nil {
			return c.App, nil
		}
	}
	return "", ui.Fail(ui.ExitError, "%s has no channel yet: publish a release into it first", r)
}

// sameApp refuses a repository in which some document names another app. What the documents claim is enough for that.
func (r repository) sameApp(ctx context.Context, app string) error {
	names, err := r.channels(ctx)
	if err != nil {
		return err
	}
	versions, err := r.versions(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		names = append(names, release.ManifestPath(v))
	}
	for _, name := range names {
		file, _, err := r.read(ctx, name, verify.TypeManifest)
		if err != nil {
			return err
		}
		claims, err := Peek(file)
		if err != nil {
			return ui.Fail(ui.ExitRefused, "%s: %w: move it away, or use another folder", r.path(name), err)
		}
		if claims.App != app {
			return ui.Fail(ui.ExitRefused, "%s belongs to app %q, not to %q: a repository holds one app, use another folder", r.path(name), ui.Clean(claims.App), app)
		}
	}
	return nil
}

// holds reports whether the repository has the file of this download, whole.
func (r repository) holds(ctx context.Context, d release.Download) (bool, error) {
	f, _, err := r.Get(ctx, d.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	id, err := identify(ctxReader{ctx, f}, d.Stored.Size)
	return id == d.Stored, err
}

// keep stores the file of a download, which from has from its beginning on.
func (r repository) keep(ctx context.Context, from io.ReadSeeker, d release.Download) error {
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return r.Put(ctx, d.Path(), ctxReader{ctx, from}, d.Stored.Size, Anything)
}

func noChannel(name string, there []string) error {
	if len(there) == 0 {
		return ui.Fail(ui.ExitError, "there is no channel yet: publish a release first")
	}
	return ui.Fail(ui.ExitError, "there is no channel %q: choose one of %s", name, strings.Join(there, ", "))
}

var _ fmt.Stringer = repository{}
