// Package beside opens what lies beside a program: the folder that it is in, and its state folder, DIR/.NAME.theseus.
//
//	p, err := beside.Open(dir, ".hello.theseus") // or Enter, to change something
//	defer p.Close()
//	f, err := p.Read("state")
//
// Both are handles, and whom they belong to is judged by these handles and never again by a name, because who may write
// in a folder may exchange what is in it at any moment. The rule is that nobody's files are believed, or written to, who
// could not replace the program itself:
//
//   - What leads to the folder belongs to root, to us, or to the owner of the folder; see durable.Open.
//   - The state folder belongs to root, to us, to the owner of the program, or to the owner of the folder. Where others may
//     make and remove names in the folder (a group's, say) it may be theirs too, for they could replace the program; but
//     not where the folder is sticky, for there they could not.
//   - Nobody else may write in the state folder but who may write in the folder around it.
//   - A file in the state folder belongs to root, to us, or to the owner of the state folder, the folder or the program.
//   - Root changes nothing in a folder of somebody else's.
package beside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/theseus-go/theseus/internal/durable"
)

// A Place is the folder of a program and its state folder.
type Place struct {
	Dir  *durable.Folder
	Home *durable.Folder // nil if there is none

	program  string // its name in Dir
	dir      durable.Info
	home     durable.Info
	exe      durable.Info
	noMyself bool // the program is missing
}

// Open opens the place whose state folder has the path home, to read there: without a state folder Home is nil.
func Open(home string) (*Place, error) {
	p, err := open(home)
	if err != nil {
		return nil, err
	}
	p.Home, err = p.Dir.Enter(filepath.Base(home))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = p.judge()
	}
	return p.or(err)
}

// Enter opens the place whose state folder has the path home, to change something there. It makes the state folder if it is
// missing, of mode 0755, and mends the mode of one that is our own.
func Enter(home string) (*Place, error) {
	p, err := open(home)
	if err != nil {
		return nil, err
	}
	err = p.mayChange(p.Dir.Path(), p.dir)
	if err == nil {
		p.Home, err = p.Dir.Mkdir(filepath.Base(home), 0o755)
	}
	if err == nil {
		err = p.mend()
	}
	if err == nil {
		err = p.judge()
	}
	if err == nil {
		err = p.mayChange(p.Home.Path(), p.home)
	}
	return p.or(err)
}

// Change opens the place as Enter does, and makes no state folder: without one, Home is nil.
func Change(home string) (*Place, error) {
	p, err := Open(home)
	if err != nil {
		return nil, err
	}
	err = p.mayChange(p.Dir.Path(), p.dir)
	if err == nil && p.Home != nil {
		err = p.mayChange(p.Home.Path(), p.home)
	}
	return p.or(err)
}

func open(home string) (*Place, error) {
	name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(home), ".theseus"), ".")
	p := &Place{program: name}
	var err error
	if p.Dir, err = durable.Open(filepath.Dir(home)); err != nil {
		return nil, err
	}
	if p.dir, err = p.Dir.Stat(); err != nil {
		return p.or(err)
	}
	if name == filepath.Base(home) { // no state folder of a program
		p.noMyself = true
		return p, nil
	}
	p.exe, err = p.Dir.Lstat(p.program)
	if errors.Is(err, fs.ErrNotExist) {
		p.noMyself, err = true, nil
	}
	return p.or(err)
}

