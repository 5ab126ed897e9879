package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
)

// Aside is another store in which nothing is changed: what is written to it lives as long as the process, to find out what
// would happen. One goroutine at a time.
type Aside struct {
	Store
	written map[string][]byte // nil: deleted
}

// NewAside begins with what is in a store.
func NewAside(of Store) *Aside { return &Aside{of, map[string][]byte{}} }

func (a *Aside) Get(ctx context.Context, name string) (io.ReadCloser, Version, error) {
	b, ok := a.written[name]
	switch {
	case !ok:
		return a.Store.Get(ctx, name)
	case b == nil:
		return nil, Nothing, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), versionOf(b), nil
}

func (a *Aside) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	b, err := exactly(body, size)
	if err != nil {
		return err
	}
	if replaces != Anything {
		there := Nothing
		old, v, err := a.Get(ctx, name)
		switch {
		case err == nil:
			there = v
			old.Close()
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if there != replaces {
			return ErrChanged
		}
	}
	a.written[name] = append([]byte{}, b...)
	return nil
}

func (a *Aside) Delete(_ context.Context, name string) error {
	a.written[name] = nil
	return nil
}

func (a *Aside) List(ctx context.Context, folder string) ([]Object, error) {
	objects, err := a.Store.List(ctx, folder)
	if err != nil {
		return nil, err
	}
	objects = slices.DeleteFunc(objects, func(o Object) bool { _, changed := a.written[join(folder, o.Name)]; return changed })
	for name, b := range a.written {
		if b != nil && join(folder, path.Base(name)) == name {
			objects = append(objects, Object{path.Base(name), int64(len(b))})
		}
	}
	return sorted(objects), nil
}
