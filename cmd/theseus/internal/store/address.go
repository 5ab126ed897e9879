package store

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// An Opened store is to be closed in the end.
type Opened interface {
	Store
	io.Closer
}

// kinds are the stores of other machines, by how their addresses begin.
var kinds = []struct {
	prefix string
	open   func(ctx context.Context, address string) (Opened, error)
}{
	{"s3://", openS3},
	{"sftp://", openSFTP},
	{"github:", openGitHub},
}

// Addresses says in words what a store can be, for usage errors and help.
const Addresses = "a folder, s3://BUCKET/FOLDER, github:OWNER/REPO or sftp://USER@HOST/FOLDER"

// IsRemote reports whether an address names a store of another machine: everything but the path of a folder.
func IsRemote(address string) bool { return IsStore(address) || strings.Contains(address, "://") }

// IsStore reports whether an address names one of the stores of this package, other than a folder.
func IsStore(address string) bool {
	return slices.ContainsFunc(kinds, func(k struct {
		prefix string
		open   func(context.Context, string) (Opened, error)
	}) bool {
		return strings.HasPrefix(address, k.prefix)
	})
}

// Open opens the store at an address, for writing too. A folder is locked until it is closed.
func Open(ctx context.Context, address string) (Opened, error) {
	for _, k := range kinds {
		if strings.HasPrefix(address, k.prefix) {
			return k.open(ctx, address)
		}
	}
	if strings.Contains(address, "://") {
		return nil, ui.Usage("%s: nothing can be written there: want %s", Redacted(address), Addresses)
	}
	return OpenFolder(address)
}

// Read opens the store at an address for a verb that only reads.
func Read(ctx context.Context, address string) (Opened, error) {
	if IsRemote(address) {
		return Open(ctx, address)
	}
	return ReadFolder(address), nil
}

// Redacted is an address without what may be a secret in it, for messages.
func Redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		before, _, _ := strings.Cut(address, "?")
		return ui.Clean(before)
	}
	return u.Redacted()
}

// parse reads an address that is a URL. Its query may have these options and no others.
func parse(address, example string, options ...string) (*url.URL, url.Values, error) {
	wrong := func(format string, args ...any) error {
		return ui.Usage("%s: "+format+": want %s", append(append([]any{Redacted(address)}, args...), example)...)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, wrong("this is not an address")
	}
	if _, secret := u.User.Password(); secret {
		return nil, nil, wrong("a password in an address ends up in the shell's history and in lists of processes: take it out")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return nil, nil, wrong("its options cannot be read")
	}
	for name := range q {
		if !slices.Contains(options, name) {
			return nil, nil, wrong("there is no option %q", ui.Clean(name))
		}
	}
	u.Path = strings.Trim(u.Path, "/")
	if u.Path != "" && !clean(u.Path) {
		return nil, nil, wrong("its folder is no plain path")
	}
	return u, q, nil
}

// clean reports whether a path leads down and nowhere else.
func clean(path string) bool {
	return !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool {
		return part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
	})
}

// join is a name below a folder; the folder may be empty.
func join(folder, name string) string {
	if folder == "" {
		return name
	}
	if name == "" {
		return folder
	}
	return folder + "/" + name
}

// isFile reports whether a name is of something that never changes.
func isFile(name string) bool { return strings.HasPrefix(name, "files/") }

// What a server is to say of an object. A document is asked for again by every client, and by a cache between after a
// minute: "no-cache" would send every poll of every client to the server.
const (
	documentType  = "text/plain; charset=utf-8"
	fileType      = "application/octet-stream"
	documentCache = "public, max-age=0, s-maxage=60"
	fileCache     = "public, max-age=31536000, immutable"
)

// headers are Content-Type and Cache-Control for an object.
func headers(name string) (contentType, cacheControl string) {
	if isFile(name) {
		return fileType, fileCache
	}
	return documentType, documentCache
}

// exactly reads size bytes; more or fewer are an error.
func exactly(body io.Reader, size int64) ([]byte, error) {
	if size > maxDocument {
		return nil, fmt.Errorf("a document of %s is larger than any may be", ui.Bytes(size))
	}
	b, err := io.ReadAll(io.LimitReader(body, size+1))
	if err == nil && int64(len(b)) != size {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// maxDocument is more than any document of a repository has.
const maxDocument = 4 << 20
