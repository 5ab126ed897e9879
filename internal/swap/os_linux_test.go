package swap_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
)

// nobody is a user who owns nothing here, in a group of his own.
const nobody, nogroup, users = 65534, 65534, 100

func as(cmd *exec.Cmd, uid, gid uint32) *exec.Cmd {
	// The folders of the test framework are for root alone.
	for dir := cmd.Dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode()&0o011 == 0 {
			os.Chmod(dir, info.Mode()|0o011)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	// Whoever cannot enter the folder of the test binary runs it by its descriptor.
	exe, err := os.Open("/proc/self/exe")
	if err == nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, exe)
		cmd.Path = fmt.Sprintf("/proc/self/fd/%d", 2+len(cmd.ExtraFiles))
	}
	return cmd
}

// mount mounts a file system in memory at dir, until the test ends.
func mount(tb testing.TB, dir, options string) {
	tb.Helper()
	testenv.NeedRoot(tb)
	if err := unix.Mount("theseus", dir, "tmpfs", 0, options); err != nil {
		testenv.Skip(tb, "mount", "run the tests where root may mount")
	}
	tb.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

func TestF06Umask(t *testing.T) {
	for _, umask := range []int{0o077, 0o777, 0} {
		t.Run(fmt.Sprintf("%#o", umask), func(t *testing.T) {
			target := install(t)
			old := syscall.Umask(umask)
			err := update(target, program("2.0.0"), "2.0.0")
			syscall.Umask(old)
			must(t, err)
			whole(t, target, "2.0.0")
			for name, want := range map[string]fs.FileMode{"": 0o755 | fs.ModeDir, "state": 0o644, "lock": 0o600} {
				if got := stat(t, filepath.Join(target.Home, name)).Mode(); got != want {
					t.Errorf("HOME/%s is %v, want %v", name, got, want)
				}
			}
		})
	}
	for _, mode := range []fs.FileMode{0o700, 0o555, 0o775, 0o711} {
		t.Run(fmt.Sprintf("mode %v", mode), func(t *testing.T) {
			target := install(t)
			must(t, os.Chmod(target.Path, mode))
			must(t, replace(target, program("2.0.0")))
			if got := stat(t, target.Path).Mode(); got != mode {
				t.Errorf("mode is %v, was %v", got, mode)
			}
		})
	}
}

func ids(tb testing.TB, path string) [2]uint32 {
	s := stat(tb, path).Sys().(*syscall.Stat_t)
	return [2]uint32{s.Uid, s.Gid}
}

// R05: what lies under the name of a half download is gone on with only if it is ours alone: else it would be cut, made
// executable and given to another owner, whosever it is.
func TestR05HalfADownloadIsOurs(t *testing.T) {
	testenv.NeedRoot(t)
	want := idOf(program("2.0.0")).SHA256
	for what, plant := range map[string]func(path string) error{
		"another user's": func(path string) error { return os.Chown(path, 1002, 1002) },
		"a file with another name": func(path string) error {
			return os.Link(path, filepath.Join(filepath.Dir(path), "..", "victim"))
		},
	} {
		target := install(t)
		must(t, target.Prepare(0))
		f, err := target.Create(want)
		must(t, err)
		_, err = f.WriteString("precious")
		must(t, errors.Join(err, plant(f.Name())))
		before := stat(t, f.Name())
		again, err := target.Resume(want)
		must(t, err)
		if again.Name() == f.Name() {
			t.Errorf("%s was gone on with", what)
		}
		if _, err := target.Seal(f); err == nil {
			t.Errorf("%s was sealed", what)
		}
		after := stat(t, filepath.Join(target.Home, filepath.Base(f.Name())))
		if after.Mode() != before.Mode() || after.Size() != before.Size() || ids(t, f.Name()) != [2]uint32{before.Sys().(*syscall.Stat_t).Uid, before.Sys().(*syscall.Stat_t).Gid} {
			t.Errorf("%s: was %v, is %v", what, before.Mode(), after.Mode())
		}
	}
}

// R05: where files are moved aside, by paths, only the owner of the folder does that.
func TestR05MovedAsideByTheOwnerAlone(t *testing.T) {
	testenv.NeedRoot(t)
	target := install(t)
	must(t, errors.Join(os.Chmod(target.Dir, 0o777), os.Chown(target.Path, nobody, nobody)))
	cmd := command("update", target)
	cmd.Env = append(cmd.Env, "THESEUS_ASIDE=1")
	if code, out := exits(t, as(cmd, nobody, nobody)); code != 6 || !strings.Contains(out, "only the owner of the folder") {
		t.Errorf("exit %d: %s", code, out)
	}
	whole(t, target, "1.0.0")
	must(t, os.Chown(target.Dir, nobody, nobody))
	cmd = command("update", target)
	cmd.Env = append(cmd.Env, "THESEUS_ASIDE=1")
	if code, out := exits(t, as(cmd, nobody, nobody)); code != 0 {
		t.Errorf("the owner: exit %d: %s", code, out)
	}
	whole(t, target, "2.0.0")
}

func TestF07OwnerAndGroup(t *testing.T) {
	testenv.NeedRoot(t)
	t.Run("kept by root", func(t *testing.T) {
		target := install(t)
		must(t, os.Chown(target.Path, nobody, users))
		must(t, update(target, program("2.0.0"), "2.0.0"))
		whole(t, target, "2.0.0")
		if got := ids(t, target.Path); got != [2]uint32{nobody, users} {
			t.Errorf("the program belongs to %v", got)
		}
		must(t, rollback(target))
		whole(t, target, "1.0.0")
		for _, name := range []string{target.Home, filepath.Join(target.Home, "state"), filepath.Join(target.Home, "lock")} {
			if got := ids(t, name); got != [2]uint32{0, 0} {
				t.Errorf("%s belongs to %v", name, got)
			}
		}
	})
	t.Run("R05 root in a folder of somebody else's", func(t *testing.T) {
		target := install(t)
		must(t, os.Chown(target.Dir, nobody, users))
		must(t, os.Chown(target.Path, nobody, users))
		for what, do := range map[string]func() error{
			"update":  func() error { return update(target, program("2.0.0"), "2.0.0") },
			"prepare": func() error { return target.Prepare(1) },
			"sweep":   func() error { return target.Sweep() },
			"settle":  func() error { return settle(target) },
		} {
			if err := do(); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "sudo -u '#65534'") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := names(t, target.Dir); !slices.Equal(got, []string{"app"}) {
			t.Errorf("left %v", got)
		}
		if code, out := exits(t, as(command("update", target), nobody, users)); code != 0 {
			t.Errorf("the owner cannot update: %d %s", code, out)
		}
		for what, do := range map[string]func() error{
			"rollback": func() error { return rollback(target) },
			"restore":  func() error { return target.Restore(idOf(program("1.0.0"))) },
			"create":   func() error { _, err := target.Create(content.Digest{}); return err },
			"resume":   func() error { _, err := target.Resume(content.Digest{}); return err },
		} {
			if err := do(); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: %v", what, err)
			}
		}
		whole(t, target, "2.0.0")
		if id, err := target.Kept(idOf(program("1.0.0")).SHA256); err != nil || id != idOf(program("1.0.0")) {
			t.Errorf("root may look: %v", err)
		}
	})
	for _, row := range []struct {
		name     string
		uid, gid int
	}{{"an owner who cannot be kept", 0, users}, {"a group that cannot be kept", nobody, 0}} {
		t.Run(row.name, func(t *testing.T) {
			target := install(t)
			must(t, os.Chown(target.Dir, nobody, users))
			must(t, os.Chown(target.Path, row.uid, row.gid))
			before := stat(t, target.Path)
			for _, do := range []string{"prepare", "update"} {
				code, out := exits(t, as(command(do, target), nobody, users))
				if code != 6 || !strings.Contains(out, "chown") && !strings.Contains(out, "sudo") {
					t.Errorf("%s: exit %d, want 6: %s", do, code, out)
				}
				unchanged(t, target, before)
			}
		})
	}
}

