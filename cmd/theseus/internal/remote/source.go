package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Source is a repository for a verb that only reads: a folder, a URL or a bundle, through the code of clients, or one of
// the stores.
type Source struct {
	name   string
	client *fetch.Client // nil: a store alone
	store  store.Opened  // nil: a server or a bundle
	named  []string      // channels
}

// OpenSource opens what a person names. Of a server nobody can ask which channels it has: then it is stable, or what the
// caller knows.
func OpenSource(ctx context.Context, name string, allowHTTP bool, channels ...string) (*Source, error) {
	if name == "" {
		return nil, ui.Usage("no repository: give --repo with a folder, a URL or a bundle")
	}
	s := &Source{name: name}
	if store.IsStore(name) {
		opened, err := store.Read(ctx, name)
		if err != nil {
			return nil, err
		}
		return SourceOf(ctx, opened)
	}
	base, err := fetch.Base(name)
	if err != nil {
		return nil, err
	}
	s.client = &fetch.Client{Sources: []string{base}, AllowHTTP: allowHTTP, UserAgent: "theseus"}
	if err := s.client.Check(); err != nil {
		if errors.Is(err, fetch.ErrInsecure) {
			err = fmt.Errorf("%w (--allow-http, if you mean it)", err)
		}
		return nil, ui.Usage("%w", err)
	}
	switch names, err := s.client.List(); {
	case errors.Is(err, errors.ErrUnsupported):
		if s.named = channels; len(channels) == 0 {
			s.named = []string{"stable"}
		}
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("reading the repository: %w", err)
	default:
		s.named = channelsOf(names)
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		s.store = store.ReadFolder(name)
	}
	return s, nil
}

// SourceOf reads a store that is open already, and closes it in the end.
func SourceOf(ctx context.Context, opened store.Opened) (*Source, error) {
	objects, err := opened.List(ctx, "")
	if err != nil {
		opened.Close()
		return nil, err
	}
	return &Source{name: opened.String(), store: opened, named: channelsOf(store.Names(objects))}, nil
}

func channelsOf(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return release.ValidChannel(n) != nil })
}

// Close frees the store.
func (s *Source) Close() error {
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

func (s *Source) String() string { return s.name }

// Channels returns the names of the channels.
func (s *Source) Channels() []string { return s.named }

// Store is what lists more than channels; nil if nothing does.
func (s *Source) Store() store.Store {
	if s.store == nil {
		return nil
	}
	return s.store
}

// Document gets a document: see catalog.Source.
func (s *Source) Document(ctx context.Context, path string, limit int64, v *fetch.Validator, accept func([]byte) error) (fetch.Result, error) {
	if s.client != nil {
		return s.client.Document(ctx, path, limit, v, accept)
	}
	return catalog.Files(func(ctx context.Context, path string, limit int64) ([]byte, error) {
		body, _, err := s.store.Get(ctx, path)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return io.ReadAll(io.LimitReader(body, limit+1))
	}).Document(ctx, path, limit, v, accept)
}

// File brings dst to the bytes of a file of a release. An error that is a fetch.Refusal says that they are not the signed
// ones.
func (s *Source) File(ctx context.Context, version, path string, want verify.ID, dst *os.File) error {
	if s.client != nil {
		_, err := s.client.ReleaseFile(ctx, version, path, want, dst, nil)
		return err
	}
	body, _, err := shelf(s.store, version).Get(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", fetch.ErrNotFound, err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if err := dst.Truncate(0); err != nil {
		return err
	}
	if _, err := io.Copy(io.NewOffsetWriter(dst, 0), during(ctx, sealed(body, want))); err != nil {
		if errors.Is(err, errExchanged) {
			err = &fetch.Refusal{Err: fmt.Errorf("the file is %w", fetch.ErrHash)}
		}
		return err
	}
	_, err = dst.Seek(0, io.SeekStart)
	return err
}

// asStore is a source whose reader asks for lists: of a server it knows what it was told, and what it finds.
type asStore struct{ *Source }

func (s asStore) Get(ctx context.Context, name string) (io.ReadCloser, store.Version, error) {
	if s.store != nil {
		return s.store.Get(ctx, name)
	}
	var b []byte
	_, err := s.client.Document(ctx, name, verify.TypeManifest.MaxSize(), nil, func(got []byte) error {
		b = bytes.Clone(got)
		return nil
	})
	status := (*fetch.StatusError)(nil)
	if forbidden := errors.As(err, &status) && status.Code == http.StatusForbidden; forbidden || errors.Is(err, fetch.ErrNotFound) {
		err = &fs.PathError{Op: "get", Path: s.name + "/" + name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(b)), store.Nothing, err
}

func (s asStore) List(ctx context.Context, folder string) (objects []store.Object, err error) {
	if s.store != nil {
		return s.store.List(ctx, folder)
	}
	switch folder {
	case "":
		for _, n := range s.named {
			objects = append(objects, store.Object{Name: n})
		}
	case "trust": // clients find them in the same way
		for n := 1; n <= catalog.MaxRotations; n++ {
			body, _, err := s.Get(ctx, release.TrustPath(n))
			if errors.Is(err, fs.ErrNotExist) {
				return objects, nil
			}
			if err != nil {
				return nil, err
			}
			body.Close()
			objects = append(objects, store.Object{Name: strconv.Itoa(n)})
		}
		return nil, ui.Fail(ui.ExitRefused, "%s has a trust document for every number up to %d: it does not tell what is there from what is not; find out who can write there", s, catalog.MaxRotations)
	}
	return objects, nil // manifests are named by channels
}

func (s asStore) Put(context.Context, string, io.Reader, int64, store.Version) error {
	return errors.ErrUnsupported
}

func (s asStore) Delete(context.Context, string) error { return errors.ErrUnsupported }
