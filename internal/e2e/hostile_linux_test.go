package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// The owner of a program's folder may exchange, link and rename anything in it at any moment. Nothing that root or he
// himself runs there may reach what is outside, or change the owner of what it has not made.

const villain = 65534

// A process that does so, as the owner, until it is killed: HELLO_TEST_HOSTILE=FOLDER. Beside the program's folder, app, it
// has links to what it wants to reach, and files and folders of root's that lay in a folder of its own.
func init() {
	dir := os.Getenv("HELLO_TEST_HOSTILE")
	if dir == "" {
		return
	}
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	things, _ := filepath.Glob("thing-*")
	one := func(of []string) string { return of[rng.IntN(len(of))] }
	exchange := func(a, b string) {
		_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	}
	// replace puts something else in the place of name for a moment.
	replace := func(name string, make func() error) {
		_ = os.RemoveAll("away")
		if os.Rename(name, "away") != nil {
			return
		}
		if make() == nil {
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Microsecond)
			exchange("away", name)
			_ = os.Remove("away")
			return
		}
		_ = os.Rename("away", name)
	}
	for {
		names := []string{"app", "app/.hello.theseus", "app/hello", "app/.hello.theseus/lock", "app/.hello.theseus/state", "app/.hello.new", "app/.hello.managed"}
		inside, _ := os.ReadDir("app/.hello.theseus")
		for _, e := range inside {
			names = append(names, "app/.hello.theseus/"+e.Name())
		}
		name, thing := one(names), one(things)
		switch rng.IntN(6) {
		case 0, 1: // there and back, as fast as it goes
			for range 2 * (1 + rng.IntN(50)) {
				exchange(name, thing)
			}
		case 2:
			exchange(name, thing)
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
			exchange(name, thing)
		case 3:
			replace(name, func() error { return os.Link(thing, name) })
		case 4:
			to, _ := os.Readlink(thing)
			replace(name, func() error { return os.Symlink(to, name) })
		case 5: // the program gets its turn, or it would not come far
			_ = os.Mkdir("app/.hello.theseus", 0o755)
			time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		}
	}
}

// fingerprint is everything below dir but when it was read.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&all, "%s inode %d mode %o owner %d:%d links %d size %d changed %d", path, st.Ino, st.Mode, st.Uid, st.Gid, st.Nlink, st.Size, st.Mtim.Nano())
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&all, " %x", sha256.Sum256(b))
		}
		all.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestR05HostileOwner runs the tool as root, and the program and its service as the owner, against such a process.
func TestR05HostileOwner(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	repo := testrelease.New(t)
	repo.Publish("1.0.0", bytesOf(t, "1.0.0"))
	repo.Publish("1.1.0", script("1.1.0"))
	i := install(t, build(t, "1.0.0")).trusts(repo)
	root := filepath.Dir(i.dir)
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	// Outside: a folder of root's that is read by cron, one that nobody else may enter, and a program of root's.
	outside, his := filepath.Join(root, "outside"), filepath.Join(root, "his")
	for _, dir := range []string{outside, outside + "/cron", outside + "/secret", outside + "/secret/.hello.theseus", outside + "/app"} {
		must(os.Mkdir(dir, 0o755))
	}
	for _, path := range []string{outside + "/secret/passwd", outside + "/secret/lock", outside + "/app/hello"} {
		must(os.WriteFile(path, []byte("root:x:0:0"), 0o644))
	}
	must(os.Chmod(outside+"/secret", 0o700), os.Chmod(root, 0o755))
	i.dir = his + "/app"
	i.path = i.dir + "/hello"
	before := fingerprint(t, outside)
	codes := map[string]map[int]int{}
	// On a busy machine the owner's update gets through more seldom: the long forms go on until it has, or for minutes more.
	through := func() bool {
		return testenv.Asked() == testenv.Quick || codes["hello self-update, as the owner"][0] > 0
	}
	for end := time.Now().Add(testenv.Pick(2*time.Second, 15*time.Second, 10*time.Minute)); ; {
		round(t, i, repo, root, outside, codes)
		if late := time.Since(end); t.Failed() || late > 0 && through() || late > 5*time.Minute {
			break
		}
	}
	t.Logf("exit codes (-1: killed, -2: not to be run): %v", codes)
	if after := fingerprint(t, outside); after != before {
		t.Errorf("outside of the folder there was\n%sand there is\n%s", before, after)
	}
	recovered := codes["theseus recover, as root"]
	if recovered[0] > 0 || recovered[6] == 0 {
		t.Errorf("root recovered %d times in a folder of somebody else's, and refused %d times", recovered[0], recovered[6])
	}
	if !through() {
		t.Error("the owner's update never went through, so nothing was tested of it")
	}

	// The owner is left alone, and all is well.
	must(os.MkdirAll(i.dir, 0o755), testenv.WriteProgram(i.path, bytesOf(t, "1.0.0")), os.Chown(i.dir, villain, villain), os.Chown(i.path, villain, villain), os.Chown(filepath.Dir(i.dir), villain, villain))
	cmd := exec.Command(i.path, append(i.flags(repo), "self-update")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: villain, Gid: villain}}
	if out, err := cmd.CombinedOutput(); err != nil || i.version() != "1.1.0" {
		t.Errorf("the owner's update after that: %v\n%s", err, out)
	}
}

