package fleet

import (
	"context"
	"errors"
	"sync"
)

// A Store keeps small documents under names, for one or more coordinators. Implementations must be safe for concurrent use,
// and every call must end soon after its ctx.
type Store interface {
	// Get returns the newest document, which the caller does not change, and its revision; nil and 0 if there is none. It
	// may be one that a CompareAndSwap elsewhere has just replaced.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// CompareAndSwap replaces the document of this revision, or makes it if the revision is 0, and returns the new
	// revision, which is never 0 and none that the key has had. Where it is no longer of this revision, nothing is changed
	// and the error is ErrConflict. After any other error it may have been replaced or not. Once it has returned nil, no
	// power cut takes the document back.
	CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// ErrConflict is the error of a CompareAndSwap that came too late.
var ErrConflict = errors.New("the document was changed meanwhile")

// Keys are made of a-z, A-Z, 0-9, '-', '.', '_' and '/', and begin and end with a letter or digit. Documents have up to
// MaxDocument bytes.
const MaxDocument = 1 << 20

// Memory is a Store for tests and for a coordinator whose groups may begin anew when it ends. The zero value is empty.
type Memory struct {
	mu   sync.Mutex
	docs map[string]memoryDoc
}

type memoryDoc struct {
	value    []byte
	revision uint64
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.docs[key]
	return d.value, d.revision, nil
}

// CompareAndSwap implements Store.
func (m *Memory) CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[key].revision != revision {
		return 0, ErrConflict
	}
	if m.docs == nil {
		m.docs = map[string]memoryDoc{}
	}
	m.docs[key] = memoryDoc{append([]byte{}, value...), revision + 1}
	return revision + 1, nil
}
