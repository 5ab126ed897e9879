package anchor

import (
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// A Terminal is the controlling terminal that a process was started on. SIGHUP says that it is gone, and may say
// something else at any other time.
type Terminal struct {
	file *os.File
	raw  syscall.RawConn

	mu   sync.Mutex
	gone time.Time
}

// FindTerminal returns the controlling terminal, or nil if there is none.
func FindTerminal() *Terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	raw, err := f.SyscallConn()
	if err != nil || f.SetReadDeadline(time.Time{}) != nil { // cannot be waited for
		f.Close()
		return nil
	}
	t := &Terminal{file: f, raw: raw}
	go raw.Read(t.look) // returns when it is gone; nothing is read
	return t
}

// look reports whether the terminal is gone.
func (t *Terminal) look(fd uintptr) bool {
	const hungUp = 0x8 | 0x10 // POLLERR, POLLHUP
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd)}
	var none syscall.Timespec
	syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&none)), 0, 0, 0)
	if p.revents&hungUp == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone.IsZero() {
		t.gone = time.Now()
	}
	return true
}

// Gone reports whether a SIGHUP that has come just now says that the terminal is gone. The kernel sends it a moment before
// or after it takes the terminal away, and a shell repeats it.
func (t *Terminal) Gone() bool {
	if t == nil {
		return false
	}
	for range 5 {
		gone := false
		t.raw.Control(func(fd uintptr) { gone = t.look(fd) })
		if gone {
			t.mu.Lock()
			defer t.mu.Unlock()
			return time.Since(t.gone) < 2*time.Second
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}
