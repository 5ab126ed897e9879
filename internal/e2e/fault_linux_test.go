package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// The built program, not the library alone, is broken here: it is killed, its calls fail, its disk is full, its power is cut.
// A sample runs with the other tests. All of it takes hours:
//
//	THESEUS_TESTS=full go test ./internal/e2e -run 'F01|F02|F16|F19|F27' -timeout 12h -v

// every is for testfault: each n-th point in the long sample, fewer in the quick one.
func every(n int) int { return testenv.Pick(9*n, n, 1) }

// A scene is something that is done to an installation, and can be broken.
type scene struct {
	name string
	// prepare brings a fresh 1.0.0 to where it begins, and returns what is run.
	prepare func(i *installation, repo *testrelease.Repo) (args []string)
	rescue  bool     // theseus is run, not hello
	sample  int      // every so many calls
	may     []string // what may be at the path, wherever it was broken
	done    string   // what is at the path when it has ended well
}

var scenes = []scene{
	{
		name: "update",
		prepare: func(i *installation, repo *testrelease.Repo) []string {
			return append(i.flags(repo), "self-update", "--version", "1.1.0")
		},
		sample: 23, may: []string{"1.0.0", "1.1.0"}, done: "1.1.0",
	},
	{
		name: "update by a delta",
		prepare: func(i *installation, repo *testrelease.Repo) []string {
			return append(i.flags(repo), "self-update", "--version", "1.1.1")
		},
		sample: 23, may: []string{"1.0.0", "1.1.1"}, done: "1.1.1",
	},
	{
		name: "rollback",
		prepare: func(i *installation, repo *testrelease.Repo) []string {
			i.must(i.selfUpdate(repo, "--version", "1.1.0"))
			return append(i.flags(repo), "self-update", "--rollback")
		},
		sample: 3, may: []string{"1.0.0", "1.1.0"}, done: "1.0.0",
	},
	{
		name: "recover",
		prepare: func(i *installation, repo *testrelease.Repo) []string {
			i.must(i.selfUpdate(repo, "--version", "1.1.0"))
			for range 3 { // starts that prove nothing
				if out, err := exec.Command(theseus(i.t), "recover", i.path).CombinedOutput(); err != nil {
					i.t.Fatalf("theseus recover: %v\n%s", err, out)
				}
			}
			return []string{"recover", i.path}
		},
		rescue: true, sample: 3, may: []string{"1.0.0", "1.1.0"}, done: "1.0.0",
	},
}

func (i *installation) must(r result) {
	i.t.Helper()
	if r.code != 0 {
		i.t.Fatalf("%v", r)
	}
}

// theseus is the built publisher's tool.
func theseus(t *testing.T) string {
	t.Helper()
	return built(t, "theseus", func(out string) error { return testenv.Build(out, "../../cmd/theseus", "-ldflags", "-s -w") })
}