func TestF07SetUserID(t *testing.T) {
	testenv.NeedRoot(t)
	const mode = 0o750 | fs.ModeSetuid
	setuid := func(t *testing.T) *swap.Target {
		target := install(t)
		must(t, os.Chown(target.Path, nobody, users))
		must(t, os.Chmod(target.Path, mode))
		return target
	}
	t.Run("refused", func(t *testing.T) {
		target := setuid(t)
		before := stat(t, target.Path)
		refused(t, target.Prepare(1), swap.ErrUnlike, "chmod ug-s "+target.Path)
		refused(t, replace(target, program("2.0.0")), swap.ErrUnlike)
		unchanged(t, target, before)
	})
	t.Run("kept if asked", func(t *testing.T) {
		target := setuid(t)
		target.Setuid = swap.Keep
		must(t, replace(target, program("2.0.0")))
		if got := stat(t, target.Path).Mode(); got != mode || ids(t, target.Path) != [2]uint32{nobody, users} {
			t.Errorf("mode %v of %v", got, ids(t, target.Path))
		}
	})
	t.Run("dropped if asked", func(t *testing.T) {
		target := setuid(t)
		target.Setuid = swap.Drop
		must(t, replace(target, program("2.0.0")))
		if got := stat(t, target.Path).Mode(); got != 0o750 {
			t.Errorf("mode %v", got)
		}
	})
}

