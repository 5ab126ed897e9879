package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
)

// overlay puts the installation into an overlay whose lower layer has the program, as a container image has it.
func (i *installation) overlay(twoFileSystems bool, xino string) {
	i.t.Helper()
	root, err := os.MkdirTemp("", "overlay-") // no comma in it, which would end an option of the mount
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { os.RemoveAll(root) })
	lower, upper := filepath.Join(root, "l"), filepath.Join(root, "u")
	mount := func(dir string) {
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=256m,mode=755"); err != nil {
			i.t.Fatal(err)
		}
		i.t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	if !twoFileSystems {
		mount(root)
	}
	for _, dir := range []string{lower, upper} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			i.t.Fatal(err)
		}
		if twoFileSystems {
			mount(dir)
		}
	}
	b, err := os.ReadFile(i.path)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := testenv.WriteProgram(filepath.Join(lower, "hello"), b); err != nil {
		i.t.Fatal(err)
	}
	for _, dir := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(upper, dir), 0o755); err != nil {
			i.t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work,xino=%s", lower, upper, xino)
	if err := unix.Mount("none", i.dir, "overlay", 0, options); err != nil {
		testenv.Skip(i.t, "overlay", "run the tests where the kernel has overlay file systems")
	}
	i.t.Cleanup(func() { unix.Unmount(i.dir, unix.MNT_DETACH) })
}

// A service on an overlay, or on a tmpfs, updates itself, goes back, is recovered, and hands over again and again.
func TestF37Service(t *testing.T) {
	testenv.NeedRoot(t)
	for _, where := range []struct {
		name  string
		mount func(i *installation)
	}{
		{"overlay of two file systems, xino=off", func(i *installation) { i.overlay(true, "off") }},
		{"overlay of two file systems, xino=on", func(i *installation) { i.overlay(true, "on") }},
		{"overlay of one file system, xino=off", func(i *installation) { i.overlay(false, "off") }},
		{"overlay of one file system, xino=on", func(i *installation) { i.overlay(false, "on") }},
		{"tmpfs", func(i *installation) {
			b, err := os.ReadFile(i.path)
			if err != nil {
				t.Fatal(err)
			}
			i.device(256<<20, b)
		}},
	} {
		t.Run(where.name, func(t *testing.T) {
			t.Parallel()
			s := plainStage(t, "1.0.0", "1.1.0")
			i := install(t, build(t, "1.0.0")).trusts(s.repo)
			where.mount(i)
			svc := i.start(append(i.flags(s.repo), "--interval", "1h")...)
			svc.serves("1.0.0")
			svc.post()
			svc.awaitVersion("1.1.0")
			svc.await("1.1.0 is proved", func() bool { return svc.status().Proved })
			handOver := func(version string) {
				t.Helper()
				_, before, err := svc.ask()
				if err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(before, syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				svc.await("another process serves "+version, func() bool {
					v, pid, err := svc.ask()
					return err == nil && v == version && pid != before
				})
				svc.await("the process before it has ended", func() bool { return syscall.Kill(before, 0) != nil || before == svc.cmd.Process.Pid })
			}
			for range testenv.Pick(3, 20, 20) {
				handOver("1.1.0")
			}
			i.must(i.selfUpdate(s.repo, "--rollback"))
			handOver("1.0.0")
			i.must(i.selfUpdate(s.repo, "--version", "1.1.0"))
			if out, err := exec.Command(theseus(t), "recover", i.path).CombinedOutput(); err != nil {
				t.Errorf("recover: %v\n%s", err, out)
			}
			handOver(s.at(i))
			if r := i.selfUpdate(s.repo, "--doctor"); r.code != 0 {
				t.Errorf("--doctor: %v", r)
			}
		})
	}
}