// stage is what all scenes are played on: releases, and what they consist of.
type stage struct {
	repo  *testrelease.Repo
	files map[string][]byte // by version
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{testrelease.New(t), map[string][]byte{}}
	for _, v := range []string{"1.0.0", "1.1.0", "1.1.1"} {
		s.files[v] = bytesOf(t, v)
	}
	patch, err := os.ReadFile(built(t, "patch", func(out string) error {
		var patch bytes.Buffer
		if _, err := delta.Diff(context.Background(), s.files["1.0.0"], s.files["1.1.1"], &patch, delta.Options{}); err != nil {
			return err
		}
		return os.WriteFile(out, patch.Bytes(), 0o644)
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.repo.Publish("1.1.1", s.files["1.1.1"], testrelease.Zstd(), testrelease.Manifest(func(m *release.Manifest) {
		d := s.repo.Store(release.Delta, patch)
		from := verify.IDOf(s.files["1.0.0"]).SHA256
		d.From = &from
		m.Artifacts[0].Downloads = append(m.Artifacts[0].Downloads, d)
	}))
	s.repo.Publish("1.1.0", s.files["1.1.0"], testrelease.Zstd())
	s.files["1.2.0"] = script("1.2.0") // what comes after
	s.repo.Publish("1.2.0", s.files["1.2.0"])
	return s
}

// at returns the version whose bytes are at the path, whole, executable, and what the program says it is.
func (s *stage) at(i *installation) string {
	i.t.Helper()
	b, err := os.ReadFile(i.path)
	if err != nil {
		i.t.Errorf("no executable is at the path: %v", err)
		return ""
	}
	info, err := os.Stat(i.path)
	if err != nil || info.Mode() != 0o755 {
		i.t.Errorf("the mode is %v (%v)", info.Mode(), err)
	}
	for v, want := range s.files {
		if bytes.Equal(b, want) {
			if got := i.version(); got != v {
				i.t.Errorf("the file of %s says that it is %s", v, got)
			}
			return v
		}
	}
	i.t.Errorf("the file at the path is none of the releases: %d bytes", len(b))
	return ""
}

// holdsOnly expects nothing in the folder but the program and its state, and beside the state nothing but what may be kept.
func (i *installation) holdsOnly(partial bool) {
	i.t.Helper()
	names := list(i.dir)
	if partial { // a rehearsal that was killed leaves its second name of a file
		names = slices.DeleteFunc(names, isScratch)
	}
	if !slices.Equal(names, []string{".hello.theseus", "hello"}) && !slices.Equal(names, []string{"hello"}) {
		i.t.Errorf("in the folder: %q", names)
	}
	for _, name := range list(i.home()) {
		known := name == "lock" || name == "state" || strings.HasPrefix(name, "previous-") && !strings.HasSuffix(name, ".tmp")
		if !known && !(partial && strings.HasSuffix(name, ".tmp")) {
			i.t.Errorf("beside the state: %s", name)
		}
	}
}

// isScratch: what the next one that comes by sweeps from beside the program.
func isScratch(name string) bool {
	return strings.HasPrefix(name, ".hello.theseus.") && strings.HasSuffix(name, ".tmp")
}

func list(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// settles expects that the next good update mends whatever was broken.
func (s *stage) settles(i *installation) {
	i.t.Helper()
	r := i.selfUpdate(s.repo, "--version", "1.2.0")
	for limit := time.Now().Add(patience); r.code == 7 && time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		r = i.selfUpdate(s.repo, "--version", "1.2.0") // who held the lock was killed and has not ended yet
	}
	if r.code != 0 {
		i.t.Errorf("the next update: %v", r)
		return
	}
	if got := s.at(i); got != "1.2.0" {
		i.t.Errorf("after the next update %s is at the path", got)
	}
	if st, err := state.Load(i.home()); err != nil || st.Journal != nil {
		i.t.Errorf("after the next update the journal is %+v (%v)", st.Journal, err)
	}
	i.holdsOnly(false)
}

// program is a scene as testfault runs it, with what must hold wherever it was broken.
func (s *stage) program(t *testing.T, sc scene) testfault.Program {
	var i *installation
	var before fs.FileInfo
	return testfault.Program{
		Loose: true, // what arrives at once is the network's
		Every: every(sc.sample),
		Command: func(tb testing.TB) *exec.Cmd {
			if i != nil {
				os.RemoveAll(filepath.Dir(i.dir))
			}
			i = install(t, build(t, "1.0.0")).trusts(s.repo)
			args := sc.prepare(i, s.repo)
			var err error
			if before, err = os.Stat(i.path); err != nil {
				tb.Fatal(err)
			}
			cmd := exec.Command(i.path, args...)
			if sc.rescue {
				cmd = exec.Command(theseus(t), args...)
			}
			cmd.Dir = i.dir
			return cmd
		},
		Check: func(tb testing.TB, r testfault.Run) {
			at := s.at(i)
			if !slices.Contains(sc.may, at) {
				tb.Errorf("%s is at the path, may be %q", at, sc.may)
			}
			killed := r.Point.Index != 0 && r.Errno == 0
			i.holdsOnly(killed || r.Errno != 0 || sc.rescue) // what is taken back stays staged, to be tried again without another download
			switch {
			case killed:
			case r.State.Signal != 0 || strings.Contains(r.Out, "panic") || strings.Contains(r.Out, "goroutine "):
				tb.Errorf("it crashed: %+v", r.State)
			case r.State.Exit == 0:
				// A rescue that could not read what was remembered leaves the program as it is, and says so.
				if at != sc.done && !(sc.rescue && r.Errno != 0 && strings.Contains(r.Out, "cannot be read")) {
					tb.Errorf("it ended with 0, and %s is at the path instead of %s", at, sc.done)
				}
			default:
				if strings.TrimSpace(r.Out) == "" {
					tb.Error("it failed and said nothing")
				}
				if sc.done == "1.0.0" {
					break // the way back: both are right
				}
				// D0: refused is refused.
				if after, err := os.Stat(i.path); at != "1.0.0" || err != nil || !os.SameFile(before, after) {
					tb.Errorf("it failed with exit code %d, and %s is at the path (another file: %v)", r.State.Exit, at, !os.SameFile(before, after))
				}
			}
			if !sc.rescue && at == sc.done && sc.done != "1.0.0" {
				i.remembersFloor(tb, s.repo, r)
			}
			s.settles(i)
		},
	}
}

// remembersFloor checks that what is installed is never ahead of the documents on disk that offered it. Otherwise a replay
// could take it back (R04).
func (i *installation) remembersFloor(tb testing.TB, repo *testrelease.Repo, r testfault.Run) {
	tb.Helper()
	st, err := state.Load(i.home())
	if err != nil {
		tb.Errorf("%v: a release is installed, and nothing is remembered: %v", r.Point, err)
		return
	}
	if c := st.Channels["stable"]; c == nil || c.Sequence != repo.Channel.Sequence {
		tb.Errorf("%v: a release is installed, and its channel is remembered as %+v, want sequence %d", r.Point, c, repo.Channel.Sequence)
	}
}

// TestF01KilledProgram kills the program itself at every call that changes a file.
func TestF01KilledProgram(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) { s.program(t, sc).Kill(t) })
	}
}

