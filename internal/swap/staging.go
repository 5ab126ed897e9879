package swap

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/durable"
)

// Everything in Home but state and lock is named by content, and nothing is in use that is not named by the state or by an
// update at work. So litter can be told from what is needed by its name alone.
const (
	stagedPrefix = "staged-"   // staged-SHA256.RANDOM.tmp: what is or shall be the file of this hash
	keptPrefix   = "previous-" // previous-SHA256: a file that was at the path
)

// Create makes a private, empty file in Home for what shall have this digest: a download, or an executable. Nobody can
// foresee its name, and nothing that was planted there is followed or used.
func (t *Target) Create(want content.Digest) (*os.File, error) {
	in, err := t.change()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return t.create(in, want)
}

func (t *Target) create(in *beside.Place, want content.Digest) (*os.File, error) {
	f, err := in.Home.Create(stagedPrefix + hex.EncodeToString(want[:]))
	if err != nil {
		return nil, t.explain(t.Home, "making a file in it", err)
	}
	return f, nil
}

// Resume opens what an interrupted update left of the file that shall have this digest, or makes an empty one. Its bytes
// are worth nothing until they are hashed.
func (t *Target) Resume(want content.Digest) (*os.File, error) {
	in, err := t.change()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	names, err := in.Home.Names()
	if err != nil {
		return nil, t.explain(t.Home, "looking for what is there", err)
	}
	for _, name := range names {
		if prefix, ok := durable.IsUnique(name); ok && prefix == stagedPrefix+hex.EncodeToString(want[:]) {
			if f, err := reopen(in, name); err == nil {
				return f, nil
			}
		}
	}
	return t.create(in, want)
}

