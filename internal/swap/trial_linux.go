package swap

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// inPlace runs do on a thread that sees the file at path covered by the sealed one, and that ends with this call.
func inPlace(sealed *os.File, path string, do func()) (done bool) {
	if !mayMount() {
		return false
	}
	onThread(func() {
		if done = cover(sealed, path) == nil; done {
			do()
		}
	})
	return done
}

// onThread runs do on a thread that is never used for anything else. It is not the first one of the process, which does not
// end with its goroutine and is what /proc/PID shows to everybody.
func onThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		onThread(do)
		runtime.UnlockOSThread()
	}()
	<-done
}

// cover lets path lead to the sealed file, for this thread and what it starts. Handles that were opened before lead out of
// the new namespace, so the file is opened anew there, and compared.
func cover(sealed *os.File, path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	// What others unmount meanwhile goes away here too, and nothing that is done here is seen there.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	file, err := unix.Open(sealed.Name(), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	at, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	var mine, there unix.Stat_t
	if err := unix.Fstat(int(sealed.Fd()), &mine); err != nil {
		return err
	}
	if err := unix.Fstat(file, &there); err != nil {
		return err
	}
	if mine.Dev != there.Dev || mine.Ino != there.Ino {
		return unix.ESTALE
	}
	self := func(fd int) string { return fmt.Sprintf("/proc/thread-self/fd/%d", fd) }
	return unix.Mount(self(file), self(at), "", unix.MS_BIND, "")
}

// mayMount reports whether this process may make mounts. It is not tried out where a filter watches over system calls: some
// end the process that makes one which they do not expect (systemd's SystemCallFilter=).
func mayMount() bool {
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return false
	}
	capable, free := false, false
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); name {
		case "CapEff":
			caps, err := strconv.ParseUint(value, 16, 64)
			capable = err == nil && caps&(1<<unix.CAP_SYS_ADMIN) != 0
		case "Seccomp":
			free = value == "0"
		}
	}
	return capable && free
}