// TestF19FailingProgram lets every call on a file fail.
func TestF19FailingProgram(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	errnos := []syscall.Errno{unix.EIO, unix.ENOSPC, unix.EINTR, unix.EMFILE}
	for k, sc := range scenes {
		for n, errno := range errnos {
			if testenv.Asked() == testenv.Quick && n != k%len(errnos) {
				continue // one each
			}
			t.Run(fmt.Sprintf("%s/%s", sc.name, unix.ErrnoName(errno)), func(t *testing.T) {
				p := s.program(t, sc)
				p.Calls, p.Every = testfault.Everything, every(29*sc.sample+n) // not the same calls for each errno
				p.Fail(t, errno)
			})
		}
	}
}

// TestF27KilledBeforeProved kills the service that has installed a release and hands over to it, at every call from the
// installation on. Whoever is left serves on; where nobody is, a service manager starts what is at the path. After at most
// two such starts a whole version serves, the journal is settled, and the next update works.
func TestF27KilledBeforeProved(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	repo := testrelease.New(t)
	repo.Publish("1.1.0", s.files["1.1.0"])
	var i *installation
	var svc *service
	args := func(i *installation) []string {
		return append(i.flags(repo), "--interval", "1s", "--probation", "200ms")
	}
	var group int
	end := func() {
		if i != nil {
			endGroup(group)
			i.endAll()
			os.RemoveAll(filepath.Dir(i.dir))
		}
	}
	t.Cleanup(func() { end() })
	testfault.Program{
		Loose: true, Every: every(9), Last: 45,
		Command: func(tb testing.TB) *exec.Cmd {
			end()
			i = install(t, build(t, "1.0.0")).trusts(repo)
			i.env = nil
			public := filepath.Join(i.side, "p")
			svc = &service{installation: i, log: logfile(filepath.Join(i.side, "log")), public: over("unix", public)}
			cmd := exec.Command(i.path, append([]string{"--listen", "unix:" + public, "--pid-file", filepath.Join(i.side, "pid"), "--startup", "5s", "--drain", "5s"}, args(i)...)...)
			cmd.Dir = i.dir
			return cmd
		},
		Check: func(tb testing.TB, r testfault.Run) {
			group = r.PID
			starts := 0
			for {
				if v, _, err := svc.ask(); err == nil {
					if at := s.at(i); at != v && !(r.Point.Index != 0 && v == "1.1.0") {
						tb.Errorf("%s serves, and %s is at the path", v, at)
					}
					break
				}
				if starts++; starts > 2 {
					tb.Error("two starts have not brought the service back")
					return
				}
				endGroup(group)
				svc = i.start(args(i)...)
				group = svc.cmd.Process.Pid
			}
			svc.await("the journal is settled", func() bool {
				st, err := state.Load(i.home())
				return err == nil && st.Journal == nil
			})
			endGroup(group)
			i.endAll()
			s.settles(i)
		},
	}.Kill(t)
}