// Values as the kernel stores them.
var (
	// cap_net_bind_service=ep: VFS_CAP_REVISION_2 with the effective bit, capability 10 (linux/capability.h).
	bindService = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(
		binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x02000001), 1<<10), 0), 0), 0)
	// u::rwx,u:65534:rwx,g::r-x,m::rwx,o::r-x (linux/posix_acl_xattr.h)
	accessList = func() []byte {
		b := binary.LittleEndian.AppendUint32(nil, 2)
		for _, e := range [][3]uint32{{0x01, 7, 1<<32 - 1}, {0x02, 7, nobody}, {0x04, 5, 1<<32 - 1}, {0x10, 7, 1<<32 - 1}, {0x20, 5, 1<<32 - 1}} {
			b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
			b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
			b = binary.LittleEndian.AppendUint32(b, e[2])
		}
		return b
	}()
)

func TestF07Attributes(t *testing.T) {
	testenv.NeedRoot(t)
	attributes := map[string][]byte{
		"user.k":                  []byte("v"),
		"user.long":               bytes.Repeat([]byte("x"), 2000),
		"security.capability":     bindService,
		"system.posix_acl_access": accessList,
		"security.selinux":        []byte("system_u:object_r:bin_t:s0\x00"),
	}
	target := installIn(t, t.TempDir())
	for name, value := range attributes {
		if err := unix.Setxattr(target.Path, name, value, 0); err != nil {
			testenv.Skip(t, "extended attribute "+name, "run the tests on a file system that has it, as ext4")
		}
	}
	must(t, os.Chown(target.Path, nobody, users)) // takes the capability away, as chown always does
	must(t, unix.Setxattr(target.Path, "security.capability", bindService, 0))
	mode := stat(t, target.Path).Mode()
	must(t, replace(target, program("2.0.0")))
	if got := stat(t, target.Path).Mode(); got != mode || ids(t, target.Path) != [2]uint32{nobody, users} {
		t.Errorf("mode %v of %v, was %v", got, ids(t, target.Path), mode)
	}
	for name, want := range attributes {
		got := make([]byte, 4096)
		n, err := unix.Getxattr(target.Path, name, got)
		if err != nil || !bytes.Equal(got[:max(n, 0)], want) {
			t.Errorf("%s is %q (%v), was %q", name, got[:max(n, 0)], err, want)
		}
	}
}

func TestF07AttributesThatCannotBeKept(t *testing.T) {
	testenv.NeedRoot(t)
	target := installIn(t, t.TempDir())
	must(t, os.Chown(target.Dir, nobody, users))
	must(t, os.Chown(target.Path, nobody, users))
	must(t, unix.Setxattr(target.Path, "security.capability", bindService, 0))
	before := stat(t, target.Path)
	for _, do := range []string{"prepare", "update"} { // as a user who may not set capabilities
		code, out := exits(t, as(command(do, target), nobody, users))
		if code != 6 || !strings.Contains(out, "setfattr -x security.capability "+target.Path) {
			t.Errorf("%s: exit %d, want 6 with the command: %s", do, code, out)
		}
		unchanged(t, target, before)
	}
}

// The rename or what makes it durable fails, and so does everything that would put the old file back.
func TestF13RenamesFail(t *testing.T) {
	for _, i := range []int{0, 2} { // an update, a rollback
		p := broken(situations[i], ordinary)
		p.Calls = []string{"renameat", "linkat", "fsync"}
		p.FailFrom(t, syscall.EIO)
	}
}

