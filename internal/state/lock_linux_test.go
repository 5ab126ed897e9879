package state_test

import (
	"errors"
	"fmt"
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

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testenv"
)

// The test binary is also the other process.
func TestMain(m *testing.M) {
	if do := os.Getenv("THESEUS_STATE"); do != "" {
		if err := child(do, os.Args[1]); err != nil {
			fmt.Println(err)
			switch {
			case errors.Is(err, state.ErrBusy):
				os.Exit(7)
			case errors.Is(err, fs.ErrPermission):
				os.Exit(6)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(do, home string) error {
	switch do {
	case "lock":
		lock, err := state.TryLock(home)
		if err != nil {
			return err
		}
		return lock.Save(state.New())
	case "hold":
		if _, err := state.TryLock(home); err != nil {
			return err
		}
		fmt.Println("held")
		os.Stdin.Read(make([]byte, 1))
		return nil
	case "flock": // what another user would do to keep an update from running
		f, err := os.Open(filepath.Join(home, "lock"))
		if err != nil {
			return err
		}
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	case "load":
		s, err := state.Load(home)
		fmt.Println(s.Installed != nil)
		return err
	}
	return errors.New("no such thing to do")
}

func command(do, home string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], home)
	cmd.Env = append(os.Environ(), "THESEUS_STATE="+do)
	return cmd
}

// stranger runs a command as a user who owns nothing here, from a test binary that he may not even reach by name.
func stranger(t *testing.T, do, home string) (int, string) {
	t.Helper()
	if info, err := os.Stat(filepath.Dir(home)); err != nil || info.Mode().Perm()&0o005 != 0o005 {
		must(t, errors.Join(err, os.Chmod(filepath.Dir(home), 0o755)))
	}
	cmd := command(do, home)
	exe, err := os.Open("/proc/self/exe")
	must(t, err)
	defer exe.Close()
	cmd.ExtraFiles, cmd.Path = []*os.File{exe}, "/proc/self/fd/3"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestF20LockBetweenProcesses(t *testing.T) {
	home := newHome(t)
	holder := command("hold", home)
	in, err := holder.StdinPipe()
	must(t, err)
	out, err := holder.StdoutPipe()
	must(t, err)
	must(t, holder.Start())
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := state.TryLock(home); !errors.Is(err, state.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", holder.Process.Pid)) {
		t.Errorf("%v, want busy with process %d", err, holder.Process.Pid)
	}
	must(t, holder.Process.Kill()) // the kernel frees it
	holder.Wait()
	in.Close()
	lock, err := state.TryLock(home)
	must(t, err)
	must(t, lock.Unlock())
}

// A child that was started while the lock was held does not go on holding it.
func TestLockIsNotInherited(t *testing.T) {
	home := newHome(t)
	lock, err := state.TryLock(home)
	must(t, err)
	sleep := exec.Command("/bin/sleep", "60")
	must(t, sleep.Start())
	defer sleep.Wait()
	defer sleep.Process.Kill()
	must(t, lock.Unlock())
	if lock, err = state.TryLock(home); err != nil {
		t.Fatalf("a child holds it: %v", err)
	}
	must(t, lock.Unlock())
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", sleep.Process.Pid))
	must(t, err)
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, home) {
			t.Errorf("the child has %s", to)
		}
	}
}

// The first use makes the folder, and many may be first.
func TestFirstUseRace(t *testing.T) {
	for range 5 {
		home := newHome(t)
		var group sync.WaitGroup
		codes := make([]int, 8)
		for i := range codes {
			group.Go(func() {
				cmd := command("lock", home)
				cmd.Run()
				codes[i] = cmd.ProcessState.ExitCode()
			})
		}
		group.Wait()
		won := 0
		for _, code := range codes {
			switch code {
			case 0:
				won++
			case 7:
			default:
				t.Errorf("exit codes %v", codes)
			}
		}
		if won == 0 {
			t.Errorf("nobody got it: %v", codes)
		}
		if _, err := state.Load(home); err != nil {
			t.Error(err)
		}
		entries, _ := os.ReadDir(home)
		if len(entries) != 2 {
			t.Errorf("%v", entries)
		}
	}
}

func TestF35AnotherUserCannotHoldTheLock(t *testing.T) {
	testenv.NeedRoot(t)
	home := newHome(t)
	old := syscall.Umask(0) // the mode is ours, not the umask's
	save(t, home, full())
	syscall.Umask(old)
	if info, err := os.Stat(filepath.Join(home, "lock")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if code, out := stranger(t, "flock", home); code != 6 {
		t.Errorf("a stranger could hold the lock: %d %s", code, out)
	}
	must(t, os.Chmod(filepath.Join(home, "lock"), 0o666)) // somebody has opened it up: the next one mends it
	lock, err := state.TryLock(home)
	must(t, err)
	defer lock.Unlock()
	if code, out := stranger(t, "flock", home); code != 6 {
		t.Errorf("a stranger could hold the lock: %d %s", code, out)
	}
}

// Who may not write is told so, and reads all the same.
func TestUnprivilegedUserReads(t *testing.T) {
	testenv.NeedRoot(t)
	home := newHome(t)
	if code, out := stranger(t, "lock", home); code != 6 {
		t.Errorf("making the folder: exit %d, want 6: %s", code, out)
	}
	save(t, home, full())
	if code, out := stranger(t, "lock", home); code != 6 {
		t.Errorf("locking: exit %d, want 6: %s", code, out)
	}
	if code, out := stranger(t, "load", home); code != 0 || !strings.Contains(out, "true") {
		t.Errorf("loading: exit %d: %s", code, out)
	}
	must(t, os.Chmod(filepath.Join(home, "state"), 0o600))
	if code, out := stranger(t, "load", home); code != 6 || !strings.Contains(out, "false") {
		t.Errorf("loading what may not be read: exit %d, want 6 and a fresh state: %s", code, out)
	}
}

func TestF23WrongOwner(t *testing.T) {
	testenv.NeedRoot(t)
	home := newHome(t)
	save(t, home, full())
	for _, name := range []string{"state", "lock"} {
		must(t, os.Chown(filepath.Join(home, name), 65534, 65534))
	}
	s, err := state.Load(home)
	if !errors.Is(err, state.ErrCorrupt) {
		t.Errorf("a state of a stranger was believed: %v", err)
	}
	fresh(t, s)
	if _, err := state.TryLock(home); err == nil {
		t.Error("a lock file of a stranger was used")
	}
	// But whoever owns the folder may.
	must(t, errors.Join(os.Chown(home, 65534, 65534), os.Chown(filepath.Dir(home), 65534, 65534)))
	if _, err := state.Load(home); err != nil {
		t.Errorf("of the owner of the folder: %v", err)
	}
}

// What was planted under the names is not followed and does not block.
func TestF23PlantedLinksAndPipes(t *testing.T) {
	for _, name := range []string{"state", "lock"} {
		for what, plant := range map[string]func(path string) error{
			"link":   func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "..", "victim"), path) },
			"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"socket": func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0) },
		} {
			home := newHome(t)
			victim := filepath.Join(filepath.Dir(home), "victim")
			must(t, os.WriteFile(victim, []byte("precious"), 0o600))
			must(t, os.Mkdir(home, 0o755))
			must(t, plant(filepath.Join(home, name)))
			done := make(chan error, 1)
			go func() {
				if name == "lock" {
					_, err := state.TryLock(home)
					done <- err
					return
				}
				_, err := state.Load(home)
				if !errors.Is(err, state.ErrCorrupt) {
					err = nil
				}
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Errorf("a %s in place of the %s was used", what, name)
				} else if what == "link" && !strings.Contains(err.Error(), "symbolic link") {
					t.Errorf("a link in place of the %s was opened: %v", name, err)
				}
			case <-time.After(3 * time.Minute):
				t.Fatalf("a %s in place of the %s blocks", what, name)
			}
			if got, _ := os.ReadFile(victim); !slices.Equal(got, []byte("precious")) {
				t.Errorf("a link was followed: %q", got)
			}
		}
	}
}

