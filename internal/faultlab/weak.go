//go:build linux

// Package faultlab has file systems as they are in the field: without links, without locks, with numbers that change. Each
// is a folder of this machine, served by FUSE, that lacks something or does it otherwise. Its tests let a real program
// update itself there, and hold that it works, or that --doctor, --dry-run and the update say the same.
//
// It is a module of its own, because of FUSE:
//
//	cd internal/faultlab && GOWORK=off go test .
//	cd internal/faultlab && GOWORK=off THESEUS_TESTS=full go test -v -timeout 2h .
package faultlab

import (
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Weakness is what a file system lacks or does otherwise.
type Weakness struct {
	Name string

	// Deny are operations that always fail, by their names in the FUSE protocol: "link", "fsync", "chmod", "over" for a
	// rename that takes another file's place.
	Deny map[string]syscall.Errno
	// Ignore are operations that do nothing and succeed.
	Ignore []string
	// Attr changes what stat says of a file.
	Attr func(a *fuse.Attr)
	// Open is added to what an open answers: fuse.FOPEN_DIRECT_IO.
	Open uint32
	// Most is how many bytes one write takes; 0: all.
	Most int
	// Fold makes names of upper and lower case the same.
	Fold bool
	// Busy are operations that are refused on files that run: "unlink", "over", "rename".
	Busy map[string]syscall.Errno
	// Alone leaves it out of pairs: another one is much the same.
	Alone bool
	// Locks sends the locks of files to the file system; without it the kernel keeps them.
	Locks bool
}

// Mount serves the folder dir at the folder at, with these weaknesses. As root it needs no other program.
func Mount(dir, at string, weak ...Weakness) (unmount func() error, err error) {
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		return nil, err
	}
	w := &fileSystem{RawFileSystem: fs.NewNodeFS(root, &fs.Options{}), weak: weak, runs: map[uint64]uint64{}}
	options := &fuse.MountOptions{
		FsName: "faultlab", Name: "faultlab", DirectMountStrict: true, AllowOther: true, EnableLocks: w.locks(),
		DisableReadDirPlus: true, // each name is looked up
	}
	server, err := fuse.NewServer(w, at, options)
	if err != nil {
		return nil, err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, err
	}
	return server.Unmount, nil
}

// fileSystem stands before a loopback and answers in its stead what the weaknesses say.
type fileSystem struct {
	fuse.RawFileSystem
	weak []Weakness

	mu   sync.Mutex
	runs map[uint64]uint64 // open handles of files that run, and their nodes
}

// Idle is a name that nothing has, and of which the file system says EBUSY as long as a file in it runs.
const Idle = ".faultlab-idle"

func (w *fileSystem) locks() bool {
	for _, k := range w.weak {
		if k.Locks {
			return true
		}
	}
	return false
}

// denies says what an operation fails with, if it does.
func (w *fileSystem) denies(op string) (fuse.Status, bool) {
	for _, k := range w.weak {
		if errno, ok := k.Deny[op]; ok {
			return fuse.Status(errno), true
		}
	}
	return fuse.OK, false
}

func (w *fileSystem) ignores(op string) bool {
	for _, k := range w.weak {
		for _, name := range k.Ignore {
			if name == op {
				return true
			}
		}
	}
	return false
}

// either answers op by what the weaknesses say, or lets it be done.
func (w *fileSystem) either(op string, do func() fuse.Status) fuse.Status {
	if status, ok := w.denies(op); ok {
		return status
	}
	if w.ignores(op) {
		return fuse.OK
	}
	return do()
}

func (w *fileSystem) attr(a *fuse.Attr) {
	for _, k := range w.weak {
		if k.Attr != nil {
			k.Attr(a)
		}
	}
}

func (w *fileSystem) fold(name string) string {
	for _, k := range w.weak {
		if k.Fold {
			return strings.ToLower(name)
		}
	}
	return name
}

func (w *fileSystem) opened(out *fuse.OpenOut) {
	for _, k := range w.weak {
		out.OpenFlags |= k.Open
	}
}

func (w *fileSystem) running(is func(node uint64) bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, node := range w.runs {
		if is(node) {
			return true
		}
	}
	return false
}

// find returns the node of a name, 0 if nothing has it.
func (w *fileSystem) find(dir uint64, name string) uint64 {
	var out fuse.EntryOut
	header := fuse.InHeader{NodeId: dir}
	if status := w.RawFileSystem.Lookup(nil, &header, w.fold(name), &out); !status.Ok() {
		return 0
	}
	w.RawFileSystem.Forget(out.NodeId, 1)
	return out.NodeId
}

// busy says what op is refused with on a file that runs.
func (w *fileSystem) busy(op string, node uint64) (fuse.Status, bool) {
	for _, k := range w.weak {
		if errno, ok := k.Busy[op]; ok && w.running(func(n uint64) bool { return n == node }) {
			return fuse.Status(errno), true
		}
	}
	return fuse.OK, false
}

func (w *fileSystem) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if status, ok := w.denies("lookup"); ok {
		return status
	}
	if name == Idle && w.running(func(uint64) bool { return true }) {
		return fuse.Status(syscall.EBUSY)
	}
	status := w.RawFileSystem.Lookup(cancel, header, w.fold(name), out)
	w.attr(&out.Attr)
	return status
}

func (w *fileSystem) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	status := w.either("getattr", func() fuse.Status { return w.RawFileSystem.GetAttr(cancel, in, out) })
	w.attr(&out.Attr)
	return status
}

