// Package swap replaces a running executable so that there is a whole one at its path at every instant.
//
// An update is Prepare (what would keep a swap from working is found before anything is downloaded), Create or Resume (a
// private file to download into), Seal (nobody can write it any more, so it can be executed), Command (the probe), Replace.
// What Replace takes away is kept in HOME under the name of its content, and Restore puts it back.
//
// On Unix, Replace gives the old file a second name (a hard link: no bytes are copied), syncs it, renames the new file over
// the path and syncs the folder. Killed anywhere, the path names the whole old file or the whole new one. Where a running
// file cannot be replaced but must be moved aside, on Windows and on file systems without hard links, minio/selfupdate does
// that (Target.Aside), behind the same staging; between its two renames the path names nothing, and the journal of package state says what
// to put there.
//
// The caller holds the lock of package state for everything but Open and Identify.
package swap

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/content"
)

// Target is the executable that is replaced: resolved once, links followed. A link that leads to it is never touched, and
// one that is flipped later to lead elsewhere is not followed again.
type Target struct {
	Path string // real path, absolute
	Dir  string // Path's folder
	Home string // Dir/.NAME.theseus: state, lock, staged and kept files

	// Setuid says what becomes of the set-user-id and set-group-id bits of the old file.
	Setuid Choice
	// Attributes says what becomes of extended attributes of the old file (file capabilities, access lists, security
	// labels) that the new one cannot be given. Those that it can be given it always gets.
	Attributes Choice

	// Aside puts DIR/.NAME.new at path after it has moved what is there to save: aside.Commit. It is used where a running
	// file cannot be renamed over; such an update is refused without it.
	Aside func(path, save string) error

	mu    sync.Mutex
	known identity

	movesAside bool // the system refuses to rename over an executable that runs
}

// Choice decides what happens with something that must not happen silently.
type Choice int

const (
	Refuse Choice = iota // refuse the update, with the command that would repair it
	Keep                 // give it to the new file too; refuse if that is impossible
	Drop                 // go on without it
)

// Open resolves path (links followed, must be a regular file). Changes nothing, creates nothing. A path that names nothing
// is an error, unless its Home is there: then an interrupted swap may have left it so, and Restore can put a file there.
func Open(path string) (*Target, error) {
	real, info, err := resolve(path)
	if err != nil {
		return nil, err
	}
	dir, name := filepath.Split(real)
	t := &Target{Path: real, Dir: filepath.Clean(dir), Home: filepath.Join(dir, "."+name+".theseus"), movesAside: mustMoveAside}
	if info == nil {
		if home, err := os.Lstat(t.Home); err != nil || !home.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: real, Err: fs.ErrNotExist}
		}
	} else if !info.Mode().IsRegular() {
		return nil, notRegular(real)
	}
	return t, nil
}

// resolve follows links, also to a file that is missing; then info is nil.
func resolve(path string) (real string, info fs.FileInfo, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return "", nil, err
	}
	for range 40 { // as many links as Linux follows
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", nil, err
		}
		path = filepath.Join(dir, filepath.Base(path))
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil, nil
		}
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return path, info, err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", nil, err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", nil, fmt.Errorf("%s: too many links", path)
}

// identity is a hash with what shows that the file was not touched since.
type identity struct {
	info fs.FileInfo
	id   content.ID
}

// settled is how long a file must have been left alone for its times to prove that it is unchanged: the clock of a file
// system may tick as rarely as every 2 s. One that shows fractions of a second ticks with the kernel, every 10 ms at the
// least often.
var (
	settled     = 2 * time.Second // variables for tests
	settledFine = 100 * time.Millisecond
)

func isSettled(changed time.Time) bool {
	limit := settled
	if changed.Nanosecond() != 0 {
		limit = settledFine
	}
	return time.Since(changed) > limit
}

// Identify hashes the file at the path. A second call reads it again only if it may have changed (other inode, size, time
// of modification or of change).
func (t *Target) Identify() (content.ID, error) {
	f, err := t.open()
	if err != nil {
		return content.ID{}, err
	}
	defer f.Close()
	return t.identify(f)
}

func (t *Target) identify(f *os.File) (content.ID, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := f.Stat()
	if err != nil {
		return content.ID{}, err
	}
	if t.known.info != nil && untouched(t.known.info, before) {
		return t.known.id, nil
	}
	t.known = identity{}
	id, err := hash(f)
	if err != nil {
		return content.ID{}, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	if after, err := f.Stat(); err == nil && untouched(before, after) && isSettled(changed(after)) {
		t.known = identity{after, id}
	}
	return id, nil
}

func untouched(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changed(a).Equal(changed(b))
}

// open opens the file at the path, which must not have become a link or anything but a file since Open.
func (t *Target) open() (*os.File, error) { return openRegular(t.Path) }

func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow|nonBlock, 0)
	if err != nil {
		if isLink(err) {
			err = notRegular(path)
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// hash reads the whole file by its descriptor, wherever its offset stands.
func hash(f *os.File) (content.ID, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(f, 0, 1<<62), make([]byte, 256<<10))
	if err != nil {
		return content.ID{}, err
	}
	return content.ID{Size: n, SHA256: content.Digest(h.Sum(nil))}, nil
}

// same reports that name still leads to the open file, not through a link.
func same(f *os.File, name string) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(name)
	if err == nil && os.SameFile(mine, there) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &Error{Kind: ErrChanged, Path: name, Reason: "another program replaced or removed it at this moment", Fix: "find out who else writes there, then update again"}
}

func (t *Target) keptPath(d content.Digest) string {
	return filepath.Join(t.Home, keptPrefix+hex.EncodeToString(d[:]))
}