// A failed fsync is no success, and what cannot be made durable is taken back.
func TestF19FailedSyncIsTakenBack(t *testing.T) {
	for _, do := range []string{"replace", "restore"} {
		var target *swap.Target
		synced := 0
		p := testfault.Program{
			Calls: []string{"fsync", "fdatasync"},
			Command: func(tb testing.TB) *exec.Cmd {
				target = install(tb)
				if do == "restore" {
					must(tb, replace(target, program("2.0.0")))
				}
				return command(do, target)
			},
			Check: func(tb testing.TB, r testfault.Run) {
				if r.Errno == 0 {
					return
				}
				synced++
				if r.State.Exit == 0 {
					tb.Errorf("%v failed and it said nothing", r.Point)
				}
				// Going back is not undone: the older file is the safer one.
				if got := whole(tb, target, "1.0.0", "2.0.0"); do == "replace" && got != "1.0.0" {
					tb.Errorf("%v failed and %s stays at the path", r.Point, got)
				}
			},
		}
		p.Fail(t, syscall.EIO)
		t.Logf("%s: %d failed syncs", do, synced)
	}
}

// chattr sets an inode flag, until the test ends.
func chattr(tb testing.TB, path, flag string) {
	tb.Helper()
	testenv.NeedRoot(tb)
	testenv.Need(tb, "chattr")
	if out, err := exec.Command("chattr", "+"+flag, path).CombinedOutput(); err != nil {
		testenv.Skip(tb, "inode flags", "run the tests on ext4, xfs or btrfs: "+string(out))
	}
	tb.Cleanup(func() { exec.Command("chattr", "-"+flag, path).Run() })
}

func TestF15Immutable(t *testing.T) {
	for _, flag := range []string{"i", "a"} {
		for _, of := range []string{"file", "folder"} {
			t.Run(flag+" "+of, func(t *testing.T) {
				target := installIn(t, t.TempDir())
				f := staged(t, target, program("2.0.0"))
				before := stat(t, target.Path)
				path := map[string]string{"file": target.Path, "folder": target.Dir}[of]
				chattr(t, path, flag)
				refused(t, target.Prepare(1), swap.ErrPermission, "chattr -"+flag+" "+path)
				if err := target.Replace(f, idOf(program("2.0.0"))); err == nil {
					t.Error("replaced all the same")
				} else {
					refused(t, err, swap.ErrPermission, "chattr -"+flag)
				}
				unchanged(t, target, before)
			})
		}
	}
}

