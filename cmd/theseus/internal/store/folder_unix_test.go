//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/durable"
)

// soon fails the test if do does not return: what it waits for never comes.
func soon(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatal("still waiting")
	}
}

// Somebody exchanges a document for a pipe and back, as fast as he can.
func TestPipeExchangedInIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	path, pipe := filepath.Join(dir, "stable"), filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("document"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			spare := filepath.Join(dir, "spare")
			os.Rename(path, spare)
			os.Rename(pipe, path)
			os.Rename(path, pipe)
			os.Rename(spare, path)
		}
	}()
	soon(t, func() {
		for range 5000 {
			file, _, err := ReadFolder(dir).Get(t.Context(), "stable")
			if err == nil {
				file.Close()
			} else if code := ui.ExitCode(err); !errors.Is(err, os.ErrNotExist) && code != ui.ExitRefused {
				t.Error(err)
				return
			}
		}
	})
}

// Somebody made files/ a link: nothing is removed or written where it leads.
func TestLinkedFolderIsNotWrittenThrough(t *testing.T) {
	top := t.TempDir()
	dir, victim := filepath.Join(top, "dl"), filepath.Join(top, "victim")
	precious := filepath.Join(victim, durable.Unique("precious"))
	for _, d := range []string{dir, victim} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Symlink("../victim", filepath.Join(dir, "files")); err != nil {
		t.Fatal(err)
	}
	if err := f.sweep(); ui.ExitCode(err) != ui.ExitRefused {
		t.Errorf("sweep: %v", err)
	}
	if err := f.Put(t.Context(), "files/new", strings.NewReader("new"), 3, Anything); ui.ExitCode(err) != ui.ExitRefused {
		t.Errorf("Put: %v", err)
	}
	names, err := filepath.Glob(filepath.Join(victim, "*"))
	if err != nil || len(names) != 1 || names[0] != precious {
		t.Errorf("beside the repository there is now %q, %v", names, err)
	}
}

// Nobody can end what he cannot find.
func TestBusyFolderSaysHowToFindWho(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = OpenFolder(dir)
	if ui.ExitCode(err) != ui.ExitBusy || !strings.Contains(err.Error(), "lsof "+dir) {
		t.Errorf("%v", err)
	}
}

// Whatever lies in the place of a document, an error says which name it is and what to do, and nothing is waited for.
func TestOddThingInPlaceOfADocument(t *testing.T) {
	for how, put := range map[string]func(path string) error{
		"a pipe":                    func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":                  func(path string) error { return os.Mkdir(path, 0o700) },
		"a link that leads out":     func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a link that leads nowhere": func(path string) error { return os.Symlink("/nowhere", path) },
		"a link to itself":          func(path string) error { return os.Symlink("stable", path) },
		"a device":                  func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			if err := put(filepath.Join(dir, "stable")); err != nil {
				t.Fatal(err)
			}
			soon(t, func() {
				_, _, err := ReadFolder(dir).Get(t.Context(), "stable")
				if ui.ExitCode(err) != ui.ExitRefused || !strings.Contains(err.Error(), "stable") || !strings.Contains(err.Error(), "remove it, or restore it from your backup") {
					t.Errorf("it is no refusal that says what to do: %v", err)
				}
			})
		})
	}
}
