//go:build unix

package restart

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A relay stands between the predecessor and tableflip. tableflip does not hand over before its descriptor 4, a pipe from the
// predecessor, has ended, which is when that process has (v1.2.3, parent.go and upgrader.go). With a relay, descriptor 4 is
// a pipe of this process, which ends it when it has proved itself: from then on nothing in tableflip needs the predecessor,
// and the next handover need not wait until that has drained.
type relay struct {
	gone chan struct{} // closed when the predecessor has ended
	to   *os.File
	once sync.Once
}

// newRelay has to be called before tableflip.New, in a successor.
func newRelay() (*relay, error) {
	from, err := unix.FcntlInt(4, unix.F_DUPFD_CLOEXEC, 5)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	r, w, err := os.Pipe()
	if err == nil {
		err = replace(4, int(r.Fd()))
		r.Close()
	}
	if err != nil {
		unix.Close(from)
		return nil, os.NewSyscallError("dup", err)
	}
	relay := &relay{gone: make(chan struct{}), to: w}
	go func() {
		f := os.NewFile(uintptr(from), "predecessor")
		io.Copy(w, f) // the names of the descriptors, then nothing until the end
		f.Close()
		close(relay.gone)
		relay.release()
	}()
	return relay, nil
}

// release lets tableflip believe that the predecessor has ended.
func (r *relay) release() {
	if r != nil {
		r.once.Do(func() { r.to.Close() })
	}
}