// round arranges all of it anew, and lets the three run beside the hostile process.
func round(t *testing.T, i *installation, repo *testrelease.Repo, root, outside string, codes map[string]map[int]int) {
	t.Helper()
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	his := filepath.Dir(i.dir)
	defer os.RemoveAll(his)
	// What is his, and what of root's lies in it, which he may move.
	must(os.RemoveAll(his), os.Mkdir(his, 0o755), os.Mkdir(i.dir, 0o755), os.Mkdir(his+"/thing-folder", 0o755), testenv.WriteProgram(i.path, bytesOf(t, "1.0.0")))
	roots := []string{his + "/thing-file", his + "/thing-folder/lock", his + "/thing-folder/state", his + "/thing-folder/staged"}
	for _, path := range roots {
		must(os.WriteFile(path, []byte("root:x:0:0"), 0o644))
	}
	must(os.Chmod(his+"/thing-folder", 0o700), os.Chmod(his+"/thing-file", 0o600))
	for name, to := range map[string]string{"cron": "/cron", "secret": "/secret", "app": "/app", "passwd": "/secret/passwd", "free": "/cron/free"} {
		must(os.Symlink(outside+to, filepath.Join(his, "thing-link-"+name)), os.Lchown(filepath.Join(his, "thing-link-"+name), villain, villain))
	}
	must(os.Chown(his, villain, villain), os.Chown(i.dir, villain, villain), os.Chown(i.path, villain, villain))
	var held []*os.File // by descriptor: he moves them
	for _, path := range append(roots, his+"/thing-folder") {
		f, err := os.Open(path)
		must(err)
		defer f.Close()
		held = append(held, f)
	}
	look := func() string {
		var b strings.Builder
		for _, f := range held {
			var st unix.Stat_t
			must(unix.Fstat(int(f.Fd()), &st))
			fmt.Fprintf(&b, "%s mode %o owner %d:%d", filepath.Base(f.Name()), st.Mode, st.Uid, st.Gid)
			if st.Mode&unix.S_IFMT == unix.S_IFREG {
				content := make([]byte, 100)
				n, _ := f.ReadAt(content, 0)
				fmt.Fprintf(&b, " size %d %q\n", st.Size, content[:n])
				continue
			}
			_, _ = f.Seek(0, 0)
			names, _ := f.Readdirnames(-1)
			slices.Sort(names)
			fmt.Fprintf(&b, " %q\n", names)
		}
		return b.String()
	}
	before := look()

	enemy := exec.Command("/proc/self/exe")
	exe, err := os.Open("/proc/self/exe")
	must(err)
	defer exe.Close()
	enemy.ExtraFiles, enemy.Path = []*os.File{exe}, "/proc/self/fd/3"
	enemy.Env = append(os.Environ(), "HELLO_TEST_HOSTILE="+his)
	enemy.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: villain, Gid: villain}, Setpgid: true}
	must(enemy.Start())
	defer func() {
		endGroup(enemy.Process.Pid)
		_ = enemy.Wait()
		if after := look(); after != before {
			t.Errorf("root's files in the folder were\n%sand are\n%s", before, after)
		}
	}()

	run := func(who string, uid uint32, path string, args ...string) {
		cmd := exec.Command(path, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if uid != 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
		}
		cmd.WaitDelay = time.Second
		code := -2 // the program is not where it was, or is something else
		if err := cmd.Start(); err == nil {
			timer := time.AfterFunc(300*time.Millisecond, func() { endGroup(cmd.Process.Pid) }) // a service does not end by itself
			_ = cmd.Wait()
			timer.Stop()
			endGroup(cmd.Process.Pid)
			code = cmd.ProcessState.ExitCode()
		}
		if strings.Contains(out.String(), "goroutine ") {
			t.Errorf("%s: it crashed: %s", who, out.String())
		}
		if codes[who] == nil {
			codes[who] = map[int]int{}
		}
		codes[who][code]++
	}
	for range 5 {
		run("theseus recover, as root", 0, theseus(t), "recover", i.path)
	}
	run("hello self-update, as the owner", villain, i.path, append(i.flags(repo), "self-update")...)
	run("hello, as the owner", villain, i.path, append(i.flags(repo), "--listen", "unix:"+filepath.Join(his, "socket"))...)
}
