package swap_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/testfault"
)

// A situation is a program, and what may be at the path when it was broken.
var situations = []struct {
	name     string
	do       string
	setUp    func(tb testing.TB, t *swap.Target) // after 1.0.0 was installed
	versions []string
}{
	{"first update", "update", func(testing.TB, *swap.Target) {}, []string{"1.0.0", "2.0.0"}},
	{"second update", "update", func(tb testing.TB, t *swap.Target) { must(tb, update(t, program("1.5.0"), "1.5.0")) }, []string{"1.5.0", "2.0.0"}},
	{"rollback", "rollback", func(tb testing.TB, t *swap.Target) { must(tb, update(t, program("2.0.0"), "2.0.0")) }, []string{"1.0.0", "2.0.0"}},
	{"settle a swap before its rename", "settle", interrupted(false), []string{"1.0.0"}},
	{"settle a swap after its rename", "settle", interrupted(true), []string{"2.0.0"}},
	{"settle an undo", "settle", func(tb testing.TB, t *swap.Target) {
		must(tb, update(t, program("2.0.0"), "2.0.0"))
		journal(tb, t, state.Undo, "2.0.0", "1.0.0")
	}, []string{"1.0.0", "2.0.0"}},
}

// interrupted leaves the journal, staged and kept files of an update that was killed around its rename.
func interrupted(renamed bool) func(testing.TB, *swap.Target) {
	return func(tb testing.TB, t *swap.Target) {
		must(tb, t.Prepare(0))
		journal(tb, t, state.Swap, "1.0.0", "2.0.0")
		if renamed {
			must(tb, replace(t, program("2.0.0")))
			return
		}
		sealed, err := stage(t, program("2.0.0"))
		must(tb, err)
		must(tb, sealed.Close())
	}
}

func journal(tb testing.TB, t *swap.Target, step, from, to string) {
	tb.Helper()
	lock, err := state.TryLock(t.Home)
	must(tb, err)
	s, _ := state.Load(t.Home)
	s.Journal = &state.Journal{Step: step, Cause: "test",
		From: state.File{Version: from, ID: idOf(program(from)), Proved: true}, To: state.File{Version: to, ID: idOf(program(to)), Proved: step != state.Swap}}
	must(tb, lock.Save(s))
	must(tb, lock.Unlock())
}

// memory is a folder in memory where there is one: a kill leaves there what it leaves on a disk, and fsync costs nothing.
func memory(tb testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "theseus")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// broken is the program of a situation, with the check that must hold wherever it was broken: there is a whole executable
// at the path, the next one who works settles everything, and nothing unexpected is left in the folder.
func broken(i int) (testfault.Program, *int) {
	sit := situations[i]
	runs := new(int)
	var target *swap.Target
	return testfault.Program{
		Command: func(tb testing.TB) *exec.Cmd {
			*runs++
			if target != nil {
				os.RemoveAll(target.Dir)
			}
			target = installIn(tb, memory(tb))
			sit.setUp(tb, target)
			return command(sit.do, target)
		},
		Check: func(tb testing.TB, r testfault.Run) {
			at := whole(tb, target, sit.versions...)
			if len(names(tb, target.Dir)) > 2 {
				tb.Errorf("beside the executable: %v", names(tb, target.Dir))
			}
			if r.Errno != 0 && r.State == (testfault.Ending{}) && sit.do == "update" && at != "2.0.0" {
				tb.Errorf("it said that it updated, and did not")
			}
			if r.Errno != 0 && r.State.Signal != 0 || strings.Contains(r.Out, "panic") {
				tb.Errorf("it crashed: %+v", r.State)
			}
			if err := settle(target); err != nil {
				tb.Errorf("settling: %v", err)
				return
			}
			after := whole(tb, target, sit.versions...)
			s, err := state.Load(target.Home)
			if err != nil && len(names(tb, target.Home)) > 1 && slices.Contains(names(tb, target.Home), "state") {
				tb.Errorf("state: %v", err)
			}
			if s.Journal != nil {
				tb.Errorf("the journal was not settled: %+v", s.Journal)
			}
			if s.Installed != nil && s.Installed.ID != idOf(program(after)) {
				tb.Errorf("%s is remembered, %s is at the path", s.Installed.Version, after)
			}
			if s.Previous == nil {
				tidy(tb, target)
				return
			}
			tidy(tb, target, program(s.Previous.Version))
			if id, err := target.Kept(s.Previous.ID.SHA256); err != nil || id != s.Previous.ID {
				tb.Errorf("the previous version is remembered, and not there: %v", err)
			}
		},
	}, runs
}

// short sweeps are for every run of the tests; THESEUS_FAULTS=all breaks every call, reading ones too.
func calls() []string {
	if os.Getenv("THESEUS_FAULTS") == "all" {
		return testfault.Everything
	}
	return testfault.Changing
}

func TestF01KilledBeforeEverySyscall(t *testing.T) {
	for i, sit := range situations {
		t.Run(sit.name, func(t *testing.T) {
			p, _ := broken(i)
			p.Calls = calls()
			p.Kill(t)
		})
	}
}

func TestF19EverySyscallFails(t *testing.T) {
	errnos := []syscall.Errno{syscall.EIO}
	if os.Getenv("THESEUS_FAULTS") == "all" {
		errnos = []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EACCES}
	}
	for _, errno := range errnos {
		for i, sit := range situations {
			t.Run(errno.Error()+"/"+sit.name, func(t *testing.T) {
				p, _ := broken(i)
				p.Calls = calls()
				p.Fail(t, errno)
			})
		}
	}
}
