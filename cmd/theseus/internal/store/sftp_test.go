package store

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/theseus-go/theseus/cmd/theseus/internal/teststore"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func realSFTP(t *testing.T) func() Opened {
	address, _ := teststore.SSH(t)
	return func() Opened {
		s, err := Open(context.Background(), address)
		if err != nil {
			t.Error(err)
			return nil
		}
		return s
	}
}

func TestSFTPHostMustBeKnown(t *testing.T) {
	t.Parallel()
	address, known := teststore.SSH(t)
	s, err := Open(t.Context(), address)
	must(t, err)
	must(t, s.Close())
	text, err := os.ReadFile(known)
	must(t, err)
	hosts, _, _ := strings.Cut(string(text), " ")
	other := teststore.KeyFile(t, filepath.Join(t.TempDir(), "other"))
	for what, line := range map[string]string{"is not known": "", "has another key": hosts + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(other))) + "\n"} {
		must(t, os.WriteFile(known, []byte(line), 0o600))
		if _, err := Open(t.Context(), address); ui.ExitCode(err) != ui.ExitRefused || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.WriteFile(known, text, 0o600))
	stranger := filepath.Join(t.TempDir(), "stranger")
	teststore.KeyFile(t, stranger)
	before, after, _ := strings.Cut(address, "key=")
	_, after, _ = strings.Cut(after, "&")
	if _, err := Open(t.Context(), before+"key="+stranger+"&"+after); ui.ExitCode(err) != ui.ExitPermission {
		t.Errorf("a key that is not let in: %v", err)
	}
	if _, err := Open(t.Context(), "sftp://127.0.0.1:1/dl?"+"key="+stranger+"&"+after); ui.ExitCode(err) != ui.ExitUnreachable {
		t.Errorf("nobody listens: %v", err)
	}
}

// cutSFTP is OpenSSH's SFTP server on a pipe that is cut after so many packets have gone to it.
func cutSFTP(t *testing.T, dir string, packets int64) (s *sftpStore, cut *atomic.Bool) {
	t.Helper()
	c := exec.Command(sftpServer(t))
	in, err := c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	cut = &atomic.Bool{}
	w := &cutter{WriteCloser: in, left: packets, cut: cut}
	client, err := sftp.NewClientPipe(out, w)
	must(t, err)
	t.Cleanup(func() { client.Close(); in.Close(); c.Wait() })
	s, err = newSFTP(client, io.NopCloser(nil), dir, "sftp://test")
	must(t, err)
	s.patience = 10 * time.Millisecond // nobody else is at work
	return s, cut
}

// cutter lets so many packets pass, and then none: what a killed process has sent is what the server does.
type cutter struct {
	io.WriteCloser
	left int64
	cut  *atomic.Bool
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		c.cut.Store(true)
		c.Close()
		return 0, errors.New("cut")
	}
	return c.WriteCloser.Write(p)
}

// A publisher dies at any of his requests: what is there is the old document or the new one, and the next publisher gets by.
func TestSFTPCutAnywhere(t *testing.T) {
	t.Parallel()
	cuts := 0
	for n := int64(1); ; n++ {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "stable"), []byte("old"), 0o644))
		v := versionOf([]byte("old"))
		s, cut := cutSFTP(t, dir, n)
		err := put(t.Context(), s, "stable", "new", v)
		there, readErr := os.ReadFile(filepath.Join(dir, "stable"))
		must(t, readErr)
		if !cut.Load() {
			must(t, err)
			if string(there) != "new" || cuts < 8 {
				t.Fatalf("there is %q after %d cuts", there, cuts)
			}
			left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
			if more, _ := filepath.Glob(filepath.Join(dir, ".*", "*")); err != nil || len(left)+len(more) > 0 {
				t.Errorf("left over: %q %q", left, more)
			}
			return
		}
		cuts++
		if string(there) != "old" && string(there) != "new" || err == nil && string(there) != "new" {
			t.Fatalf("cut at %d: there is %q, and Put said %v", n, there, err)
		}
		next, _ := cutSFTP(t, dir, 1<<40)
		if err := put(t.Context(), next, "stable", "next", versionOf(there)); err != nil {
			t.Fatalf("cut at %d: the next publisher: %v", n, err)
		}
		if again, err := os.ReadFile(filepath.Join(dir, "stable")); err != nil || string(again) != "next" {
			t.Fatalf("cut at %d: there is %q, %v", n, again, err)
		}
	}
}

// Whoever stood still after he had claimed, and whose claim was passed over, replaces nothing.
func TestSFTPLateWriterGivesUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "stable"), []byte("old"), 0o644))
	v := versionOf([]byte("old"))
	late, _ := cutSFTP(t, dir, 1<<40)
	temp, err := late.write(t.Context(), "stable", strings.NewReader("late"), 4)
	must(t, err)
	if try, err := late.take(t.Context(), "stable", v); err != nil || try != 1 {
		t.Fatal(try, err)
	}
	next, _ := cutSFTP(t, dir, 1<<40)
	if try, err := next.take(t.Context(), "stable", v); err != nil || try != 2 {
		t.Fatal(try, err)
	}
	if err := late.commit(t.Context(), "stable", temp, v, 1); !errors.Is(err, ErrChanged) {
		t.Errorf("he goes on: %v", err)
	}
	if there, _ := get(t, next, "stable"); there != "old" {
		t.Errorf("there is %q", there)
	}
	if temp, err = next.write(t.Context(), "stable", strings.NewReader("next"), 4); err != nil {
		t.Fatal(err)
	}
	must(t, next.commit(t.Context(), "stable", temp, v, 2))
	if there, _ := get(t, late, "stable"); there != "next" {
		t.Errorf("there is %q", there)
	}
}
