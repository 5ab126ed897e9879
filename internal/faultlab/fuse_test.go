//go:build linux

package faultlab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/theseus-go/theseus/internal/testenv"
)

// denied are weaknesses that each are one operation, failing with each of these errors. The first stands for it in pairs.
func denied(op string, errnos ...syscall.Errno) (all []Weakness) {
	for i, e := range errnos {
		all = append(all, Weakness{Name: fmt.Sprintf("no %s (%v)", op, e), Deny: map[string]syscall.Errno{op: e}, Locks: op == "lock", Alone: i > 0})
	}
	return all
}

func weaknesses() (all []Weakness) {
	const (
		perm, sys, notsup, inval = syscall.EPERM, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EINVAL
	)
	all = append(all, Weakness{Name: "none"})
	all = append(all, denied("link", perm, sys, notsup, inval, syscall.EMLINK, syscall.EXDEV)...)
	all = append(all, denied("over", syscall.EEXIST, syscall.EBUSY, syscall.EACCES)...)
	all = append(all, denied("rename", sys, syscall.EIO)...)
	all = append(all, denied("fsync", sys, notsup, inval)...)
	all = append(all, denied("fsyncdir", sys, notsup, inval, syscall.EBADF)...)
	all = append(all, denied("fallocate", sys, notsup, syscall.ENOSPC)...)
	all = append(all, denied("xattr", sys, notsup, perm)...)
	all = append(all, denied("lock", sys, notsup, syscall.ENOLCK)...)
	all = append(all, denied("chmod", perm, notsup, sys)...)
	all = append(all, denied("truncate", perm)...)
	all = append(all, denied("statfs", sys, syscall.EIO)...)
	all = append(all, denied("access", sys)...)
	all = append(all, denied("create", perm, syscall.EROFS, syscall.EDQUOT)...)
	all = append(all, denied("write", syscall.EDQUOT, syscall.EFBIG)...)
	all = append(all, denied("unlink", syscall.EIO)...)
	all = append(all, denied("readdir", syscall.EIO)...)
	all = append(all, denied("flush", syscall.EIO)...)
	all = append(all,
		Weakness{Name: "one mode for all files", Deny: map[string]syscall.Errno{"chmod": perm}, Attr: func(a *fuse.Attr) { a.Mode |= 0o755 }},
		Weakness{Name: "a mode is not kept", Ignore: []string{"chmod"}},
		Weakness{Name: "everybody may write", Deny: map[string]syscall.Errno{"chmod": perm}, Attr: func(a *fuse.Attr) { a.Mode |= 0o777 }},
		Weakness{Name: "numbers change at each look", Attr: func(a *fuse.Attr) { a.Ino = looks.Add(1) }},
		Weakness{Name: "one number for all files", Attr: func(a *fuse.Attr) { a.Ino = 7 }},
		Weakness{Name: "no numbers", Attr: func(a *fuse.Attr) { a.Ino = 0 }},
		Weakness{Name: "one link always", Attr: func(a *fuse.Attr) { a.Nlink = 1 }},
		Weakness{Name: "no links counted", Attr: func(a *fuse.Attr) { a.Nlink = 0 }},
		Weakness{Name: "times of two seconds", Attr: func(a *fuse.Attr) {
			a.Mtime, a.Ctime, a.Mtimensec, a.Ctimensec = a.Mtime&^1, a.Ctime&^1, 0, 0
		}},
		Weakness{Name: "no times", Attr: func(a *fuse.Attr) { a.Mtime, a.Ctime, a.Mtimensec, a.Ctimensec = 0, 0, 0, 0 }},
		Weakness{Name: "times that change", Attr: func(a *fuse.Attr) { a.Ctimensec = uint32(looks.Add(1) % 1e9) }},
		Weakness{Name: "direct I/O", Open: fuse.FOPEN_DIRECT_IO},
		Weakness{Name: "short writes", Most: 4096},
		Weakness{Name: "upper and lower case are one", Fold: true},
		Weakness{Name: "a running file is not removed", Busy: map[string]syscall.Errno{"unlink": syscall.EBUSY}},
		Weakness{Name: "a running file is not replaced", Busy: map[string]syscall.Errno{"over": syscall.ETXTBSY}},
		Weakness{Name: "a running file is not renamed", Busy: map[string]syscall.Errno{"rename": syscall.EACCES}},
		Weakness{Name: "statfs knows no numbers", Ignore: []string{"statfs"}},
	)
	return all
}