// endAll ends every process that runs a file of this installation, whoever started it.
func (i *installation) endAll() {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if pid, _ := strconv.Atoi(strings.Split(link, "/")[2]); err == nil && strings.HasPrefix(exe, i.dir+"/") && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// TestF16DiskFullProgram fills the disk while the program updates itself on it, so that each time one block more is free,
// from none to as many as it takes.
func TestF16DiskFullProgram(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	const block = 4096
	repo := testrelease.New(t)
	small := append(script("1.1.0"), bytes.Repeat([]byte("# a line\n"), 40000)...) // 360 kB
	repo.Publish("1.1.0", small)
	old := bytesOf(t, "1.0.0")
	i := install(t, build(t, "1.0.0")).trusts(repo)
	size := int64(len(old)+len(small)+64*block) + 3<<20
	if err := unix.Mount("none", i.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size/block*block)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(i.dir, unix.MNT_DETACH) })
	filler := filepath.Join(i.dir, ".hello.theseus", "filler")
	free := int64(-1) // blocks that are left when the file is asked for
	repo.Hook(repo.FilePath("1.1.0"), func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		var st unix.Statfs_t
		if err := unix.Statfs(i.dir, &st); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filler, make([]byte, (int64(st.Bfree)-free)*block), 0o600); err != nil {
			t.Error(err)
		}
		honest.ServeHTTP(w, r)
	})
	want := verify.IDOf(old)
	for free = 0; ; free += int64(every(5)) {
		if free > int64(len(small))/block+64 {
			t.Fatalf("%d blocks are not enough for a file of %d bytes", free, len(small))
		}
		os.RemoveAll(i.home())
		if err := testenv.WriteProgram(i.path, old); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(i.path)
		if err != nil {
			t.Fatal(err)
		}
		r := i.selfUpdate(repo)
		b, err := os.ReadFile(i.path)
		if err != nil {
			t.Fatal(err)
		}
		if r.code == 0 {
			if !bytes.Equal(b, small) {
				t.Errorf("%d blocks: it ended with 0 and did not update", free)
			}
			break
		}
		after, err := os.Stat(i.path)
		if err != nil || verify.IDOf(b) != want || !os.SameFile(before, after) || after.Mode() != before.Mode() {
			t.Fatalf("%d blocks: the program is not as it was (%v)", free, err)
		}
		lines := strings.Split(strings.TrimSpace(r.errout), "\n") // the log may say before that this could not be remembered either
		if r.code != 1 || !strings.Contains(lastLine(r.errout), "space") || len(lines) > 2 || len(lines) == 2 && !strings.Contains(lines[0], "WARN remembering") {
			t.Fatalf("%d blocks: it should say that there is no space, and what to do: %v", free, r)
		}
		os.Remove(filler)
		i.holdsOnly(true)
	}
	t.Logf("a file of %d blocks is installed with %d blocks free", (len(small)+block-1)/block, free)
}

// plainStage has builds of hello, stored compressed and by no delta.
func plainStage(t *testing.T, versions ...string) *stage {
	t.Helper()
	s := &stage{testrelease.New(t), map[string][]byte{}}
	for _, v := range versions {
		s.files[v] = bytesOf(t, v)
		s.repo.Publish(v, s.files[v], testrelease.Zstd())
	}
	return s
}

