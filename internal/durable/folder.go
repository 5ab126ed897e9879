package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Folder is a handle on a folder. What is done through it is done in that folder, wherever its name leads to meanwhile,
// and to what the names in it name, never to what a link among them leads to. Names are of one element. On Windows, where
// whoever may exchange a folder may do all the rest too, it is a path.
//
// A Folder may be used by several goroutines at once.
type Folder struct {
	path string
	handle
}

// Path is where the folder was found, for messages and for os.File names.
func (d *Folder) Path() string { return d.path }

// Join is the path of a name in the folder, for messages.
func (d *Folder) Join(name string) string { return filepath.Join(d.path, name) }

// At opens the folder at path, whoever it and the folders above it belong to: the publisher's own. See Open.
func At(path string) (*Folder, error) { return at(path) }

// Open opens the folder at path, an absolute one, for who must not trust everybody: each folder and each link on the way
// has to belong to root, to this process's user, or to the owner of the folder itself, who can do with it what he likes. A
// link of anybody else's would lead us where he wants. The path that the Folder has then is the real one.
//
//	openat("/", O_PATH|O_DIRECTORY), and for each element of the path:
//	openat(ELEMENT, O_PATH|O_DIRECTORY|O_NOFOLLOW) fstat
//	newfstatat(ELEMENT) readlinkat         only if it is a link
func Open(path string) (*Folder, error) { return walk(path) }

// Untrusted says that something belongs to somebody who must not decide where we write, or what we read. It is
// fs.ErrPermission.
type Untrusted struct {
	Path   string
	UID    uint32
	Reason string // goes on after "belongs to user UID"
	Owner  bool   // the user may do himself what root is refused
}

func (e *Untrusted) Error() string {
	return fmt.Sprintf("%s belongs to user %d%s", e.Path, e.UID, e.Reason)
}

func (e *Untrusted) Unwrap() error { return fs.ErrPermission }

// Info is what a folder, a file or a link is. On Windows the numbers of users and groups are 0.
type Info struct {
	Mode     fs.FileMode
	Size     int64
	Modified time.Time
	UID, GID uint32
	Links    uint64
	file
}

// Same reports whether both have the numbers of one file. There are file systems on which that is wrong: see Leads.
func (i Info) Same(j Info) bool { return i.same(j.file) }

// alike reports whether both could be of one file, looked at in the same moment.
func (i Info) alike(j Info) bool {
	return i.Mode == j.Mode && i.Size == j.Size && i.Modified.Equal(j.Modified) && i.UID == j.UID && i.GID == j.GID
}

// Leads reports whether the name leads to the open file, and not through a link.
//
// The numbers that a system gives its files, device and inode, are not believed alone. Some file systems give every name
// of a file another number, or every look: an overlay whose layers lie on two file systems, network and FUSE file systems
// that make their numbers of the name. So where the numbers differ the kernel is asked by what name it knows the open
// file, and if that is another one the bytes are compared: a file of the same owner, mode, time and content is as good.
// And where they are alike, the rest must be too, for there are file systems that give all files one number.
func (d *Folder) Leads(f *os.File, name string) (bool, error) {
	mine, err := Stat(f)
	if err != nil {
		return false, err
	}
	there, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || mine.Mode.Type() != there.Mode.Type() {
		return false, err
	}
	if mine.Mode.IsDir() {
		return mine.Same(there) || d.names(f, name), nil // what is in it may change at any moment
	}
	if !mine.alike(there) {
		return false, nil
	}
	if mine.Same(there) || d.names(f, name) {
		return true, nil
	}
	other, err := d.Read(name)
	if err != nil {
		return false, err
	}
	defer other.Close()
	return equal(f, other)
}

// Holds reports whether the name still leads to the open file itself: not to a file that is as good, as with Leads, for who
// needs the very one that others find there, a lock.
func (d *Folder) Holds(f *os.File, name string) (bool, error) {
	mine, err := Stat(f)
	if err != nil {
		return false, err
	}
	there, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && mine.Mode.Type() == there.Mode.Type() && (mine.Same(there) || d.names(f, name)), err
}