// reopen opens a staged file of an earlier process for writing, if it still is what such a file must be: a regular file of
// ours with no other name, not a link.
func reopen(in *beside.Place, name string) (*os.File, error) {
	f, err := in.Home.Change(name)
	if err != nil {
		return nil, err
	}
	if err := in.Ours(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Seal ends writing: it syncs the file, makes it executable for its owner, closes f and returns a descriptor of the same
// file that can only read. From then on it can be executed. Whoever else still holds the file open for writing, be it a
// child that another goroutine is just starting, would make the kernel refuse that ("text file busy"): Seal waits for them
// for a moment and refuses if they stay. f is closed in any case.
func (t *Target) Seal(f *os.File) (*os.File, error) {
	in, err := t.change()
	if err != nil {
		f.Close()
		return nil, err
	}
	defer in.Close()
	if err := in.Ours(f); err != nil {
		f.Close()
		return nil, t.explain(f.Name(), "sealing it", err)
	}
	sealed, err := seal(in.Home, f)
	if err != nil {
		return nil, t.explain(f.Name(), "sealing it", err)
	}
	return sealed, nil
}

// Staged returns what an earlier attempt staged whole, hashed by its handle and sealed; nil if there is no such file.
func (t *Target) Staged(want content.ID) (*os.File, error) {
	in, err := t.change()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	names, err := in.Home.Names()
	if err != nil {
		return nil, t.explain(t.Home, "looking for what is there", err)
	}
	for _, name := range names {
		if prefix, ok := durable.IsUnique(name); !ok || prefix != stagedPrefix+hex.EncodeToString(want.SHA256[:]) {
			continue
		}
		f, err := in.Home.Read(name)
		if err != nil {
			continue
		}
		id, err := hash(f)
		if err == nil {
			err = in.Ours(f)
		}
		if err != nil || id != want {
			f.Close()
			continue
		}
		sealed, err := seal(in.Home, f)
		if err != nil {
			return nil, t.explain(f.Name(), "sealing it", err)
		}
		return sealed, nil
	}
	return nil, nil
}

// Stage gives the file at the path, which must be want, a second name as a staged file, so that Restore does not lose it.
// Where there are no hard links that is an error, and nothing changes.
func (t *Target) Stage(want content.ID) error {
	in, err := t.change()
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := openRegular(in.Dir, t.name())
	if err != nil {
		return t.explain(t.Path, "opening it", err)
	}
	defer f.Close()
	id, err := t.identify(f)
	if err != nil {
		return err
	}
	name := durable.Unique(stagedPrefix + hex.EncodeToString(want.SHA256[:]))
	switch {
	case id != want:
		return &Error{Kind: ErrChanged, Path: t.Path, Reason: "it is not the file that was installed"}
	case t.movesAside:
		return &Error{Kind: ErrUnfit, Path: t.Path, Reason: "there are no hard links here"}
	}
	if err := in.Dir.Link(t.name(), in.Home, name); err != nil {
		return t.explain(t.Path, "keeping it for another attempt", err)
	}
	return same(f, in.Home, name)
}

// Roomy reports whether so much is free on the file system that a file which only waits may stay there.
func (t *Target) Roomy() bool {
	fs := statfs(t.Dir)
	return !fs.known || fs.free >= roomy
}

// Free returns how many bytes are free in the file system of the program, if the system tells.
func (t *Target) Free() (bytes int64, known bool) {
	fs := statfs(t.Dir)
	return int64(min(fs.free, 1<<62)), fs.known
}

// roomy is how many bytes must be free for a staged file to stay.
const roomy = 16 << 20

// Discard closes and removes a staged or sealed file. One that Replace has put at the path has that name no more.
func (t *Target) Discard(f *os.File) error {
	_ = f.Close()
	in, err := t.change()
	if err != nil {
		return err
	}
	defer in.Close()
	return in.Home.Remove(filepath.Base(f.Name()))
}

// Command runs a sealed file, by its descriptor where the system can, so that what runs is what was hashed. The child
// inherits that one read-only descriptor.
func Command(ctx context.Context, sealed *os.File, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, sealed.Name(), args...)
	runByDescriptor(cmd, sealed)
	return cmd
}

// Sweep removes from Home the staged and kept files whose digest is not listed, and unfinished writes. What does not bear a
// name of ours stays. List what State.Keep says and what is still on offer.
func (t *Target) Sweep(keep ...content.Digest) error {
	return t.sweep(keep, func(string) bool { return false })
}

// Tidy is Sweep for a time at which nothing was begun: it leaves staged files, which may be half of a download that is still
// on offer, and, if no kept file is listed, kept ones: whoever lost the state may need them.
func (t *Target) Tidy(keep ...content.Digest) error {
	return t.sweep(keep, func(name string) bool {
		prefix, write := durable.IsUnique(name)
		return write && strings.HasPrefix(prefix, stagedPrefix) || !write && len(keep) == 0
	})
}

func (t *Target) sweep(keep []content.Digest, leave func(name string) bool) error {
	spare := map[string]bool{}
	for _, d := range keep {
		spare[hex.EncodeToString(d[:])] = true
	}
	in, err := beside.Change(t.Home)
	if err != nil {
		return t.explain(t.Home, "looking for litter", err)
	}
	defer in.Close()
	if in.Home == nil {
		return nil
	}
	names, err := in.Home.Names()
	if err != nil {
		return t.explain(t.Home, "looking for litter", err)
	}
	for _, name := range names {
		if !litter(name, spare) || leave(name) {
			continue
		}
		err = errors.Join(err, t.remove(in.Home, name))
	}
	if err = errors.Join(err, t.sweepAside(in, spare), t.sweepScratch(in)); err != nil {
		return t.explain(t.Home, "removing litter", err)
	}
	return nil
}

// sweepScratch removes what a rehearsal that was killed left beside the program.
func (t *Target) sweepScratch(in *beside.Place) (err error) {
	names, _ := in.Dir.Names() // a folder that may not be listed keeps it
	for _, name := range names {
		plain := name
		if aside, ok := strings.CutSuffix(name, ".new"); ok {
			plain = strings.TrimPrefix(aside, ".")
		}
		if prefix, ok := durable.IsUnique(plain); ok && prefix == t.scratch() {
			err = errors.Join(err, t.remove(in.Dir, name))
		}
	}
	return err
}

// remove removes litter, and lets lie what is in use: where a file that runs must be moved aside it cannot be removed, nor
// can what another program, a virus scanner perhaps, has open. A later Sweep gets it.
func (t *Target) remove(in *durable.Folder, name string) error {
	err := in.Remove(name)
	if sharing(err) || t.movesAside && errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

func litter(name string, spare map[string]bool) bool {
	if prefix, ok := durable.IsUnique(name); ok {
		digest, staged := strings.CutPrefix(prefix, stagedPrefix)
		return !staged || !spare[digest]
	}
	digest, kept := strings.CutPrefix(name, keptPrefix)
	return kept && isDigest(digest) && !spare[digest]
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == len(content.Digest{}) && s == strings.ToLower(s)
}

// Kept identifies the kept file of this digest; ErrNoPrevious if it is missing or its bytes are not what its name says.
func (t *Target) Kept(d content.Digest) (content.ID, error) {
	in, err := beside.Open(t.Home)
	if err != nil {
		return content.ID{}, t.explain(t.Home, "opening it", err)
	}
	defer in.Close()
	f, _, id, err := t.openKept(in, d)
	if err != nil {
		return content.ID{}, err
	}
	return id, f.Close()
}

// openKept finds the kept file in its place, or where moveAside left it when it was killed while it put it back.
func (t *Target) openKept(in *beside.Place, d content.Digest) (f *os.File, from *durable.Folder, id content.ID, err error) {
	path := filepath.Join(t.Home, keptName(d))
	err = fs.ErrNotExist
	if in.Home != nil {
		f, id, err = openWhole(in, in.Home, keptName(d), d)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if f, id, aerr := openWhole(in, in.Dir, t.asideName(), d); aerr == nil {
			return f, in.Dir, id, nil
		}
		return nil, nil, id, noPrevious(t, path, "missing", err)
	}
	if err != nil {
		return nil, nil, id, noPrevious(t, path, "damaged", err)
	}
	return f, in.Home, id, nil
}

func noPrevious(t *Target, path, what string, err error) error {
	return &Error{Kind: ErrNoPrevious, Path: path, Reason: "the file to go back to is " + what, Err: err,
		Fix: "install a release by name, or copy a good executable to " + quote(t.Path)}
}

// openWhole opens a file whose bytes are what the digest says, and which nobody can change who could not change the
// program.
func openWhole(in *beside.Place, from *durable.Folder, name string, d content.Digest) (*os.File, content.ID, error) {
	f, err := openRegular(from, name)
	if err != nil {
		return nil, content.ID{}, err
	}
	var id content.ID
	if err = in.Believe(f); err == nil {
		id, err = hash(f)
	}
	if err == nil && id.SHA256 != d {
		err = errors.New("its SHA-256 is not the one in its name")
	}
	if err != nil {
		f.Close()
		return nil, content.ID{}, err
	}
	return f, id, nil
}