func (w *fileSystem) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	for _, part := range []struct {
		op  string
		bit uint32
	}{{"chmod", fuse.FATTR_MODE}, {"chown", fuse.FATTR_UID | fuse.FATTR_GID}, {"truncate", fuse.FATTR_SIZE}, {"utimens", fuse.FATTR_MTIME | fuse.FATTR_ATIME}} {
		if in.Valid&part.bit == 0 {
			continue
		}
		if status, ok := w.denies(part.op); ok {
			return status
		}
		if w.ignores(part.op) {
			in.Valid &^= part.bit
		}
	}
	status := w.RawFileSystem.SetAttr(cancel, in, out)
	w.attr(&out.Attr)
	return status
}

func (w *fileSystem) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	status := w.either("mkdir", func() fuse.Status { return w.RawFileSystem.Mkdir(cancel, in, w.fold(name), out) })
	w.attr(&out.Attr)
	return status
}

func (w *fileSystem) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	if status, is := w.busy("unlink", w.find(header.NodeId, name)); is {
		return status
	}
	return w.either("unlink", func() fuse.Status { return w.RawFileSystem.Unlink(cancel, header, w.fold(name)) })
}

func (w *fileSystem) Rename(cancel <-chan struct{}, in *fuse.RenameIn, old, name string) fuse.Status {
	if status, is := w.busy("rename", w.find(in.NodeId, old)); is {
		return status
	}
	if there := w.find(in.Newdir, name); there != 0 {
		if status, is := w.denies("over"); is {
			return status
		}
		if status, is := w.busy("over", there); is {
			return status
		}
	}
	return w.either("rename", func() fuse.Status { return w.RawFileSystem.Rename(cancel, in, w.fold(old), w.fold(name)) })
}

func (w *fileSystem) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	status := w.either("link", func() fuse.Status { return w.RawFileSystem.Link(cancel, in, w.fold(name), out) })
	w.attr(&out.Attr)
	return status
}

func (w *fileSystem) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	if status, ok := w.denies("readlink"); ok {
		return nil, status
	}
	return w.RawFileSystem.Readlink(cancel, header)
}

func (w *fileSystem) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	return w.either("access", func() fuse.Status { return w.RawFileSystem.Access(cancel, in) })
}

func (w *fileSystem) GetXAttr(cancel <-chan struct{}, header *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	if status, ok := w.denies("xattr"); ok {
		return 0, status
	}
	return w.RawFileSystem.GetXAttr(cancel, header, attr, dest)
}

func (w *fileSystem) ListXAttr(cancel <-chan struct{}, header *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	if status, ok := w.denies("xattr"); ok {
		return 0, status
	}
	return w.RawFileSystem.ListXAttr(cancel, header, dest)
}

func (w *fileSystem) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	return w.either("xattr", func() fuse.Status { return w.RawFileSystem.SetXAttr(cancel, in, attr, data) })
}

func (w *fileSystem) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if status, ok := w.denies("create"); ok {
		return status
	}
	status := w.RawFileSystem.Create(cancel, in, w.fold(name), out)
	w.attr(&out.Attr)
	w.opened(&out.OpenOut)
	return status
}

// Tmpfile is what no file system here has.
func (w *fileSystem) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

func (w *fileSystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if status, ok := w.denies("open"); ok {
		return status
	}
	status := w.RawFileSystem.Open(cancel, in, out)
	w.opened(out)
	if status.Ok() && in.Flags&fuse.FMODE_EXEC != 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.runs[out.Fh] = in.NodeId
	}
	return status
}

func (w *fileSystem) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	w.mu.Lock()
	delete(w.runs, in.Fh)
	w.mu.Unlock()
	w.RawFileSystem.Release(cancel, in)
}

func (w *fileSystem) SetLk(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	return w.either("lock", func() fuse.Status { return w.RawFileSystem.SetLk(cancel, in) })
}

func (w *fileSystem) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	return w.either("lock", func() fuse.Status { return w.RawFileSystem.SetLkw(cancel, in) })
}

func (w *fileSystem) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if status, ok := w.denies("write"); ok {
		return 0, status
	}
	for _, k := range w.weak {
		if k.Most > 0 && len(data) > k.Most {
			data, in.Size = data[:k.Most], uint32(k.Most)
		}
	}
	return w.RawFileSystem.Write(cancel, in, data)
}

// Writev makes go-fuse call Write.
func (w *fileSystem) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (w *fileSystem) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	return w.either("flush", func() fuse.Status { return w.RawFileSystem.Flush(cancel, in) })
}

func (w *fileSystem) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return w.either("fsync", func() fuse.Status { return w.RawFileSystem.Fsync(cancel, in) })
}

func (w *fileSystem) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return w.either("fsyncdir", func() fuse.Status { return w.RawFileSystem.FsyncDir(cancel, in) })
}

func (w *fileSystem) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return w.either("fallocate", func() fuse.Status { return w.RawFileSystem.Fallocate(cancel, in) })
}

func (w *fileSystem) StatFs(cancel <-chan struct{}, header *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return w.either("statfs", func() fuse.Status { return w.RawFileSystem.StatFs(cancel, header, out) })
}

func (w *fileSystem) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return w.either("readdir", func() fuse.Status { return w.RawFileSystem.ReadDir(cancel, in, out) })
}

func (w *fileSystem) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status {
	return fuse.ENOSYS // the kernel asks by GetAttr
}

// looks counts what stat has said, for file systems that give a file another number each time.
var looks atomic.Uint64
