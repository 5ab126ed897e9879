// Package store keeps the bytes of a repository wherever people keep such bytes: in a folder, in a bucket, on GitHub, on a
// machine that SFTP leads to.
//
// It knows names and bytes and nothing of signatures: what lies in a store is believed by nobody, and everything that is
// read from it is judged by its reader.
package store

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
)

// A Store is where a repository lies.
//
//	CHANNEL                  a channel document, for example stable
//	trust/N                  trust documents
//	releases/VERSION.manifest
//	files/SHA256[.zst]       what clients download, named by what it holds
//
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
	// through this interface, on whatever machine, as far as it can promise that: a folder can for one machine, and SFTP
	// only while nobody stands still between two steps. If Put fails in another way, the object may be the old or the new
	// one, and a later Get tells which.
	Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error

	// List returns the objects directly in a folder ("" is the top), sorted by name; none if there is no such folder.
	List(ctx context.Context, folder string) ([]Object, error)

	// Delete removes an object. It is no error if there is none.
	Delete(ctx context.Context, name string) error

	// String is how the store is called in messages, without a slash at its end and without a secret.
	String() string
}

// ByRelease is a store that keeps the files of each release apart, because they have to be found by the release's version.
type ByRelease interface {
	Store

	// Release is the store as it is for one release: what lies below files/ in it are that release's.
	Release(version string) Store

	// Finish makes the files of a release visible to clients, when all of them are there. It may be said again.
	Finish(ctx context.Context, version string) error
}

// A Version stands for the bytes that an object had when it was read.
type Version string

const (
	Nothing  Version = ""  // no object: Put creates
	Anything Version = "*" // for what is named by its content, which may be written twice
)

// ErrChanged is the answer to a Put that would have replaced something else than what was read.
var ErrChanged = errors.New("it was changed by someone else meanwhile")

// An Object is what a list knows of one.
type Object struct {
	Name string // without its folder
	Size int64
}

// Names returns what the objects are called.
func Names(objects []Object) []string {
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
	}
	return names
}

func sorted(objects []Object) []Object {
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return objects
}
