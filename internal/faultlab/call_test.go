//go:build linux

package faultlab

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
)

// calls are those that an update makes on the folder of its program, and all errors that their manual pages know of, less
// those that say that the caller is wrong, EFAULT, ENAMETOOLONG and the like, those that never come always (EINTR), and the one that a lock gives that is held.
var calls = map[string][]syscall.Errno{
	"openat": {
		unix.EACCES, unix.EBUSY, unix.EDQUOT, unix.EINVAL, unix.EIO, unix.EISDIR, unix.ELOOP, unix.EMFILE, unix.ENFILE, unix.ENODEV, unix.ENOENT,
		unix.ENOMEM, unix.ENOSPC, unix.ENOTDIR, unix.ENXIO, unix.EOPNOTSUPP, unix.EPERM, unix.EROFS, unix.ETXTBSY,
	},
	"openat+create": {
		unix.EACCES, unix.EBUSY, unix.EDQUOT, unix.EEXIST, unix.EINVAL, unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENODEV, unix.ENOMEM, unix.ENOSPC,
		unix.ENXIO, unix.EOPNOTSUPP, unix.EPERM, unix.EROFS,
	},
	"read":       {unix.EIO, unix.EINVAL, unix.EISDIR, unix.EAGAIN, unix.EBADF},
	"pread64":    {unix.EIO, unix.EINVAL, unix.EISDIR, unix.EAGAIN, unix.ESPIPE},
	"write":      {unix.EIO, unix.EDQUOT, unix.EFBIG, unix.EINVAL, unix.ENOSPC, unix.EPERM, unix.EAGAIN},
	"pwrite64":   {unix.EIO, unix.EDQUOT, unix.EFBIG, unix.EINVAL, unix.ENOSPC, unix.EPERM, unix.EAGAIN, unix.ESPIPE},
	"fsync":      {unix.EIO, unix.EBADF, unix.EINVAL, unix.EROFS, unix.ENOSPC, unix.EDQUOT, unix.ENOSYS, unix.EOPNOTSUPP},
	"close":      {unix.EIO, unix.ENOSPC, unix.EDQUOT},
	"newfstatat": {unix.EACCES, unix.EIO, unix.ELOOP, unix.ENOENT, unix.ENOMEM, unix.ENOTDIR, unix.EOVERFLOW},
	"fstat":      {unix.EIO, unix.ENOMEM, unix.EOVERFLOW},
	"getdents64": {unix.EIO, unix.EINVAL, unix.ENOENT, unix.ENOTDIR},
	"fchmod":     {unix.EPERM, unix.EIO, unix.ENOMEM, unix.EROFS, unix.ENOSYS, unix.EOPNOTSUPP, unix.EINVAL},
	"fchown":     {unix.EPERM, unix.EIO, unix.EROFS, unix.ENOSYS, unix.EOPNOTSUPP},
	"linkat": {
		unix.EACCES, unix.EDQUOT, unix.EEXIST, unix.EIO, unix.ELOOP, unix.EMLINK, unix.ENOENT, unix.ENOMEM, unix.ENOSPC, unix.ENOTDIR, unix.EPERM,
		unix.EROFS, unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP,
	},
	"renameat": {
		unix.EACCES, unix.EBUSY, unix.EDQUOT, unix.EEXIST, unix.EINVAL, unix.EIO, unix.EISDIR, unix.ELOOP, unix.EMLINK, unix.ENOENT, unix.ENOMEM,
		unix.ENOSPC, unix.ENOTDIR, unix.EPERM, unix.EROFS, unix.EXDEV, unix.ENOSYS, unix.ETXTBSY,
	},
	"unlinkat":   {unix.EACCES, unix.EBUSY, unix.EIO, unix.EISDIR, unix.ENOENT, unix.ENOMEM, unix.ENOTDIR, unix.EPERM, unix.EROFS, unix.ETXTBSY},
	"mkdirat":    {unix.EACCES, unix.EDQUOT, unix.EIO, unix.EMLINK, unix.ENOMEM, unix.ENOSPC, unix.EPERM, unix.EROFS},
	"readlinkat": {unix.EACCES, unix.EINVAL, unix.EIO, unix.ENOENT, unix.ENOMEM},
	"flock":      {unix.EINVAL, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP, unix.EBADF, unix.EIO},
	"fcntl":      {unix.EACCES, unix.EAGAIN, unix.EINVAL, unix.ENOLCK, unix.EPERM, unix.EBADF, unix.ENOSYS},
	"ioctl":      {unix.ENOTTY, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EIO},
	"statfs":     {unix.EACCES, unix.EIO, unix.ENOMEM, unix.ENOSYS, unix.EOVERFLOW},
	"faccessat2": {unix.EACCES, unix.EINVAL, unix.EIO, unix.ENOMEM, unix.EPERM, unix.EROFS, unix.ETXTBSY, unix.ENOSYS, unix.ELOOP},
	"faccessat":  {unix.EACCES, unix.EIO, unix.EROFS, unix.ENOSYS},
	"flistxattr": {unix.ENOTSUP, unix.EIO, unix.E2BIG, unix.ENOSYS, unix.EPERM},
	"fgetxattr":  {unix.ENOTSUP, unix.EIO, unix.ENODATA, unix.E2BIG, unix.ENOSYS},
	"fsetxattr":  {unix.ENOTSUP, unix.EIO, unix.EDQUOT, unix.EEXIST, unix.ENOSPC, unix.EPERM, unix.ENOSYS},
	"fallocate":  {unix.EDQUOT, unix.EFBIG, unix.EINVAL, unix.EIO, unix.ENODEV, unix.ENOSPC, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.ETXTBSY},
	"ftruncate":  {unix.EFBIG, unix.EINVAL, unix.EIO, unix.EPERM, unix.EROFS, unix.ETXTBSY},
	"lseek":      {unix.EINVAL, unix.ENXIO, unix.EOVERFLOW, unix.ESPIPE, unix.EIO},
	"syncfs":     {unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EBADF},
}

type callFails struct {
	call  string
	errno syscall.Errno
}

// A call that always answers with an error, whichever it is: the three say the same, and the program is there.
func TestF36Calls(t *testing.T) {
	var cells []callFails
	for n, call := range slices.Sorted(maps.Keys(calls)) {
		if n%testenv.Pick(4, 1, 1) != 0 {
			continue
		}
		errnos := calls[call]
		for _, errno := range errnos[:testenv.Pick(1, 1, len(errnos))] {
			cells = append(cells, callFails{call, errno})
		}
	}
	run(t, cells, func(l *lab, t *testing.T, f callFails) (verdict, error) {
		dir := filepath.Join(t.TempDir(), "bin")
		path := install(t, dir)
		if f.call != "mkdirat" { // else the first to ask finds another situation than those after him
			must(t, os.Mkdir(filepath.Join(dir, ".hello.theseus"), 0o755))
		}
		return l.judge(cell{truth: path, forgets: f.call == "read", run: func(args ...string) (code int, o output) {
			testfault.Program{
				Always: map[string]syscall.Errno{f.call: f.errno},
				Command: func(testing.TB) *exec.Cmd {
					cmd := exec.Command(path, args...)
					cmd.Dir = dir
					return cmd
				},
				Check: func(_ testing.TB, r testfault.Run) { code, o = r.State.Exit, output{out: r.Out} },
			}.Once(t)
			return code, o
		}})
	}, func(f callFails) string { return fmt.Sprintf("%s %s", f.call, unix.ErrnoName(f.errno)) })
}
