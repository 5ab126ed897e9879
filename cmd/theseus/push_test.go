package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/theseus-go/theseus/cmd/theseus/internal/audit"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/verify"
)

// A bucket is a server that speaks as S3 does, with a hook for every request.
type bucket struct {
	address string
	handler http.Handler

	mu     sync.Mutex
	before func(r *http.Request) // nil: nothing happens
	after  func(r *http.Request)
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("releases"); err != nil {
		t.Fatal(err)
	}
	b := &bucket{handler: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.address = "s3://releases/dl?region=us-east-1&endpoint=" + server.URL
	return b
}

func (b *bucket) hook(before, after func(r *http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.after = before, after
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	before, after := b.before, b.after
	b.mu.Unlock()
	if before != nil {
		before(r)
	}
	b.handler.ServeHTTP(w, r)
	if after != nil {
		after(r)
	}
}

// put has the server store bytes, as somebody would who can write there.
func (b *bucket) put(t *testing.T, name string, data []byte) {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/releases/dl/"+name, bytes.NewReader(data))
	r.Header.Set("Content-Length", strconv.Itoa(len(data)))
	b.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", name, w.Code, w.Body)
	}
}

func (b *bucket) get(name string) []byte {
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/releases/dl/"+name, nil))
	return w.Body.Bytes()
}

// publisherAt is a publisher's folder with a project in it; each has the same key.
func publisherAt(t *testing.T) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	return dir
}

func releaseOf(t *testing.T, dir, version string) {
	t.Helper()
	write(t, filepath.Join(dir, "hello"), []byte("hello "+version))
	mustTheseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", version, "--channel", "stable", "--key", "theseus.key",
		"--artifact", "linux/amd64=hello", "--allow", "not-a-program")
}

