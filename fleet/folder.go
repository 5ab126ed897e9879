package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/durable"
)

// Folder is a Store in a folder of this machine: one file for each document, replaced atomically. Several processes may
// have it open at once.
type Folder struct {
	dir  *durable.Folder
	mu   sync.Mutex // a file lock is the process's, not the goroutine's
	lock *os.File
}

const lockName = "lock"

// OpenFolder opens the Store at path, a folder that is there, and that nobody else can write to.
func OpenFolder(path string) (*Folder, error) {
	dir, err := durable.At(path)
	if err != nil {
		return nil, fmt.Errorf("opening the fleet's folder: %w", err)
	}
	lock, err := dir.Make(lockName, 0o600)
	if errors.Is(err, fs.ErrExist) {
		lock, err = dir.Change(lockName)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("opening the fleet's folder: %w", err)
	}
	return &Folder{dir: dir, lock: lock}, nil
}

// Close frees the folder. Nothing else may be called afterwards.
func (f *Folder) Close() error { return errors.Join(f.lock.Close(), f.dir.Close()) }

// Get implements Store.
func (f *Folder) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	file, err := f.dir.Read(fileName(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, MaxDocument+64))
	if err != nil {
		return nil, 0, err
	}
	// The first line is the revision.
	head, value, ok := bytes.Cut(b, []byte("\n"))
	revision, err := strconv.ParseUint(string(head), 10, 64)
	if !ok || err != nil || revision == 0 || len(value) > MaxDocument {
		return nil, 0, fmt.Errorf("%s is damaged: it begins with no revision, or is longer than %d bytes; restore it, or remove it to begin anew", f.dir.Join(fileName(key)), MaxDocument)
	}
	return value, revision, nil
}

// CompareAndSwap implements Store.
func (f *Folder) CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if len(value) > MaxDocument {
		return 0, fmt.Errorf("the document %s has %d bytes; at most %d are kept", key, len(value), MaxDocument)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// No event says that another process has let go of a file. It holds it for one write.
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		err := durable.Lock(f.lock)
		if err == nil {
			break
		}
		if !errors.Is(err, durable.ErrLocked) {
			return 0, fmt.Errorf("locking the fleet's folder: %w", err)
		}
		time.Sleep(time.Millisecond + rand.N(2*time.Millisecond))
	}
	defer durable.Unlock(f.lock)
	_, have, err := f.Get(ctx, key)
	if err != nil {
		return 0, err
	}
	if have != revision {
		return 0, ErrConflict
	}
	b := append(strconv.AppendUint(nil, revision+1, 10), '\n')
	if err := f.dir.WriteFile(fileName(key), append(b, value...), 0o600); err != nil {
		return 0, err
	}
	return revision + 1, nil
}

// fileName is a name for the key that no other key has, also where letter case does not count.
func fileName(key string) string {
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	if b.Len() > 128 {
		sum := sha256.Sum256([]byte(key))
		return "sha256-" + hex.EncodeToString(sum[:]) + ".doc"
	}
	return b.String() + ".doc"
}
