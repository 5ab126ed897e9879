package durable

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// search opens a folder for the names in it, for which the right to pass is enough.
const search = unix.O_PATH

// unmapped reports whether uid stands for all users whom this process's user namespace does not know. What belongs to them
// on the way to a program was put there from outside, by who made the container.
func unmapped(uid uint32) bool { return uid == 65534 && inNamespace() }

var inNamespace = sync.OnceValue(func() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && !(len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295")
})

// names reports whether the kernel knows the open file by this name in the folder, however the two are numbered.
func (d *Folder) names(f *os.File, name string) bool {
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", d.fd()))
	if err != nil {
		return false
	}
	at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	return err == nil && at == strings.TrimSuffix(dir, "/")+"/"+name
}

// syncAll writes the whole file system on which f is.
func syncAll(f *os.File) error { return retry(func() error { return unix.Syncfs(int(f.Fd())) }) }