// A file that runs cannot be removed where it must be moved aside. It is let lie, however often somebody sweeps, keeps no
// update from working, and goes when it has ended. The kernel's word for both is "not permitted", as for an immutable file.
func TestRunningFilesAreSweptLater(t *testing.T) {
	target := install(t)
	target.MoveAside()
	must(t, update(target, program("2.0.0"), "2.0.0"))
	must(t, rollback(target))
	runs := filepath.Join(target.Home, "previous-left.0123456789abcdef.tmp") // 2.0.0, which rollback moved here while it ran
	older := filepath.Join(target.Home, keptName("0.9.0"))
	passing := filepath.Join(target.Dir, ".app.new")
	all := []string{runs, older, passing}
	for _, path := range all {
		must(t, os.WriteFile(path, program("2.0.0"), 0o755))
		chattr(t, path, "i")
	}
	must(t, target.Sweep())
	for _, path := range all {
		stat(t, path)
	}
	for _, path := range all {
		if out, err := exec.Command("chattr", "-i", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	must(t, update(target, program("3.0.0"), "3.0.0"))
	whole(t, target, "3.0.0")
	tidy(t, target, program("1.0.0"))

	// Where files are not moved aside a file that cannot be removed is worth an error.
	target = install(t)
	must(t, target.Prepare(0))
	stuck := filepath.Join(target.Home, "state.0123456789abcdef.tmp")
	must(t, os.WriteFile(stuck, nil, 0o644))
	chattr(t, stuck, "i")
	refused(t, target.Sweep(), swap.ErrPermission, stuck)
}

func TestF16NoSpaceIsSeenBefore(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=4m")
	target := installIn(t, dir)
	before := stat(t, target.Path)
	err := target.Prepare(16 << 20)
	refused(t, err, swap.ErrNoSpace, "df -h "+dir, "17.8 MB")
	if got := names(t, dir); !slices.Equal(got, []string{"app"}) {
		t.Errorf("something was made: %v", got)
	}
	unchanged(t, target, before)
	must(t, target.Prepare(1<<20))
}

func TestF16NoInodes(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "nr_inodes=2")
	target := installIn(t, dir)
	refused(t, target.Prepare(1), swap.ErrNoSpace, "df -i")
}

func TestF16FileSizeLimit(t *testing.T) {
	testenv.Need(t, "prlimit")
	target := install(t)
	cmd := command("prepare", target)
	cmd.Args = append([]string{"prlimit", "--fsize=500000", cmd.Path}, cmd.Args[1:]...)
	cmd.Path, _ = exec.LookPath("prlimit")
	code, out := exits(t, cmd)
	if code != 1 || !strings.Contains(out, "ulimit -f") || strings.Contains(out, "goroutine") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// The disk is full at every size: with room for n pages more than what is there, from none to enough.
func TestF16DiskFull(t *testing.T) {
	dir := t.TempDir()
	page := os.Getpagesize()
	step := testenv.Pick(16, 16, 1)
	mount(t, dir, "size=64m")
	points, updated := 0, false
	for room := 0; !updated; room += step {
		if room > 4096 {
			t.Fatal("no end")
		}
		empty(t, dir)
		target := installIn(t, dir)
		before := stat(t, target.Path)
		used := (len(program("1.0.0"))+page-1)/page + room
		must(t, unix.Mount("theseus", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used*page)))
		err := replaceUnprepared(target, program("2.0.0"))
		must(t, unix.Mount("theseus", dir, "tmpfs", unix.MS_REMOUNT, "size=64m"))
		points++
		if err == nil {
			updated = true
			whole(t, target, "2.0.0")
			continue
		}
		refused(t, err, swap.ErrNoSpace, "df -h")
		unchanged(t, target, before)
		must(t, target.Sweep())
		tidy(t, target)
	}
	t.Logf("%d disk sizes", points)
}

// replaceUnprepared is an update that did not ask about space, or whose space was taken meanwhile.
func replaceUnprepared(t *swap.Target, content []byte) error {
	if err := t.Prepare(0); err != nil {
		return err
	}
	f, err := stage(t, content)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.Replace(f, idOf(content))
}

func empty(tb testing.TB, dir string) {
	for _, name := range names(tb, dir) {
		must(tb, os.RemoveAll(filepath.Join(dir, name)))
	}
}

func TestF17ReadOnly(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=4m")
	target := installIn(t, dir)
	before := stat(t, target.Path)
	f := staged(t, target, program("2.0.0"))
	must(t, unix.Mount("theseus", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	refused(t, target.Prepare(1), swap.ErrReadOnly, "remount,rw")
	refused(t, target.Replace(f, idOf(program("2.0.0"))), swap.ErrReadOnly, "remount,rw")
	if _, err := target.Create(content.Digest{}); !errors.Is(err, swap.ErrReadOnly) {
		t.Errorf("Create: %v", err)
	}
	unchanged(t, target, before)

	must(t, unix.Mount("theseus", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_NOEXEC, ""))
	refused(t, target.Prepare(1), swap.ErrUnfit, "remount,exec")
}

func TestF18OtherFileSystems(t *testing.T) {
	t.Run("the state folder is a mount", func(t *testing.T) {
		target := install(t)
		before := stat(t, target.Path)
		must(t, os.Mkdir(target.Home, 0o755))
		mount(t, target.Home, "size=16m")
		refused(t, target.Prepare(1), swap.ErrUnfit, "findmnt -T "+target.Home)
		if err := replaceUnprepared(target, program("2.0.0")); err == nil {
			t.Error("replaced across file systems")
		}
		unchanged(t, target, before)
		tidy(t, target)
	})
	t.Run("the file is a mount", func(t *testing.T) {
		testenv.NeedRoot(t)
		target := install(t)
		other := install(t)
		if err := unix.Mount(other.Path, target.Path, "", unix.MS_BIND, ""); err != nil {
			testenv.Skip(t, "mount", "run the tests where root may mount")
		}
		t.Cleanup(func() { unix.Unmount(target.Path, unix.MNT_DETACH) })
		refused(t, target.Prepare(1), swap.ErrUnfit, "findmnt -T "+target.Path)
	})
}

func TestF20ManyUpdatersAtOnce(t *testing.T) {
	rounds := testenv.Pick(4, 4, 50)
	wins, busy := 0, 0
	for range rounds {
		target := install(t)
		var cmds []*exec.Cmd
		for range 8 {
			cmd := command("update", target)
			cmd.Stdout = new(bytes.Buffer)
			cmds = append(cmds, cmd)
		}
		var group sync.WaitGroup
		for _, cmd := range cmds {
			group.Go(func() { cmd.Run() })
		}
		group.Wait()
		won := 0
		for _, cmd := range cmds {
			switch cmd.ProcessState.ExitCode() {
			case 0:
				won++
			case 7:
				busy++
			default:
				t.Errorf("exit %v: %s", cmd.ProcessState, cmd.Stdout)
			}
		}
		if won == 0 {
			t.Error("nobody won")
		}
		wins += won
		whole(t, target, "2.0.0")
		if err := settle(target); err != nil {
			t.Error(err)
		}
		s, err := state.Load(target.Home)
		if err != nil || s.Installed.Version != "2.0.0" || s.Journal != nil {
			t.Errorf("remembered %+v, %v", s, err)
		}
		if s.Previous != nil {
			tidy(t, target, program(s.Previous.Version))
		}
	}
	if busy == 0 {
		t.Errorf("%d updates and never two at once: this tested nothing", wins)
	}
	t.Logf("%d updates, %d times busy", wins, busy)
}

// A large file is never held in memory.
func TestF21Memory(t *testing.T) {
	target := install(t)
	must(t, target.Prepare(0))
	want := sha256.New()
	f, err := target.Create(content.Digest{})
	must(t, err)
	const size = 96 << 20
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for n := 0; n < size; n += len(block) {
		want.Write(block)
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := target.Seal(f)
	must(t, err)
	defer sealed.Close()
	reset := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // sets the peak back to what is used now
	before := peak(t)
	must(t, target.Replace(sealed, content.ID{Size: size, SHA256: content.Digest(want.Sum(nil))}))
	if grown := peak(t) - before; grown > 8<<10 {
		t.Errorf("a swap of %d MiB took %d KiB of memory (%v)", size>>20, grown, reset)
	}
}

func peak(tb testing.TB) (kib int) {
	tb.Helper()
	f, err := os.Open("/proc/self/status")
	must(tb, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if n, _ := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kib); n == 1 {
			return kib
		}
	}
	tb.Fatal("no VmHWM")
	return 0
}

// While other goroutines start children all the time, a file that was just sealed can be executed: no child that is between
// fork and exec still holds it for writing.
func TestF22TextFileBusy(t *testing.T) {
	target := install(t)
	must(t, target.Prepare(0))
	stop := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(stop)
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					exec.Command("/bin/true").Run()
				}
			}
		})
	}
	for i := range 60 {
		f, err := stage(target, program("2.0.0"))
		must(t, err)
		cmd := exec.Command(f.Name()) // by name, as a program's own probe may do
		if i%2 == 0 {
			cmd = swap.Command(t.Context(), f)
		}
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "2.0.0" {
			t.Fatalf("round %d: %q, %v", i, out, err)
		}
		must(t, errors.Join(f.Close(), os.Remove(f.Name())))
	}
}