// device is a folder of so many bytes for an installation of a program.
func (i *installation) device(size int64, program []byte) {
	i.t.Helper()
	if err := unix.Mount("none", i.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size&^4095)); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { unix.Unmount(i.dir, unix.MNT_DETACH) })
	if err := testenv.WriteProgram(i.path, program); err != nil {
		i.t.Fatal(err)
	}
}

// TestF16BoundOnSpace: an update takes no more than the new file and 1 MiB. One block around that it either works, there and
// back, or nothing is downloaded and it says how much it needs.
func TestF16BoundOnSpace(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	s := plainStage(t, "1.0.0", "1.1.0")
	old, next := s.files["1.0.0"], s.files["1.1.0"]
	const block = 4096
	up := func(n int64) int64 { return (n + block - 1) &^ (block - 1) }
	bound := up(int64(len(old))) + up(int64(len(next))+1<<20)
	around := int64(testenv.Pick(8, 16, 16))
	worked, refused := 0, 0
	for blocks := -around; blocks <= around; blocks += int64(testenv.Pick(4, 2, 1)) {
		i := install(t, build(t, "1.0.0")).trusts(s.repo)
		i.device(bound+blocks*block, old)
		s.repo.Forget()
		r := i.selfUpdate(s.repo, "--version", "1.1.0")
		asked := s.repo.Requested("files/")
		switch {
		case r.code == 0:
			if at := s.at(i); at != "1.1.0" || blocks < 0 {
				t.Errorf("%d blocks: %s is at the path: %v", blocks, at, r)
			}
			i.must(i.selfUpdate(s.repo, "--rollback"))
			worked++
		case r.code == 1 && asked == 0 && strings.Contains(r.errout, " bytes) at once") && strings.Contains(r.errout, "df -h"):
			refused++
		default:
			t.Errorf("%d blocks: %d files were asked for: %v", blocks, asked, r)
		}
		if at := s.at(i); at != "1.0.0" {
			t.Errorf("%d blocks: %s is at the path", blocks, at)
		}
		unix.Unmount(i.dir, unix.MNT_DETACH)
	}
	if worked == 0 || refused == 0 {
		t.Errorf("%d times it worked, %d times it was refused", worked, refused)
	}
}

// TestF16SmallDevice: of two files of 11 MB, a device of 25 MB has room for no more. The update and the way back work all the
// same; what is kept is given up for the next one only when what is installed has proved itself, and that is said.
func TestF16SmallDevice(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	s := plainStage(t, "1.0.0", "1.1.0", "1.2.0")
	repo := s.repo
	i := install(t, build(t, "1.0.0")).trusts(repo)
	i.device(int64(len(s.files["1.0.0"]))*25/11, s.files["1.0.0"])
	for range 2 {
		i.must(i.selfUpdate(repo, "--version", "1.1.0"))
		if at := s.at(i); at != "1.1.0" {
			t.Fatalf("%s is at the path", at)
		}
		i.must(i.selfUpdate(repo, "--rollback"))
		if at := s.at(i); at != "1.0.0" {
			t.Fatalf("%s is at the path", at)
		}
	}
	i.must(i.selfUpdate(repo, "--version", "1.1.0"))
	proved := func(is bool) {
		lock, err := state.TryLock(i.home())
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Unlock()
		st, err := state.Load(i.home())
		if err != nil {
			t.Fatal(err)
		}
		st.Installed.Proved = is
		if err := lock.Save(st); err != nil {
			t.Fatal(err)
		}
	}
	proved(false)
	repo.Forget()
	r := i.selfUpdate(repo)
	if r.code != 1 || !strings.Contains(r.errout, " bytes) at once") || repo.Requested("files/") != 0 || s.at(i) != "1.1.0" {
		t.Errorf("without a proof: %v", r)
	}
	proved(true)
	r = i.selfUpdate(repo)
	if r.code != 0 || !strings.Contains(r.errout, "1.0.0 is given up") || s.at(i) != "1.2.0" {
		t.Errorf("with a proof: %v", r)
	}
	i.must(i.selfUpdate(repo, "--rollback"))
	if at := s.at(i); at != "1.1.0" {
		t.Errorf("%s is at the path", at)
	}
}