// R05: in a folder that somebody else owns, any file may lie under the name of the lock, and any folder under that of the
// state folder. Root, who locks there, neither cuts it nor gives it away.
func TestR05LockOfAnothersMakingIsLeftAlone(t *testing.T) {
	testenv.NeedRoot(t)
	const nobody = 65534
	for what, plant := range map[string]func(home, victim string) error{
		"a file of root's, moved here":    func(home, victim string) error { return os.Rename(victim, filepath.Join(home, "lock")) },
		"a hard link to a file elsewhere": func(home, victim string) error { return os.Link(victim, filepath.Join(home, "lock")) },
		"a hard link in a folder of root's own": func(home, victim string) error {
			return errors.Join(os.Chown(home, 0, 0), os.Link(victim, filepath.Join(home, "lock")))
		},
		"a hard link, and all folders are root's own": func(home, victim string) error {
			return errors.Join(os.Chown(home, 0, 0), os.Chown(filepath.Dir(home), 0, 0), os.Link(victim, filepath.Join(home, "lock")))
		},
		"a link to a file elsewhere":    func(home, victim string) error { return os.Symlink(victim, filepath.Join(home, "lock")) },
		"a link to a name that is free": func(home, victim string) error { return os.Symlink(victim+"2", filepath.Join(home, "lock")) },
	} {
		t.Run(what, func(t *testing.T) {
			home := newHome(t)
			must(t, errors.Join(os.Chown(filepath.Dir(home), nobody, nobody), os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody)))
			victim := filepath.Join(filepath.Dir(newHome(t)), "victim") // of the same file system
			must(t, errors.Join(os.WriteFile(victim, []byte("root:x:0:0"), 0o644), os.Chmod(victim, 0o644)))
			f, err := os.Open(victim)
			must(t, err)
			defer f.Close()
			before, err := f.Stat()
			must(t, err)
			must(t, plant(home, victim))

			if lock, err := state.TryLock(home); err == nil {
				must(t, lock.Unlock())
			}
			after, err := f.Stat()
			must(t, err)
			was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
			if is.Uid != was.Uid || is.Gid != was.Gid || is.Size != was.Size || is.Mode != was.Mode || is.Mtim != was.Mtim {
				t.Errorf("was %d:%d %v, %d bytes; is %d:%d %v, %d bytes", was.Uid, was.Gid, before.Mode(), was.Size, is.Uid, is.Gid, after.Mode(), is.Size)
			}
			if _, err := os.Lstat(victim + "2"); err == nil {
				t.Error("a file was made through the link")
			}
		})
	}
	t.Run("a folder of root's, moved here", func(t *testing.T) {
		home := newHome(t)
		must(t, errors.Join(os.Chown(filepath.Dir(home), nobody, nobody), os.Mkdir(home, 0o700)))
		if lock, err := state.TryLock(home); err == nil {
			must(t, lock.Unlock())
		}
		info, err := os.Stat(home)
		must(t, err)
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 || info.Mode().Perm() != 0o700 {
			t.Errorf("it belongs to %d now, with %v", uid, info.Mode())
		}
	})
}