func TestF22SomebodyKeepsItOpen(t *testing.T) {
	target := install(t)
	must(t, target.Prepare(0))
	f, err := target.Create(idOf(program("2.0.0")).SHA256)
	must(t, err)
	_, err = f.Write(program("2.0.0"))
	must(t, err)
	other, err := os.OpenFile(f.Name(), os.O_WRONLY, 0)
	must(t, err)
	freed := time.AfterFunc(20*time.Millisecond, func() { other.Close() }) // as an exec would
	sealed, err := target.Seal(f)
	if err != nil || freed.Stop() {
		t.Fatalf("Seal did not wait: %v", err)
	}
	must(t, sealed.Close())

	f, err = os.OpenFile(sealed.Name(), os.O_RDWR, 0)
	must(t, err)
	stays, err := os.OpenFile(f.Name(), os.O_WRONLY, 0)
	must(t, err)
	defer stays.Close()
	_, err = target.Seal(f)
	refused(t, err, swap.ErrChanged, "fuser")
	if _, err := f.Seek(0, io.SeekStart); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was left open: %v", err)
	}
}

// What runs is what was hashed, whatever the name leads to by then.
func TestCommandRunsTheDescriptor(t *testing.T) {
	target := install(t)
	f := staged(t, target, program("2.0.0"))
	must(t, os.WriteFile(f.Name()+"x", []byte("#!/bin/sh\necho pwned\n"), 0o755))
	must(t, os.Rename(f.Name()+"x", f.Name()))
	if out := run(t, f); out != "2.0.0" {
		t.Errorf("it says %q", out)
	}
}