// HoldsFolder is Holds for an open folder.
func (d *Folder) HoldsFolder(sub *Folder, name string) (bool, error) {
	mine, err := sub.Stat()
	if err != nil {
		return false, err
	}
	there, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && there.Mode.IsDir() && (mine.Same(there) || d.namesFolder(sub, name)), err
}

// equal compares the bytes of two files.
func equal(f, g *os.File) (bool, error) {
	const most = 1<<63 - 1
	a, b := io.NewSectionReader(f, 0, most), io.NewSectionReader(g, 0, most)
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, p)
		m, oerr := io.ReadFull(b, q)
		ended, otherEnded := atEnd(err), atEnd(oerr)
		switch {
		case err != nil && !ended:
			return false, err
		case oerr != nil && !otherEnded:
			return false, oerr
		case !bytes.Equal(p[:n], q[:m]):
			return false, nil
		case ended:
			return otherEnded, nil
		}
	}
}

func atEnd(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

// SetMode gives f, which was just made in the folder, the mode perm. There are file systems on which nobody can give a file
// a mode, because all have the one that the mount says, FAT for one. There it is enough that the owner may do what perm
// says, and that nobody may write to the file who could not do as much to the folder.
func (d *Folder) SetMode(f *os.File, perm fs.FileMode) error {
	err := f.Chmod(perm)
	if err == nil || !unsupported(err) {
		return err
	}
	have, serr := Stat(f)
	in, ierr := d.Stat()
	if serr == nil && ierr == nil && perm&^have.Mode&0o700 == 0 && have.Mode&^in.Mode&^perm&0o022 == 0 {
		return nil
	}
	return err
}

// Flush makes the bytes of f, its mode and its owner durable.
func Flush(f *os.File) error { return flush(f, f.Sync()) }

// flush turns an error of fsync that only says that there is no fsync for such a file or folder into what there is.
func flush(f *os.File, err error) error {
	if err == nil || !unsupported(err) {
		return err
	}
	return syncAll(f)
}

// Stat describes the open file.
func Stat(f *os.File) (Info, error) { return stat(f) }

// ErrLink: a symbolic link is where a file or folder should be.
var ErrLink = errors.New("it is a symbolic link")

// Read opens a regular file for reading: not through a link, and not a pipe, on which an open would wait for ever.
func (d *Folder) Read(name string) (*os.File, error) { return d.regular(name, os.O_RDONLY) }

// Change opens a regular file for reading and writing, as Read does.
func (d *Folder) Change(name string) (*os.File, error) { return d.regular(name, os.O_RDWR) }

// Look opens a file or folder for what can be asked of it: not through a link.
func (d *Folder) Look(name string) (*os.File, error) { return d.open(name, os.O_RDONLY|nonBlock, 0) }

// ErrNotRegular: something that is no file has the name of one.
var ErrNotRegular = errors.New("it is not a regular file")

func (d *Folder) regular(name string, flag int) (*os.File, error) {
	f, err := d.open(name, flag|nonBlock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: d.Join(name), Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Make makes a file that did not exist, of mode perm whatever the umask says. As root it gets the owner of the folder.
//
//	openat(NAME, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, PERM)
//	fchmod
//	fstat, fchown                   only as root, and if they differ
func (d *Folder) Make(name string, perm fs.FileMode) (*os.File, error) {
	f, err := d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.SetMode(f, perm), d.adopt(f)); err != nil {
		f.Close()
		d.remove(name)
		return nil, err
	}
	return f, nil
}

// Create makes a file that did not exist, under a name that begins with prefix and that nobody can foresee: what was
// planted there, a symbolic link or an old file, is neither followed nor used. It is open for reading and writing, and
// nobody else may do either. Nothing is synced.
//
//	openat(PREFIX.RANDOM.tmp, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)
//	fstat, fchown                   only as root, and if they differ
func (d *Folder) Create(prefix string) (*os.File, error) {
	name := Unique(prefix)
	f, err := d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := d.adopt(f); err != nil {
		f.Close()
		d.remove(name)
		return nil, err
	}
	return f, nil
}

// WriteFile makes data the content of the file, of mode perm whatever the umask says. Whoever reads it meanwhile gets the
// old bytes or the new ones.
//
//	as Create
//	write...
//	fchmod(PERM)
//	fsync                           the bytes, before the name that shows them
//	close                           before the rename: network file systems report lost writes here, Windows renames no open file
//	renameat(NAME.RANDOM.tmp, NAME)
//	openat(., O_DIRECTORY) fsync close
func (d *Folder) WriteFile(name string, data []byte, perm fs.FileMode) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	temp := filepath.Base(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = d.SetMode(f, perm)
	}
	if err == nil {
		err = Flush(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.rename(temp, d, name)
	}
	if err != nil {
		d.remove(temp)
		return err
	}
	return d.Sync()
}

// Rename gives the file the name new in the folder to, taking the place of what was there. The bytes must be synced
// already.
//
//	renameat(OLD, NEW)
//	openat(TO, O_DIRECTORY) fsync close
//	openat(., O_DIRECTORY) fsync close      only if it is another folder
//
// The new name is synced first: a power cut between the two leaves both names rather than none.
func (d *Folder) Rename(old string, to *Folder, new string) error {
	if err := d.rename(old, to, new); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if to.path == d.path {
		return nil
	}
	return d.Sync()
}

// Link makes new, in the folder to, a second name of the file, taking the place of what new named before, without an
// instant in which new names nothing. It writes no data and takes no disk block but, rarely, one for a grown folder.
//
//	linkat(OLD, TO/NEW.RANDOM.tmp)
//	renameat(TO/NEW.RANDOM.tmp, TO/NEW)
//	unlinkat(TO/NEW.RANDOM.tmp)     ENOENT, unless NEW was this file already: then rename does nothing
//	openat(TO, O_DIRECTORY) fsync close
func (d *Folder) Link(old string, to *Folder, new string) error {
	temp := Unique(new)
	if err := d.link(old, to, temp); err != nil {
		return err
	}
	err := to.rename(temp, to, new)
	if rerr := to.remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && err == nil {
		err = rerr
	}
	if err != nil {
		return err
	}
	return to.Sync()
}

// CanLink reports with its error whether the file could be given a second name in the folder to.
func (d *Folder) CanLink(old string, to *Folder, prefix string) error {
	temp := Unique(prefix)
	err := d.link(old, to, temp)
	to.remove(temp)
	return err
}

// Second makes second, which nothing in the folder to has as its name yet, another name of the file.
func (d *Folder) Second(name string, to *Folder, second string) error {
	return d.link(name, to, second)
}

// Move is Rename without its promise that a power cut does not take the change back.
func (d *Folder) Move(old string, to *Folder, new string) error { return d.rename(old, to, new) }

// Remove removes a file. What is gone already is no error.
func (d *Folder) Remove(name string) error {
	if err := d.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Mkdir makes a folder, of mode perm whatever the umask says, or opens the one that is there, as it is. Processes may race
// for it. Its owner and group are those that the system gives it.
//
//	mkdirat                         EEXIST is fine
//	openat(NAME, O_PATH|O_DIRECTORY|O_NOFOLLOW)
//
// and only if it was made here:
//
//	openat(., O_DIRECTORY) fchmod fsync close
//	openat(., O_DIRECTORY) fsync close      of the folder that it is in
func (d *Folder) Mkdir(name string, perm fs.FileMode) (*Folder, error) {
	made := d.mkdir(name, perm)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return nil, made
	}
	in, err := d.Enter(name)
	if err != nil || made != nil {
		return in, err
	}
	if err := errors.Join(in.Chmod(perm), d.Sync()); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// Enter opens a folder in the folder. A link is an error.
func (d *Folder) Enter(name string) (*Folder, error) { return d.enter(name) }

func notFolder(path string) error {
	return fmt.Errorf("%s is not a folder; look at what it is, then remove it", path)
}
