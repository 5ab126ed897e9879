package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// slots is a gate whose slots are files in a folder, by installation, so that they outlive who takes them.
type slots string

func (s slots) Enter(_ context.Context, m Move) error {
	return os.WriteFile(filepath.Join(string(s), m.Installation), []byte(m.To), 0o644)
}

func (s slots) Leave(_ context.Context, m Move, _ Outcome) error {
	if err := os.Remove(filepath.Join(string(s), m.Installation)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s slots) taken(tb testing.TB) (n int) {
	tb.Helper()
	all, err := os.ReadDir(string(s))
	if err != nil {
		tb.Fatal(err)
	}
	return len(all)
}

const gateProcess = "THESEUS_GATE_PROCESS" // how the restart ends, in the process that is killed

// TestGateProcess is the process that TestKilledProcessKeepsNoSlot kills.
func TestGateProcess(t *testing.T) {
	how := os.Getenv(gateProcess)
	if how == "" {
		return
	}
	u, err := New(Options{
		App: "hello", Version: "1.0.0", Key: os.Getenv("KEY"), Source: os.Getenv("SOURCE"), Executable: "hello",
		Logger: slog.New(slog.DiscardHandler), Gates: []Gate{slots("slots")},
		Restart: func(context.Context) error {
			switch how {
			case "fails":
				return errors.New("exit status 2")
			case "later":
				return errors.ErrUnsupported
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Update(t.Context(), ""); err != nil && how != "fails" {
		t.Fatal(err)
	}
}

// A process that is killed at any call between Enter and Leave, while it swaps, proves or undoes, keeps no slot taken: what
// is taken is claimed in the state before, and the next process that starts gives it back.
func TestKilledProcessKeepsNoSlot(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	served := t.TempDir()
	repo.WriteTo(served)
	for _, how := range []string{"works", "fails", "later"} {
		t.Run(how, func(t *testing.T) {
			p := testfault.Program{
				Command: func(tb testing.TB) *exec.Cmd {
					dir := tb.TempDir()
					err := errors.Join(os.WriteFile(filepath.Join(dir, "hello"), program("1.0.0"), 0o755), os.Mkdir(filepath.Join(dir, "slots"), 0o755))
					if err != nil {
						tb.Fatal(err)
					}
					cmd := exec.Command(os.Args[0], "-test.run=^TestGateProcess$")
					cmd.Env = append(os.Environ(), gateProcess+"="+how, "KEY="+repo.Key(), "SOURCE=file://"+served)
					cmd.Dir = dir
					return cmd
				},
				Loose: true,
				Check: func(tb testing.TB, run testfault.Run) { slotsComeBack(tb, repo, run) },
			}
			for _, point := range p.Points(t) {
				if strings.Contains(point.Path, "slots") {
					p.From = point.Index
					break
				}
			}
			if p.From == 0 {
				t.Fatal("the gate was never entered")
			}
			p.Every = testenv.Pick(12, 4, 1)
			n := p.Kill(t)
			t.Logf("killed at %d points, from %d on", n, p.From)
		})
	}
}

// slotsComeBack is what happens after a process was killed: others start, and one of them runs for long enough.
func slotsComeBack(tb testing.TB, repo *testrelease.Repo, run testfault.Run) {
	tb.Helper()
	s := slots(filepath.Join(run.Cmd.Dir, "slots"))
	path := filepath.Join(run.Cmd.Dir, "hello")
	start := func() *Updater {
		said, err := exec.Command(path, "--version").Output()
		if err != nil {
			tb.Fatalf("%v: the program does not run: %v", run.Point, err)
		}
		u, err := New(Options{
			App: "hello", Version: strings.TrimPrefix(strings.TrimSpace(string(said)), "hello "), Key: repo.Key(), Source: repo.URL(),
			Executable: path, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Gates: []Gate{s},
		})
		if err != nil {
			tb.Fatal(err)
		}
		return u
	}
	u := start()
	if st, err := u.disk.Look(); s.taken(tb) > 0 && (err != nil || st.Claim == nil) {
		tb.Errorf("%v: a slot is taken, and no claim says so: %v", run.Point, err)
	}
	if _, err := u.countStart(context.Background()); err != nil {
		tb.Errorf("%v: %v", run.Point, err)
	}
	u = start()
	if !u.proveRunning(context.Background()) {
		tb.Errorf("%v: somebody holds the installation still", run.Point)
	}
	st, err := u.disk.Look()
	if n := s.taken(tb); n > 0 || st.Claim != nil {
		tb.Errorf("%v: %d slots are taken still, the claim is %+v (%v)", run.Point, n, st.Claim, err)
	}
	if run.Point.Index == 0 {
		fmt.Fprintln(tb.Output(), run.Out)
	}
}