// Going back works on a disk without one free block, though the state cannot be written there.
func TestF29DiskFullDuringRollback(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=8m")
	target := installIn(t, dir)
	must(t, update(target, program("2.0.0"), "2.0.0"))
	filler, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	for size := 64 << 10; size > 0; {
		if _, err := filler.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if n, err := os.Create(filepath.Join(target.Home, "x")); err == nil {
		if _, err := n.Write([]byte("x")); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		n.Close()
		must(t, os.Remove(n.Name()))
	}
	if err := rollback(target); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("rollback: %v", err)
	}
	whole(t, target, "1.0.0")
	must(t, errors.Join(filler.Close(), os.Remove(filler.Name())))
	must(t, settle(target))
	whole(t, target, "1.0.0")
}

// Where there are no hard links (FAT says EPERM), the running file is moved aside.
func TestNoHardLinks(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS} {
		t.Run(errno.Error(), func(t *testing.T) {
			var target *swap.Target
			testfault.Program{
				Calls: []string{"linkat"},
				Command: func(tb testing.TB) *exec.Cmd {
					target = install(tb)
					return command("update", target)
				},
				Check: func(tb testing.TB, r testfault.Run) {
					if r.State != (testfault.Ending{}) {
						tb.Errorf("%v: %+v %s", r.Point, r.State, r.Out)
					}
					whole(tb, target, "2.0.0")
					tidy(tb, target, program("1.0.0"))
					must(tb, rollback(target))
					whole(tb, target, "1.0.0")
				},
			}.FailFrom(t, errno)
		})
	}
}

// Who owns neither the file nor the folder is told so before anything is downloaded, with the exit code for it.
func TestUnprivilegedUser(t *testing.T) {
	testenv.NeedRoot(t)
	target := install(t)
	before := stat(t, target.Path)
	for _, do := range []string{"prepare", "update"} {
		code, out := exits(t, as(command(do, target), nobody, nogroup))
		if code != 6 || !strings.Contains(out, "sudo") {
			t.Errorf("%s: exit %d, want 6: %s", do, code, out)
		}
		if got := names(t, target.Dir); !slices.Equal(got, []string{"app"}) {
			t.Errorf("left %v", got)
		}
	}
	unchanged(t, target, before)

	// The same where root has updated before, and in a folder where everybody may make files but not take others' away.
	must(t, update(target, program("1.0.0"), "1.0.0"))
	must(t, os.Chmod(target.Dir, 0o777|fs.ModeSticky))
	for _, do := range []string{"prepare", "update", "settle", "rollback"} {
		if code, out := exits(t, as(command(do, target), nobody, nogroup)); code != 6 {
			t.Errorf("%s: exit %d, want 6: %s", do, code, out)
		}
	}
	unchanged(t, target, before)
}

// The state folder is theirs, the folder of the executable is not: found before the download, not at the rename.
func TestFolderOfAnotherUser(t *testing.T) {
	testenv.NeedRoot(t)
	target := install(t)
	must(t, os.Mkdir(target.Home, 0o755))
	must(t, os.Chown(target.Home, nobody, nogroup))
	must(t, os.Chown(target.Path, nobody, nogroup))
	before := stat(t, target.Path)
	if code, out := exits(t, as(command("prepare", target), nobody, nogroup)); code != 6 || !strings.Contains(out, target.Dir) {
		t.Errorf("exit %d, want 6: %s", code, out)
	}
	unchanged(t, target, before)
}