func (p *Place) or(err error) (*Place, error) {
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close closes both handles.
func (p *Place) Close() error {
	if p.Home != nil {
		return errors.Join(p.Home.Close(), p.Dir.Close())
	}
	return p.Dir.Close()
}

// mend takes a state folder of our own back from everybody who was let in by a mode that we did not give it. It lets people
// look again only where nobody else can have moved another folder of ours to this name.
func (p *Place) mend() error {
	info, err := p.Home.Stat()
	if err != nil || info.UID != me() {
		return err
	}
	want := info.Mode.Perm() &^ 0o022
	if p.dir.UID == me() && p.dir.Mode&0o022 == 0 {
		want = 0o755
	}
	if info.Mode.Perm() == want {
		return nil
	}
	return p.Home.Chmod(want)
}

func (p *Place) judge() (err error) {
	if p.home, err = p.Home.Stat(); err != nil {
		return err
	}
	sticky := p.dir.Mode&fs.ModeSticky != 0
	open := p.dir.Mode & 0o022 // to whom it is open besides its owner
	if sticky {
		open = 0
	}
	path := p.Home.Path()
	if !p.owns(p.home.UID) && (sticky || p.home.UID != p.dir.UID) && open == 0 {
		return &durable.Untrusted{Path: path, UID: p.home.UID, Reason: ", who could not replace the program, so what is remembered in it is not believed; look at what it is, then have it removed"}
	}
	if p.home.Mode&0o020 != 0 && (open&0o020 == 0 || p.home.GID != p.dir.GID) && open&0o002 == 0 || p.home.Mode&0o002 != 0 && open&0o002 == 0 {
		return &durable.Untrusted{Path: path, UID: p.home.UID, Reason: fmt.Sprintf(" and has the mode %04o, so that others may write in it who could not replace the program; chmod 755 it", p.home.Mode.Perm())}
	}
	return nil
}

// owns reports whether a user is one of those who decide about the program anyway.
func (p *Place) owns(uid uint32) bool {
	return uid == 0 || uid == me() || !p.noMyself && uid == p.exe.UID
}

// mayChange refuses to work as root where somebody else may exchange everything at any moment.
func (p *Place) mayChange(path string, info durable.Info) error {
	if me() != 0 || info.UID == 0 {
		return nil
	}
	return &durable.Untrusted{Path: path, UID: info.UID, Owner: true, Reason: fmt.Sprintf(", and root changes nothing in a folder of somebody else's; run it as that user: sudo -u '#%d'", info.UID)}
}

// Believe refuses a file in the state folder that somebody has put there who could not replace the program.
func (p *Place) Believe(f *os.File) error {
	info, err := durable.Stat(f)
	if err != nil {
		return err
	}
	if p.owns(info.UID) || info.UID == p.home.UID || info.UID == p.dir.UID && p.dir.Mode&fs.ModeSticky == 0 {
		return nil
	}
	return &durable.Untrusted{Path: f.Name(), UID: info.UID, Reason: ", who owns neither the folder nor this process"}
}

// Ours refuses a file in the state folder that we shall write to, or give a mode or an owner: it must be our own, or of the
// owner of the state folder or the program, and have no other name, by which it might be somebody's file elsewhere.
func (p *Place) Ours(f *os.File) error {
	info, err := durable.Stat(f)
	if err != nil {
		return err
	}
	if info.UID != p.home.UID && !p.owns(info.UID) {
		return &durable.Untrusted{Path: f.Name(), UID: info.UID, Reason: ", who owns neither the folder nor this process"}
	}
	if info.Links > 1 {
		return fmt.Errorf("%s has %d names, and may be somebody's file elsewhere", f.Name(), info.Links)
	}
	return nil
}

// Private reports whether both folders are our own, so that what goes by a path in them goes where we mean.
func (p *Place) Private() bool { return p.dir.UID == me() && p.home.UID == me() }

// Read opens a file in the state folder, if it may be believed.
func (p *Place) Read(name string) (*os.File, error) {
	f, err := p.Home.Read(name)
	if err != nil {
		return nil, err
	}
	if err := p.Believe(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Marker opens a file beside the program, such as DIR/.NAME.managed, if it may be believed: as the state folder.
func (p *Place) Marker(name string) (*os.File, error) {
	f, err := p.Dir.Read(name)
	if err != nil {
		return nil, err
	}
	info, err := durable.Stat(f)
	sticky := p.dir.Mode&fs.ModeSticky != 0
	if err == nil && !p.owns(info.UID) && (sticky || info.UID != p.dir.UID && p.dir.Mode&0o022 == 0) {
		err = &durable.Untrusted{Path: f.Name(), UID: info.UID, Reason: ", who could not replace the program"}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Beside opens the folder of the program at path alone, for its markers.
func Beside(path string) (*Place, error) {
	dir, name := filepath.Split(path)
	return open(filepath.Join(dir, "."+name+".theseus"))
}
