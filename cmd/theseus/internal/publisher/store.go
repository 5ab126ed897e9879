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

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Store is where a repository lies: a folder, a bucket, a server.
//
//	CHANNEL                  a channel document, for example stable
//	trust/N                  trust documents
//	releases/VERSION.manifest
//	files/SHA256[.zst]       what clients download, named by what it holds
//
// What lies there is believed by nobody: a store keeps bytes, and everything that is read from it is judged by its reader.
// What is below files/ may have gigabytes and never changes under its name; everything else is a document of at most 4 MiB.
//
// Clients read while a publisher writes, and both may end at any moment. So an object is replaced as a whole, and it is
// durable when Put returns. The publisher writes what is named before what names it, and the channel last: a client that
// reads at any moment finds a whole older state or a whole newer one.
//
// The methods may be called by several goroutines at once.
type Store interface {
	// Get opens an object. The error is fs.ErrNotExist if there is none. The version is what Put needs to replace exactly
	// what was read here; of an object below files/ it means nothing.
	Get(ctx context.Context, name string) (io.ReadCloser, Version, error)

	// Put stores the size bytes of body under a name if what is there is still the version that is to be replaced; if it is
	// not, nothing changes and the error is ErrChanged. To compare and to replace are one step for all who use the store
	// through this interface, on whatever machine, as far as it can promise that: a folder can for one machine. If Put fails
	// in another way, the object may be the old or the new one, and a later Get tells which.
	Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error

	// List returns the names of the objects directly in a folder ("" is the top), sorted; none if there is no such folder.
	List(ctx context.Context, folder string) ([]string, error)

	// String is how the store is called in messages, without a slash at its end.
	String() string
}

// A Version stands for the bytes that an object had when it was read.
type Version string

const (
	Nothing  Version = ""  // no object: Put creates
	Anything Version = "*" // for what is named by its content, which may be written twice
)

// ErrChanged is the answer to a Put that would have replaced something else than what was read.
var ErrChanged = errors.New("it was changed by someone else meanwhile")

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

// channels returns the names of the channels that are there.
func (r repository) channels(ctx context.Context) ([]string, error) {
	names, err := r.List(ctx, "")
	return slices.DeleteFunc(names, func(n string) bool { return release.ValidChannel(n) != nil }), err
}

// versions returns the versions that have a manifest.
func (r repository) versions(ctx context.Context) ([]*semver.Version, error) {
	names, err := r.List(ctx, "releases")
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
	names, err := r.List(ctx, "trust")
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

func busy(dir string) error {
	return ui.Fail(ui.ExitBusy, "another theseus is writing to %s: wait until it is done, then run this again%s", dir, lockHolder(dir))
}

var _ fmt.Stringer = repository{}