// cloned is a second machine of the same publisher: what is committed, and the key.
func cloned(t *testing.T, dir string) string {
	t.Helper()
	other := t.TempDir()
	for _, name := range []string{"theseus.key", "theseus.pub", "theseus.yaml", "theseus.lock"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return other
}

func channelFile(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "dl", "stable"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func says(t *testing.T, dir string, code int, words string, args ...string) {
	t.Helper()
	if got, said := theseus(t, dir, args...); got != code || !strings.Contains(said, words) {
		t.Errorf("theseus %s: exit code %d, want %d and %q: %s", strings.Join(args, " "), got, code, words, said)
	}
}

// remotes are places that two machines can push to.
func remotes(t *testing.T, test func(t *testing.T, dir, remote string)) {
	t.Run("folder", func(t *testing.T) { test(t, publisherAt(t), filepath.Join(t.TempDir(), "www")) })
	t.Run("s3", func(t *testing.T) { test(t, publisherAt(t), newBucket(t).address) })
}

// Two machines of one publisher, in turn and at once: nothing that either has published gets lost.
func TestPushAndPullOfTwoMachines(t *testing.T) {
	remotes(t, func(t *testing.T, one, remote string) {
		releaseOf(t, one, "1.0.0")
		says(t, one, 0, "channel stable of hello is there now", "push", remote)
		says(t, one, 0, "was there already", "push", remote)
		says(t, one, 0, "all as signed", "verify", "--repo", remote)

		two := cloned(t, one)
		says(t, two, 0, "is here now", "pull", remote)
		releaseOf(t, two, "1.1.0")
		says(t, two, 0, "is there now", "push", remote)

		releaseOf(t, one, "1.0.1")
		before := channelFile(t, one)
		says(t, one, ui.ExitBusy, "another publisher was faster", "push", remote)
		if after := channelFile(t, one); !bytes.Equal(after, before) {
			t.Error("a lost race has changed the folder")
		}
		says(t, one, 0, "is given up", "pull", "--adopt", remote)
		releaseOf(t, one, "1.2.0")
		says(t, one, 0, "is there now", "push", remote)
		says(t, one, 0, "1.1.0.manifest", "verify", "--repo", remote)

		// A job in the night that has no files.
		three := cloned(t, two)
		says(t, three, 0, "is here now", "pull", "--documents", remote)
		if files, err := os.ReadDir(filepath.Join(three, "dl", "files")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v, %v", files, err)
		}
		mustTheseus(t, three, "refresh", "--repo", "dl", "--key", "theseus.key")
		says(t, three, 0, "is there now", "push", remote)
		says(t, one, 0, "all as signed", "verify", "--repo", remote)
	})
}

// host: whoever can write at the remote gets nothing taken over or signed, and a push says that he is there.
func TestPushAgainstHostileRemote(t *testing.T) {
	b := newBucket(t)
	dir := publisherAt(t)
	releaseOf(t, dir, "1.0.0")
	mustTheseus(t, dir, "push", b.address)
	old := b.get("stable")
	releaseOf(t, dir, "1.1.0")
	mustTheseus(t, dir, "push", b.address)
	newest := b.get("stable")

	stranger := publisherAt(t)
	releaseOf(t, stranger, "6.6.6")
	forged, err := os.ReadFile(filepath.Join(stranger, "dl", "stable"))
	if err != nil {
		t.Fatal(err)
	}

	b.put(t, "stable", forged)
	says(t, dir, ui.ExitRefused, "somebody else can write there", "push", b.address)
	says(t, dir, ui.ExitRefused, "nothing of it was taken", "pull", b.address)
	says(t, dir, 0, "is there now", "push", "--restore", b.address)

	b.put(t, "stable", old) // a replay: this machine has the newest, a fresh one only the lock
	says(t, dir, 0, "is newer here", "pull", b.address)
	says(t, cloned(t, dir), ui.ExitRefused, "looks like a replay", "pull", b.address)
	says(t, dir, 0, "is there now", "push", b.address)

	b.put(t, "trust/1", forged)
	says(t, dir, ui.ExitRefused, "has trust document 1", "push", b.address)
	b.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/releases/dl/trust/1", nil))

	b.put(t, "releases/1.0.0.manifest", forged)
	says(t, dir, ui.ExitRefused, "another document than the one that was signed here", "push", b.address)
	says(t, dir, 0, "was there already", "push", "--restore", b.address)

	// Of the same size, so that a list of names shows nothing.
	var exchanged []string
	for _, pattern := range []string{"releases/1.1.0.manifest", "files/*"} {
		found, err := filepath.Glob(filepath.Join(dir, "dl", filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		name, err := filepath.Rel(filepath.Join(dir, "dl"), found[0])
		if err != nil {
			t.Fatal(err)
		}
		exchanged = append(exchanged, filepath.ToSlash(name))
		b.put(t, filepath.ToSlash(name), bytes.Repeat([]byte("x"), len(b.get(filepath.ToSlash(name)))))
	}
	says(t, dir, ui.ExitRefused, "FAIL", "verify", "--repo", b.address)
	says(t, dir, 0, "is not what was signed, and is put there anew", "push", "--restore", b.address)
	for _, name := range exchanged {
		if got, err := os.ReadFile(filepath.Join(dir, "dl", filepath.FromSlash(name))); err != nil || !bytes.Equal(got, b.get(name)) {
			t.Errorf("%s was not restored: %v", name, err)
		}
	}

	if got := b.get("stable"); !bytes.Equal(got, newest) {
		t.Error("the channel is not the newest that was signed")
	}
	says(t, dir, 0, "all as signed", "verify", "--repo", b.address)
}

// A hostile server that answers for every trust document number must not keep a pull busy for ever.
func TestPullOfEndlessTrust(t *testing.T) {
	dir := publisherAt(t)
	releaseOf(t, dir, "1.0.0")
	files := http.FileServer(http.Dir(filepath.Join(dir, "dl")))
	trust := channelFile(t, dir)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/trust/") {
			w.Write(trust)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	says(t, dir, ui.ExitRefused, "find out who can write there", "pull", server.URL)
}

// host: a file of the folder that is not what was signed does not go up.
func TestPushOfAnExchangedFile(t *testing.T) {
	b := newBucket(t)
	dir := publisherAt(t)
	releaseOf(t, dir, "1.0.0")
	files, err := filepath.Glob(filepath.Join(dir, "dl", "files", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, files[0], bytes.Repeat([]byte("x"), len(good)))
	says(t, dir, ui.ExitRefused, "is not what was signed", "push", b.address)
	if b := b.get("stable"); bytes.Contains(b, []byte("theseus/channel")) {
		t.Error("the channel went up")
	}
	write(t, files[0], good)
	says(t, dir, 0, "is there now", "push", b.address)
}

// A push that is killed at each of its requests, before and after the server has done it: clients see all of the old state
// or all of the new one, and the same command finishes it.
func TestPushKilledAtEveryRequest(t *testing.T) {
	b := newBucket(t)
	dir := publisherAt(t)
	releaseOf(t, dir, "1.0.0")
	text, err := os.ReadFile(filepath.Join(dir, "theseus.pub"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := verify.ParseTrust(string(text))
	if err != nil {
		t.Fatal(err)
	}
	mustTheseus(t, dir, "push", b.address)
	push := func() *exec.Cmd {
		c := exec.Command("theseus", "push", "--quiet", b.address)
		c.Dir = dir
		return c
	}
	killed, version := 0, 0
	for n := 0; ; n += testenv.Pick(3, 1, 1) {
		for _, early := range []bool{true, false} {
			version++
			releaseOf(t, dir, fmt.Sprintf("1.%d.0", version))
			before := b.get("stable")
			c := push()
			var mu sync.Mutex
			count, struck := 0, false
			strike := func(*http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if count == n {
					struck = true
					c.Process.Kill()
				}
				count++
			}
			if early {
				b.hook(strike, nil)
			} else {
				b.hook(nil, strike)
			}
			mu.Lock() // its first request waits until its process is known here
			err := c.Start()
			mu.Unlock()
			if err == nil {
				err = c.Wait()
			}
			b.hook(nil, nil)
			if !struck {
				if err != nil {
					t.Fatalf("nothing was in its way: %v", err)
				}
				if killed < testenv.Pick(4, 12, 12) {
					t.Fatalf("killed only %d times: this test looks at nothing", killed)
				}
				return
			}
			killed++
			seen, err := audit.Verify(t.Context(), audit.Options{Repo: b.address, Root: root, Channels: []string{"stable"}})
			if err != nil || !seen.OK {
				t.Fatalf("request %d, early %v: clients see a broken repository: %v, %+v", n, early, err, seen)
			}
			if out, err := push().CombinedOutput(); err != nil {
				t.Fatalf("request %d, early %v: again: %v: %s", n, early, err, out)
			}
			if bytes.Equal(b.get("stable"), before) {
				t.Fatalf("request %d, early %v: again has changed nothing", n, early)
			}
		}
	}
}

// Two machines push different channels at the same moment, again and again: one of them is there, and the other says so.
func TestPushRace(t *testing.T) {
	remotes(t, func(t *testing.T, one, remote string) {
		releaseOf(t, one, "1.0.0")
		mustTheseus(t, one, "push", remote)
		machines := []string{one, cloned(t, one)}
		mustTheseus(t, machines[1], "pull", remote)
		for round := range testenv.Pick(3, 10, 50) {
			for i, dir := range machines {
				releaseOf(t, dir, fmt.Sprintf("1.%d.0", 1+2*round+i))
			}
			var codes [2]int
			var said [2]string
			var wg sync.WaitGroup
			for i, dir := range machines {
				wg.Go(func() { codes[i], said[i] = theseus(t, dir, "push", "--quiet", remote) })
			}
			wg.Wait()
			winner := 0
			if codes[0] != 0 {
				winner = 1
			}
			if codes[winner] != 0 || codes[1-winner] != ui.ExitBusy {
				t.Fatalf("round %d: exit codes %v: %q", round, codes, said)
			}
			mustTheseus(t, machines[winner], "verify", "--repo", remote, "--channel", "stable")
			got := mustTheseus(t, machines[winner], "verify", "--repo", remote)
			if !strings.Contains(got, fmt.Sprintf("1.%d.0.manifest", 1+2*round+winner)) {
				t.Fatalf("round %d: what the winner published is not there:\n%s", round, got)
			}
			mustTheseus(t, machines[1-winner], "pull", "--adopt", "--quiet", remote)
		}
	})
}
