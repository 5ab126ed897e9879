package swap_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
)

// A situation is what is done, and what may be at the path when it was broken.
type situation struct {
	name     string
	do       string
	setUp    func(tb testing.TB, t *swap.Target) // after 1.0.0 was installed
	versions []string
}

var situations = []situation{
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

// betweenRenames are situations that there are only where files are moved aside: killed between the two renames, and settled since.
var betweenRenames = []situation{
	{"settle a swap between its renames", "settle", func(tb testing.TB, t *swap.Target) {
		interrupted(false)(tb, t)
		staged, err := filepath.Glob(filepath.Join(t.Home, "staged-*"))
		if err != nil || len(staged) != 1 {
			tb.Fatalf("%v, %v", staged, err)
		}
		between(tb, t, staged[0], keptName("1.0.0"))
	}, []string{"1.0.0"}},
	{"settle an undo between its renames", "settle", func(tb testing.TB, t *swap.Target) {
		must(tb, update(t, program("2.0.0"), "2.0.0"))
		journal(tb, t, state.Undo, "2.0.0", "1.0.0")
		between(tb, t, filepath.Join(t.Home, keptName("1.0.0")), "previous-left.0123456789abcdef.tmp")
	}, []string{"1.0.0"}},
}

func keptName(version string) string {
	return fmt.Sprintf("previous-%x", sha256.Sum256(program(version)))
}

// between leaves what moveAside leaves that was killed between its renames.
func between(tb testing.TB, t *swap.Target, next, old string) {
	must(tb, os.Rename(next, filepath.Join(t.Dir, ".app.new")))
	must(tb, os.Rename(t.Path, filepath.Join(t.Home, old)))
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

// A system is where it happens.
type system int

const (
	ordinary    system = iota
	noHardLinks        // Linux on a file system as FAT
	movesAside         // as on Windows, as far as that can be had elsewhere
)

func (s system) String() string {
	return [...]string{"ordinary", "no hard links", "moved aside"}[s]
}

func (s system) always() map[string]syscall.Errno {
	if s == noHardLinks {
		return map[string]syscall.Errno{"linkat": syscall.EPERM}
	}
	return nil
}

func (s system) command(do string, t *swap.Target) *exec.Cmd {
	cmd := command(do, t)
	if s == movesAside {
		cmd.Env = append(cmd.Env, "THESEUS_ASIDE=1")
	}
	return cmd
}

// broken is the program of a situation, with the check that must hold wherever it was broken: there is a whole executable
// at the path, the next one who works settles everything, and nothing unexpected is left in the folder.
//
// Where files are moved aside a kill may leave the path empty; then the next one must put a whole executable there.
func broken(sit situation, on system) testfault.Program {
	links := on == ordinary
	var target *swap.Target
	return testfault.Program{
		Always: on.always(),
		Command: func(tb testing.TB) *exec.Cmd {
			if target != nil {
				os.RemoveAll(target.Dir)
			}
			target = install(tb)
			sit.setUp(tb, target)
			return on.command(sit.do, target)
		},
		Check: func(tb testing.TB, r testfault.Run) {
			at := ""
			if _, err := os.Stat(target.Path); err == nil || links {
				at = whole(tb, target, sit.versions...)
			}
			if r.Errno != 0 && r.State == (testfault.Ending{}) && sit.do == "update" && at != "2.0.0" {
				tb.Errorf("it said that it updated, and did not")
			}
			if r.Errno != 0 && r.State.Signal != 0 || strings.Contains(r.Out, "panic") {
				tb.Errorf("it crashed: %+v", r.State)
			}
			if !links {
				testfault.Program{
					Always:  on.always(),
					Command: func(tb testing.TB) *exec.Cmd { return on.command("settle", target) },
					Check:   func(testing.TB, testfault.Run) {},
				}.Points(tb)
			} else if err := settle(target); err != nil {
				tb.Errorf("settling: %v", err)
				return
			}
			if links && len(names(tb, target.Dir)) > 2 { // a rehearsal may have left something, until now
				tb.Errorf("beside the executable: %v", names(tb, target.Dir))
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
	}
}

// The whole of it breaks every call, reading ones too, with every error; the long form each call that changes something, the
// quick one some of these.
func calls() []string {
	return testenv.Pick(testfault.Changing, testfault.Changing, testfault.Everything)
}

// every is for testfault: which points of a sweep.
func every() int { return testenv.Pick(7, 1, 1) }

func TestF01KilledBeforeEverySyscall(t *testing.T) {
	for _, sit := range some(0, 1, 2, 3, 4, 5) {
		t.Run(sit.name, func(t *testing.T) {
			t.Parallel()
			p := broken(sit, ordinary)
			p.Calls, p.Every = calls(), every()
			p.Kill(t)
		})
	}
	for _, on := range []system{noHardLinks, movesAside} {
		for _, sit := range someAside(on) {
			t.Run(on.String()+", "+sit.name, func(t *testing.T) {
				t.Parallel()
				p := broken(sit, on)
				p.Calls, p.Every = calls(), every()
				if sit.do == "rollback" {
					p.Every = 1 // the shortest in which the path is empty for a moment
				}
				check, gaps := p.Check, 0
				p.Check = func(tb testing.TB, r testfault.Run) {
					if _, err := os.Stat(filepath.Join(r.Cmd.Dir, "app")); err != nil {
						gaps++
					}
					check(tb, r)
				}
				p.Kill(t)
				if t.Logf("nothing at the path after %d kills", gaps); gaps == 0 && on == movesAside && p.Every == 1 {
					t.Error("no kill left the path empty, so nothing was tested of what repairs that")
				}
			})
		}
	}
}

// someAside are the situations for systems on which files are moved aside.
func someAside(on system) []situation {
	if on == movesAside {
		return append(some(1, 2), betweenRenames...)
	}
	return some(1, 2)
}

func TestF19EverySyscallFails(t *testing.T) {
	for _, errno := range errnos() {
		for _, sit := range some(0, 2) {
			t.Run(errno.Error()+"/"+sit.name, func(t *testing.T) {
				t.Parallel()
				p := broken(sit, ordinary)
				p.Calls, p.Every = calls(), every()
				p.Fail(t, errno)
			})
		}
		for _, sit := range someAside(movesAside) {
			t.Run(errno.Error()+"/moved aside, "+sit.name, func(t *testing.T) {
				t.Parallel()
				p := broken(sit, movesAside)
				p.Calls, p.Every = calls(), every()
				p.Fail(t, errno)
			})
		}
	}
}

// some are the situations of a sample, or all of them.
func some(sample ...int) (all []situation) {
	if testenv.Asked() == testenv.Full {
		return situations
	}
	for _, i := range sample {
		all = append(all, situations[i])
	}
	return all
}

func errnos() []syscall.Errno {
	all := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EACCES, syscall.EINTR}
	return testenv.Pick(all[:1], all[:1], all)
}
