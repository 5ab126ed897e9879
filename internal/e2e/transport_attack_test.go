//go:build unix

package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testattack"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// Only what signed documents name is asked for and only the program is written.
func TestA18ExtraneousFiles(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	named := append(repo.Files(), "trust/1")
	for _, path := range []string{"postinstall.sh", "files/postinstall.sh", "releases/latest", "stable.minisig"} {
		repo.Put(path, []byte("#!/bin/sh\nexit 1\n"))
	}
	before := i.look()
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
	for _, q := range repo.Requests() {
		if !slices.Contains(named, q.Path) || q.Method != http.MethodGet {
			t.Errorf("asked for %v", q)
		}
	}
	if now := i.look(); !slices.Equal(now.siblings, before.siblings) {
		t.Errorf("beside the program: %q, was %q", now.siblings, before.siblings)
	}
	i.tidy()
}

// A server whose certificate proves nothing, and one that is trusted and sends its clients to plain http.
func TestN02N04TLS(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	if r := i.selfUpdate(repo, "--check"); r.code != 100 {
		t.Fatalf("%v", r)
	}
	var redirect atomic.Bool
	var plain atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if redirect.Load() {
			http.Redirect(w, r, repo.URL()+r.URL.Path, http.StatusFound)
			return
		}
		repo.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that turn away are what is wanted
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(i.side, "ca")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(url string) result {
		return i.run("--updates", url, "--key", filepath.Join(i.side, "key"), "self-update")
	}
	before := i.look()
	repo.Forget()
	if r := run(server.URL); r.code != 5 || !strings.Contains(r.errout, "authority that this machine does not know") {
		t.Errorf("N04 self-signed: %v", r)
	}
	i.env = []string{"SSL_CERT_FILE=" + ca}
	if r := run(strings.Replace(server.URL, "127.0.0.1", "localhost", 1)); r.code != 5 || !strings.Contains(r.errout, "another host name") {
		t.Errorf("N04 wrong host: %v", r)
	}
	if n := len(repo.Requests()); n != 0 {
		t.Errorf("%d requests reached a server that nobody vouches for", n)
	}
	redirect.Store(true)
	repo.Hook("*", func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		plain.Add(1)
		honest.ServeHTTP(w, r)
	})
	if r := run(server.URL); r.code != 5 || !strings.Contains(r.errout, "plain http") || plain.Load() != 0 {
		t.Errorf("N02 downgrade: %v, %d requests over plain http", r, plain.Load())
	}
	i.unmoved(before)
	redirect.Store(false)
	if r := run(server.URL); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
}

// Plain http to another machine needs a switch that hello does not have.
func TestN05PlainHTTP(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	before := i.look()
	if r := i.run("--updates", "http://dl.example.com/hello", "--key", filepath.Join(i.side, "key"), "self-update"); r.code != 2 || !strings.Contains(r.errout, "use https") {
		t.Errorf("%v", r)
	}
	i.unmoved(before)
	if r := i.selfUpdate(repo); r.code != 0 {
		t.Errorf("%v", r)
	}
}

// The publisher publishes between two requests of one update.
func TestN09PublishedBetweenTwoRequests(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	path := repo.FilePath("1.1.0")
	repo.Hook("releases/1.1.0.manifest", func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		repo.Hook("releases/1.1.0.manifest", nil)
		repo.Publish("1.2.0", script("1.2.0"))
		honest.ServeHTTP(w, r)
	})
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" || repo.Requested(path) != 1 {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
}

// Whoever sets the proxy of a process can withhold an update, and no more.
func TestN12ProxyFromTheEnvironment(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	if r := i.selfUpdate(repo, "--check"); r.code != 100 {
		t.Fatalf("%v", r)
	}
	before := i.look()
	var asked atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // answers everything itself
		asked.Add(1)
		w.WriteHeader(http.StatusOK)
		w.Write(repo.Get("stable"))
	}))
	t.Cleanup(evil.Close)
	i.env = []string{"HTTPS_PROXY=" + evil.URL, "https_proxy=" + evil.URL, "NO_PROXY=", "no_proxy="}
	if r := i.run("--updates", "https://dl.example.com/hello", "--key", filepath.Join(i.side, "key"), "self-update"); r.code != 5 || asked.Load() == 0 {
		t.Errorf("%v; the proxy was asked %d times", r, asked.Load())
	}
	i.unmoved(before)
	i.env = nil
	if r := i.selfUpdate(repo); r.code != 0 {
		t.Errorf("%v", r)
	}
}

