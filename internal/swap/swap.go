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

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/durable"
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
// What leads to the program must belong to root, to us, or to the owner of its folder.
func Open(path string) (*Target, error) { return openTarget(path, true, durable.Open) }

// Running is Open for the program of this process, which runs already, whoever could have led it here: so nothing on the
// way keeps it from running on. What is done with the target is judged all the same.
func Running(path string) (*Target, error) {
	return openTarget(path, false, func(dir string) (*durable.Folder, error) {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		return durable.At(real)
	})
}

func openTarget(path string, judged bool, open func(dir string) (*durable.Folder, error)) (*Target, error) {
	dir, name, info, err := resolve(path, judged, open)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	t := &Target{Path: dir.Join(name), Dir: dir.Path(), Home: dir.Join("." + name + ".theseus"), movesAside: mustMoveAside}
	if info == nil {
		if home, err := dir.Lstat(filepath.Base(t.Home)); err != nil || !home.Mode.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: t.Path, Err: fs.ErrNotExist}
		}
	} else if !info.Mode.IsRegular() {
		return nil, notRegular(t.Path)
	}
	return t, nil
}

// resolve follows links, also to a file that is missing; then info is nil.
func resolve(path string, judged bool, open func(dir string) (*durable.Folder, error)) (dir *durable.Folder, name string, info *durable.Info, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, "", nil, err
	}
	type link struct {
		path string
		uid  uint32
	}
	var followed []link
	for range 40 { // as many links as Linux follows
		name = filepath.Base(path)
		if dir, err = open(filepath.Dir(path)); err != nil {
			return nil, "", nil, err
		}
		there, err := dir.Lstat(name)
		if err == nil && there.Mode&fs.ModeSymlink != 0 {
			to, how, err := dir.Readlink(name)
			dir.Close()
			if err != nil {
				return nil, "", nil, err
			}
			followed = append(followed, link{dir.Join(name), how.UID})
			if !filepath.IsAbs(to) {
				to = filepath.Join(dir.Path(), to)
			}
			path = to
			continue
		}
		in, serr := dir.Stat()
		if missing := errors.Is(err, fs.ErrNotExist); serr != nil || err != nil && !missing {
			dir.Close()
			return nil, "", nil, errors.Join(serr, err)
		} else if !missing {
			info = &there
		}
		for _, l := range followed {
			if judged && l.uid != 0 && !durable.Us(l.uid) && l.uid != in.UID {
				dir.Close()
				return nil, "", nil, &durable.Untrusted{Path: l.path, UID: l.uid, Reason: ", who is neither root nor the owner of " + dir.Path() + ", and could lead it elsewhere"}
			}
		}
		return dir, name, info, nil
	}
	return nil, "", nil, fmt.Errorf("%s: too many links", path)
}

// name is the program's in its folder.
func (t *Target) name() string { return filepath.Base(t.Path) }

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

// untouched needs more than one sign, because there are file systems on which each of them is the same for all files. One
// without any times has nothing to show.
func untouched(a, b fs.FileInfo) bool {
	return changed(a).Unix() > 0 && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changed(a).Equal(changed(b))
}

// open opens the file at the path, which must not have become a link or anything but a file since Open.
func (t *Target) open() (*os.File, error) {
	place, err := beside.Beside(t.Path)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	return openRegular(place.Dir, t.name())
}

// forget makes the next Identify read the file: it was just replaced.
func (t *Target) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = identity{}
}

func openRegular(in *durable.Folder, name string) (*os.File, error) {
	f, err := in.Read(name)
	if errors.Is(err, durable.ErrLink) || errors.Is(err, durable.ErrNotRegular) {
		err = notRegular(in.Join(name))
	}
	return f, err
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

// same reports with its error whether the name still leads to the open file, not through a link.
func same(f *os.File, in *durable.Folder, name string) error {
	if leads, err := in.Leads(f, name); err != nil || leads {
		return err
	}
	return &Error{Kind: ErrChanged, Path: in.Join(name), Reason: "another program replaced or removed it at this moment", Fix: "find out who else writes there, then update again"}
}

func keptName(d content.Digest) string { return keptPrefix + hex.EncodeToString(d[:]) }
