package updater

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// notified is a run of a command-line tool with a notice, at a terminal.
type notified struct {
	*client
	said   bytes.Buffer
	folder string
}

func (c *client) notified(folder string) *notified {
	r := &notified{client: c, folder: folder}
	c.notices = notices{&r.said, func() bool { return true }, func() (string, error) { return folder, nil }, time.Minute}
	c.t.Setenv("CI", "")
	c.t.Setenv("NO_UPDATE_NOTIFIER", "")
	c.t.Setenv("SUDO_UID", "")
	return r
}

// runs is a run that the answer comes in time for.
func (r *notified) runs() string {
	r.t.Helper()
	r.Notice(r.t.Context())()
	defer r.said.Reset()
	return r.said.String()
}

const available = "hello 1.1.0 is available, this is 1.0.0; to install it: hello self-update\n"

// A tool asks once a day and tells once a day.
func TestNoticeOnceADay(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	r := c.notified(t.TempDir())
	start := time.Now()
	c.now = func() time.Time { return start }
	if s := r.runs(); s != available {
		t.Fatalf("it said %q", s)
	}
	repo.Forget()
	for _, later := range []time.Duration{time.Second, time.Hour, 23 * time.Hour} {
		c.now = func() time.Time { return start.Add(later) }
		if s := r.runs(); s != "" {
			t.Errorf("after %v it said %q", later, s)
		}
	}
	if n := len(repo.Requests()); n != 0 {
		t.Errorf("%d requests on the same day", n)
	}
	c.now = func() time.Time { return start.Add(25 * time.Hour) }
	if s := r.runs(); s != available {
		t.Errorf("the next day it said %q", s)
	}
	if len(repo.Requests()) == 0 {
		t.Error("the next day it asked nobody")
	}
	c.now = func() time.Time { return start.Add(-1000 * time.Hour) } // the clock was wrong before
	repo.Forget()
	if r.runs(); len(repo.Requests()) == 0 {
		t.Error("a clock that was wrong once silences it for ever")
	}
}

// What an earlier run has learned is told without a network, and a run that is over before the answer does not wait for it.
func TestNoticeFromMemory(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	r := c.notified(t.TempDir())
	file, _ := r.notices.file(c.disk.Path, "hello", "stable")
	_ = noticed{Offered: "1.1.0"}.write(file)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	repo.Hook("stable", func(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
		select {
		case <-never:
		case <-req.Context().Done():
		}
	})
	r.notices.wait = 0
	r.Notice(t.Context())()
	if s := r.said.String(); s != available {
		t.Errorf("it said %q", s)
	}
	repo.Forget()
	r.said.Reset()
	r.Notice(t.Context())()
	if n := len(repo.Requests()); n != 0 || r.said.Len() != 0 {
		t.Errorf("%d requests and %q right after one that was not answered", n, r.said.String())
	}
}

// Where nobody reads it, or nobody wants it, nothing is asked.
func TestNoticeIsOff(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for name, off := range map[string]func(*testing.T, *notified){
		"no terminal":    func(_ *testing.T, r *notified) { r.notices.watched = func() bool { return false } },
		"CI":             func(t *testing.T, _ *notified) { t.Setenv("CI", "true") },
		"sudo":           func(t *testing.T, _ *notified) { t.Setenv("SUDO_UID", "1000") },
		"by the user":    func(t *testing.T, _ *notified) { t.Setenv("NO_UPDATE_NOTIFIER", "1") },
		"by the program": func(_ *testing.T, r *notified) { r.opts.NoNotice = true },
		"no home": func(_ *testing.T, r *notified) {
			r.notices.folder = func() (string, error) { return "", os.ErrNotExist }
		},
		"updates are off": func(t *testing.T, r *notified) {
			r.Updater = install(t, repo, "banana").Updater
			r.client.notified(r.folder)
		},
		"development build": func(t *testing.T, r *notified) {
			r.Updater = install(t, repo, "dev").Updater
			r.client.notified(r.folder)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := install(t, repo, "1.0.0").notified(t.TempDir())
			off(t, r)
			repo.Forget()
			r.Notice(t.Context())()
			if n := len(repo.Requests()); n != 0 || r.said.Len() != 0 {
				t.Errorf("%d requests, and it said %q", n, r.said.String())
			}
			if left, err := os.ReadDir(r.folder); err != nil || len(left) != 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

// What is remembered is shown to nobody who has that version, and whatever somebody has put there is shown to nobody.
func TestNoticeOfWhatIsRemembered(t *testing.T) {
	repo := testrelease.New(t)
	for content, want := range map[string]string{
		`{"offered":"1.1.0","next":"NEXT"}`:                               available,
		`{"offered":"1.0.0","next":"NEXT"}`:                               "",
		`{"offered":"0.9.0","next":"NEXT"}`:                               "",
		`{"offered":"1.1.0\u001b[31m","next":"NEXT"}`:                     "",
		`{"offered":"1.1.0","managed":"a\u001b]0;x\u0007","next":"NEXT"}`: "hello 1.1.0 is available, this is 1.0.0; a ]0;x\n",
		`{"offered":1,"next":"NEXT"}`:                                     "",
	} {
		c := install(t, repo, "1.0.0")
		r := c.notified(t.TempDir())
		file, _ := r.notices.file(c.disk.Path, "hello", "stable")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		content = strings.ReplaceAll(content, "NEXT", time.Now().Add(time.Hour).Format(time.RFC3339))
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r.Notice(t.Context())()
		if s := r.said.String(); s != want {
			t.Errorf("%s: it said %q, want %q", content, s, want)
		}
	}
}

// What cannot be remembered is not asked: it would be asked each time. Root writes nothing where somebody else decides.
func TestNoticeWithoutMemory(t *testing.T) {
	testenv.NeedRoot(t)
	repo := published(t, "1.0.0", "1.1.0")
	r := install(t, repo, "1.0.0").notified(t.TempDir())
	theirs := filepath.Join(r.folder, "theseus")
	if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	r.runs()
	if n := len(repo.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	if left, err := os.ReadDir(theirs); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// BenchmarkNotice is a run on a day on which the source was asked already.
func BenchmarkNotice(b *testing.B) {
	folder := b.TempDir()
	u, err := New(Options{App: "hello", Version: "1.0.0", Key: otherKey, Source: "https://dl.example.com/hello"})
	if err != nil {
		b.Fatal(err)
	}
	b.Setenv("CI", "")
	u.notices = notices{&bytes.Buffer{}, func() bool { return true }, func() (string, error) { return folder, nil }, time.Minute}
	file, _ := u.notices.file(u.disk.Path, "hello", "stable")
	_ = noticed{Offered: "1.0.0", Next: time.Now().Add(noticeEvery)}.write(file)
	for b.Loop() {
		u.Notice(b.Context())()
	}
}