// edit changes the state file as text.
func (i *installation) edit(change func(string) string) {
	i.t.Helper()
	path := filepath.Join(i.home(), "state")
	b, err := os.ReadFile(path)
	if err != nil {
		i.t.Fatal(err)
	}
	changed := change(string(b))
	if changed == string(b) {
		i.t.Fatalf("the state is not as this test expects:\n%s", b)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// What is remembered is lost in every way: the program goes on from what it was built with, says so, and takes nothing
// older than itself.
func TestStateLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(string) string // nil: the folder is deleted
		quiet  bool
	}{
		{"F23 empty", func(string) string { return "" }, false},
		{"F23 torn", func(s string) string { return s[:len(s)/2] }, false},
		{"F23 zeros", func(s string) string { return strings.Repeat("\x00", len(s)) }, false},
		{"F23 garbage", func(string) string { return "\xff\xfe}{" }, false},
		{"F23 a future version", func(s string) string { return strings.Replace(s, `"format": 1`, `"format": 2`, 1) }, false},
		{"F24 deleted", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := install(t, build(t, "1.0.0"))
			repo := testrelease.New(t)
			i.trusts(repo)
			repo.Publish("0.9.0", script("0.9.0"))
			old := repo.Get("stable")
			repo.Publish("1.0.0", script("1.0.0"))
			if r := i.selfUpdate(repo, "--check"); r.code != 0 {
				t.Fatalf("%v", r)
			}
			before := i.look()
			if c.change == nil {
				if err := os.RemoveAll(i.home()); err != nil {
					t.Fatal(err)
				}
			} else {
				i.edit(c.change)
			}
			repo.Put("stable", old)
			r := i.selfUpdate(repo)
			if r.code != 0 || !strings.Contains(r.out, "current") {
				t.Errorf("with an old document: %v", r)
			}
			if said := strings.Contains(r.errout, "cannot be read"); said == c.quiet {
				t.Errorf("an alarm: %v, want %v\n%s", said, !c.quiet, r.errout)
			}
			now := i.look()
			if now.sum != before.sum || !os.SameFile(now.info, before.info) || i.version() != "1.0.0" {
				t.Errorf("the program is another file")
			}
			i.tidy()
			repo.Publish("1.3.0", script("1.3.0"))
			if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.3.0" || strings.Contains(r.errout, "cannot be read") {
				t.Errorf("%v, and the program is %s", r, i.version())
			}
		})
	}
}

// A newer version of the program, undone since, wrote more than this one knows.
func TestF33NewerState(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	seen(t, i, repo)
	i.edit(func(s string) string {
		return strings.Replace(s, `"format": 1,`, `"format": 1, "hologram": {"depth": [1, 2, 3]},`, 1)
	})
	if r := i.selfUpdate(repo); r.code != 0 || r.errout != "" || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
	b, err := os.ReadFile(filepath.Join(i.home(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ Hologram struct{ Depth []int } }
	if err := json.Unmarshal(b, &kept); err != nil || !slices.Equal(kept.Hologram.Depth, []int{1, 2, 3}) {
		t.Errorf("lost: %v\n%s", err, b)
	}
}

// A server that answers 304 for ever keeps no document alive: this one is remembered, and past its date by now.
func TestN10NotModifiedForEver(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	seen(t, i, repo)
	fresh := repo.Get("stable")
	c := *repo.Channel
	c.Issued, c.Expires = repo.Now.AddDate(0, -2, 0), repo.Now.Add(-time.Hour)
	stale := repo.SignChannel(&c, repo.ChannelKeys...)
	id := repo.TextID(stale)
	i.edit(func(s string) string { // time passes
		quote := func(b []byte) string { q, _ := json.Marshal(string(b)); return string(q) }
		was := repo.TextID(fresh)
		s = strings.Replace(s, quote(fresh), quote(stale), 1)
		s = strings.Replace(s, fmt.Sprintf(`"size": %d`, was.Size), fmt.Sprintf(`"size": %d`, id.Size), 1)
		return strings.Replace(s, was.SHA256.String(), id.SHA256.String(), 1)
	})
	conditional := 0
	repo.Hook("stable", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if r.Header.Get("If-None-Match") != "" {
			conditional++
		}
		w.WriteHeader(http.StatusNotModified)
	})
	before := i.look()
	if r := i.selfUpdate(repo); r.code != 4 || !strings.Contains(r.errout, "expired") || conditional == 0 {
		t.Errorf("%v; %d conditional requests", r, conditional)
	}
	i.unmoved(before)
	testattack.Heal(t, repo)
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.3.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
}

// Seen from outside, a machine's clock is what documents are dated against. The floor rises to signed dates only, and
// what had expired by then stays expired.
func TestF30TimeFloor(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	signed := repo.Now
	repo.Now = signed.Add(-48 * time.Hour)
	repo.Resign(nil)
	seen(t, i, repo)
	floor := func() (at time.Time) {
		t.Helper()
		if err := json.Unmarshal(i.memory().Floor, &at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	if !floor().Equal(repo.Now) {
		t.Errorf("the floor is %v: the wall clock raised it above %v", floor(), repo.Now)
	}
	repo.Now = signed.Add(20 * time.Hour) // a publisher whose clock is ahead, within what is allowed
	repo.Resign(nil)
	seen(t, i, repo)
	if !floor().Equal(repo.Now) {
		t.Errorf("the floor is %v, want %v", floor(), repo.Now)
	}
	before := i.look()
	repo.Resign(func(c *release.Channel) { c.Issued, c.Expires = signed, signed.Add(19*time.Hour) })
	if r := i.selfUpdate(repo); r.code != 4 || !strings.Contains(r.errout, "expired") {
		t.Errorf("expired by a date that was signed, not by this clock: %v", r)
	}
	i.unmoved(before)
	testattack.Heal(t, repo)
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.3.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
}