// A file system that lacks something, or does it otherwise, alone and in pairs.
func TestF36FUSE(t *testing.T) {
	all := weaknesses()
	var cells [][]Weakness
	for i, w := range all {
		if i%testenv.Pick(4, 1, 1) != 0 {
			continue
		}
		cells = append(cells, []Weakness{w})
		if testenv.Asked() == testenv.Full {
			for _, v := range all[i+1:] {
				if !w.Alone && !v.Alone {
					cells = append(cells, []Weakness{w, v})
				}
			}
		}
	}
	run(t, cells, func(l *lab, t *testing.T, weak []Weakness) (verdict, error) {
		backing, at := filepath.Join(t.TempDir(), "bin"), t.TempDir()
		truth := install(t, backing)
		mount(t, backing, at, weak)
		return l.judge(cell{truth: truth, late: late(weak), run: func(args ...string) (int, output) {
			defer awaitIdle(at)
			cmd := exec.Command(filepath.Join(at, "hello"), args...)
			var out, errout bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errout
			if err := cmd.Run(); cmd.ProcessState == nil {
				return -1, output{"", err.Error()}
			}
			return cmd.ProcessState.ExitCode(), output{out.String(), errout.String()}
		}})
	}, func(weak []Weakness) string {
		text := ""
		for _, w := range weak {
			text += " + " + w.Name
		}
		return text[3:]
	})
}

// late: without links a running file is moved aside, which is tried with no other.
func late(weak []Weakness) bool {
	links, moves := true, true
	for _, w := range weak {
		links = links && w.Deny["link"] == 0 && w.Name != "no links counted"
		moves = moves && w.Busy["rename"] == 0
	}
	return !links && !moves
}

// mount serves a folder with these weaknesses from a process of its own until the test ends. In this process a fork would wait
// for the kernel to open the program, and the kernel for this process.
func mount(t *testing.T, dir, at string, weak []Weakness) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	args := []string{"serve", dir, at}
	for _, w := range weak {
		args = append(args, w.Name)
	}
	server := exec.Command(self, args...)
	server.Stderr = os.Stderr
	end, err := server.StdinPipe()
	must(t, err)
	ready, err := server.StdoutPipe()
	must(t, err)
	must(t, server.Start())
	t.Cleanup(func() {
		_ = syscall.Unmount(at, syscall.MNT_DETACH)
		end.Close()
		_ = server.Wait()
	})
	said, err := bufio.NewReader(ready).ReadString('\n')
	if err != nil || said != "ready\n" {
		testenv.Skip(t, "FUSE", "run the tests as root where there is /dev/fuse: "+said)
	}
}

// awaitIdle waits until the file system has heard that the program, which has ended, runs no more: the kernel tells it later.
func awaitIdle(at string) {
	for {
		if _, err := os.Lstat(filepath.Join(at, Idle)); !errors.Is(err, syscall.EBUSY) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// serve is the process that mount starts.
func serve(dir, at string, names []string) {
	var weak []Weakness
	for _, w := range weaknesses() {
		if slices.Contains(names, w.Name) {
			weak = append(weak, w)
		}
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		_ = syscall.Mknod("/dev/fuse", syscall.S_IFCHR|0o666, 10<<8|229) // a container may know it and not have it
	}
	unmount, err := Mount(dir, at, weak...)
	if err != nil || len(weak) != len(names) {
		fmt.Println(err, names)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test, or its process, ends
	_ = unmount()
	os.Exit(0)
}

// run judges every cell and sums up.
func run[C any](t *testing.T, cells []C, judge func(*lab, *testing.T, C) (verdict, error), title func(C) string) {
	l := newLab(t)
	l.repo.URL()
	var mu sync.Mutex
	works, refused := 0, 0
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells {
			t.Run(title(c), func(t *testing.T) {
				t.Parallel()
				v, err := judge(l, t, c)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case v.works:
					works++
				default:
					refused++
					t.Logf("refused: %s", v.says)
				}
			})
		}
	})
	t.Logf("%d cells: %d work, %d are refused as --doctor and --dry-run foretold", len(cells), works, refused)
}
