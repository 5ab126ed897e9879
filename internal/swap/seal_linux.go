package swap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/durable"
)

// patience bounds the wait for a child of another goroutine to reach its exec, which closes what it inherited.
const patience = 2 * time.Second

func seal(home *durable.Folder, f *os.File) (*os.File, error) {
	defer f.Close()
	if err := makeExecutable(home, f); err != nil {
		return nil, err
	}
	// By the descriptor, so that no name is trusted; by the name where /proc is not mounted. Both must be the same file.
	name := filepath.Base(f.Name())
	var sealed *os.File
	fd, err := unix.Open(descriptorPath(f), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		sealed = os.NewFile(uintptr(fd), f.Name())
	} else if sealed, err = home.Read(name); err != nil {
		return nil, err
	}
	if err = errors.Join(same(sealed, home, name), same(f, home, name), f.Close()); err == nil {
		err = noWriter(sealed)
	}
	if err != nil {
		sealed.Close()
		return nil, err
	}
	return sealed, nil
}

func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// noWriter waits until nobody has the file open for writing. The kernel tells by whether it grants a lease for reading; it
// has no event for it. Where there are no leases, the kernel says the same when the file is executed.
func noWriter(f *os.File) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		switch {
		case err == nil:
			_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
			return err
		case err != unix.EAGAIN:
			return nil
		case time.Now().After(deadline):
			return &Error{Kind: ErrChanged, Path: f.Name(), Reason: "another process keeps it open for writing", Err: err,
				Fix: "find out which, then update again: fuser -v " + quote(f.Name())}
		}
	}
}

func runByDescriptor(cmd *exec.Cmd, f *os.File) {
	if _, err := os.Stat(descriptorPath(f)); err != nil {
		return
	}
	cmd.ExtraFiles = []*os.File{f} // becomes descriptor 3 of the child
	cmd.Path, cmd.Err = "/proc/self/fd/3", nil
}