// R05: in a folder of somebody else's root makes nothing, and says who may.
func TestR05RootLocksNothingInAFolderOfSomebodyElse(t *testing.T) {
	testenv.NeedRoot(t)
	home := newHome(t)
	must(t, os.Chown(filepath.Dir(home), 65534, 65534))
	if _, err := state.TryLock(home); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "sudo -u '#65534'") {
		t.Errorf("locked as root: %v", err)
	}
	if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	if code, out := stranger(t, "lock", home); code != 0 {
		t.Errorf("the owner cannot lock: %d %s", code, out)
	}
	if _, err := state.Load(home); err != nil {
		t.Errorf("root may look: %v", err)
	}
}

// R12: in a folder that many may write to, somebody else was there first. What he left is not believed where he could not
// replace the program, and is where he could.
func TestR12WhoWasThereFirst(t *testing.T) {
	testenv.NeedRoot(t)
	const us, first, staff = 65534, 1002, 50
	for _, c := range []struct {
		name               string
		dir                fs.FileMode
		dirUID, dirGID     int
		homeUID            int
		home               fs.FileMode
		programUID         int // -1: there is none
		believed, lockable bool
	}{
		{"sticky, a stranger's", 0o777 | fs.ModeSticky, 0, 0, first, 0o755, us, false, false},
		{"sticky, a stranger's, open to all", 0o777 | fs.ModeSticky, 0, 0, first, 0o777, us, false, false},
		{"sticky, a stranger's, and the program is root's", 0o777 | fs.ModeSticky, 0, 0, first, 0o755, 0, false, false},
		{"sticky, of a folder that is the stranger's", 0o777 | fs.ModeSticky, first, 0, first, 0o755, us, false, false},
		{"sticky, ours", 0o777 | fs.ModeSticky, 0, 0, us, 0o755, us, true, true},
		{"sticky, root's", 0o777 | fs.ModeSticky, 0, 0, 0, 0o755, us, true, false},
		{"sticky, of the program's owner", 0o777 | fs.ModeSticky, 0, 0, first, 0o755, first, true, false},
		{"sticky for a group", 0o775 | fs.ModeSticky, 0, us, first, 0o755, us, false, false},
		{"open to none, a stranger's", 0o755, us, us, first, 0o755, us, false, false},
		{"open to none, open inside", 0o755, 0, 0, 0, 0o777, us, false, false},
		{"open to none, open inside to a group", 0o755, us, us, 0, 0o775, us, false, false},
		{"a private group", 0o775, us, us, us, 0o755, us, true, true},
		{"a group's, made by another of it", 0o775 | fs.ModeSetgid, 0, staff, first, 0o755, 0, true, false},
		{"a group's, whose mode lets another group in", 0o775, 0, staff, us, 0o775, 0, false, true},
		{"root:staff 2775", 0o775 | fs.ModeSetgid, 0, us, us, 0o755, us, true, true},
		{"any user with group 0", 0o775, 0, 0, us, 0o755, 0, true, true},
		{"open to all, no matter whose", 0o777, 0, 0, first, 0o777, us, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := newHome(t)
			dir := filepath.Dir(home)
			save(t, home, full())
			if c.programUID >= 0 {
				program := filepath.Join(dir, "app")
				must(t, errors.Join(os.WriteFile(program, nil, 0o755), os.Chown(program, c.programUID, c.programUID)))
			}
			for _, name := range []string{"lock", "state"} {
				must(t, os.Chown(filepath.Join(home, name), c.homeUID, c.homeUID))
			}
			must(t, errors.Join(os.Chown(home, c.homeUID, c.homeUID), os.Chmod(home, c.home),
				os.Chown(dir, c.dirUID, c.dirGID), os.Chmod(dir, c.dir)))
			code, out := stranger(t, "load", home)
			if believed := code == 0 && strings.Contains(out, "true"); believed != c.believed {
				t.Errorf("believed: %v, want %v: %d %s", believed, c.believed, code, out)
			}
			if code, out := stranger(t, "lock", home); (code == 0) != c.lockable {
				t.Errorf("locked: %v, want %v: %s", code == 0, c.lockable, out)
			}
		})
	}
}
