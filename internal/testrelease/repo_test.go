package testrelease

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// get fetches a path of the repository; headers are pairs of name and value.
func get(t *testing.T, r *Repo, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.URL()+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // a hook may break it off
	return resp, b
}

// What is published can be walked as a client walks it, over HTTP.
func TestPublish(t *testing.T) {
	r := New(t)
	r.Publish("1.0.0", []byte("one"))
	r.Publish("1.1.0", []byte("eleven"), Zstd(), Also("plan9/386", []byte("nine")), Manifest(func(m *release.Manifest) { m.Notes = "faster" }))

	_, b := get(t, r, "stable")
	c, err := release.OpenChannel(b, r.Keys(), "hello", "stable")
	if err != nil {
		t.Fatal(err)
	}
	if c.Sequence != 2 || len(c.Entries) != 2 || c.Entries[0].Version.String() != "1.1.0" {
		t.Fatalf("%+v", c)
	}
	_, b = get(t, r, release.ManifestPath(c.Entries[0].Version))
	m, err := release.OpenManifest(b, r.Keys(), "hello", c.Entries[0])
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Artifact(Host())
	if err != nil || m.Notes != "faster" || len(m.Artifacts) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	_, b = get(t, r, a.Downloads[0].Path())
	if verify.IDOf(b) != a.Downloads[0].Stored {
		t.Fatalf("%q is not what the manifest names", b)
	}
	d, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if b, err = io.ReadAll(d); err != nil || string(b) != "eleven" {
		t.Fatalf("%q, %v", b, err)
	}
	if n := r.Requested("files/"); n != 1 {
		t.Errorf("%d requests for artifacts", n)
	}
	if r.FilePath("1.0.0") != release.FilePath(verify.IDOf([]byte("one")).SHA256, "") {
		t.Error(r.FilePath("1.0.0"))
	}
}

func TestConditionalAndPartialRequests(t *testing.T) {
	r := New(t)
	r.Publish("1.0.0", []byte("0123456789"))
	resp, _ := get(t, r, "stable")
	tag := resp.Header.Get("ETag")
	if resp, _ = get(t, r, "stable", "If-None-Match", tag); tag == "" || resp.StatusCode != http.StatusNotModified {
		t.Errorf("%q: %d", tag, resp.StatusCode)
	}
	r.Resign(nil)
	if resp, _ = get(t, r, "stable", "If-None-Match", tag); resp.StatusCode != http.StatusOK {
		t.Errorf("changed: %d", resp.StatusCode)
	}
	if resp, b := get(t, r, r.FilePath("1.0.0"), "Range", "bytes=7-"); resp.StatusCode != http.StatusPartialContent || string(b) != "789" {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
	if resp, b := get(t, r, r.FilePath("1.0.0"), "Range", "bytes=7-", "If-Range", `"other"`); resp.StatusCode != http.StatusOK || len(b) != 10 {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
	if resp, _ = get(t, r, "none"); resp.StatusCode != http.StatusNotFound {
		t.Error(resp.StatusCode)
	}
	q := r.Requests()
	if last := q[len(q)-1]; last.String() != "GET none -> 404" {
		t.Error(last)
	}
	if r.Forget(); len(r.Requests()) != 0 {
		t.Error("not forgotten")
	}
}

func TestHooks(t *testing.T) {
	r := New(t)
	r.Publish("1.0.0", []byte("0123456789"))
	path := r.FilePath("1.0.0")
	for _, row := range []struct {
		name   string
		hook   Hook
		status int
		body   string
	}{
		{"bytes", Bytes(Flip([]byte("0123456789"), -1)), 200, "0123456788"},
		{"status", Status(503, "Retry-After", "7"), 503, ""},
		{"short", Short(4), 200, "0123"},
		{"honest", func(w http.ResponseWriter, r *http.Request, honest http.Handler) { honest.ServeHTTP(w, r) }, 200, "0123456789"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r.Hook(path, row.hook)
			resp, b := get(t, r, path)
			if resp.StatusCode != row.status || string(b) != row.body {
				t.Errorf("%d %q", resp.StatusCode, b)
			}
		})
	}
	r.Hook(path, nil)
	r.Hook("*", Page())
	if _, b := get(t, r, "stable"); !bytes.HasPrefix(b, []byte("<!doctype")) {
		t.Errorf("%q", b)
	}
	r.Hook("*", Redirect(r.URL()+"/"+path))
	r.Hook(path, Bytes([]byte("there")))
	if _, b := get(t, r, "stable"); string(b) != "there" {
		t.Errorf("%q", b)
	}

	r.Hook("stable", Endless())
	resp, err := http.Get(r.URL() + "/stable")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, resp.Body, 8<<20); err != nil || resp.ContentLength >= 0 {
		t.Errorf("%d bytes, %v; length %d", n, err, resp.ContentLength)
	}
	resp.Body.Close()

	r.Hook("stable", r.Stall(3))
	if resp, err = http.Get(r.URL() + "/stable"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "the" {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
}

func TestTrust(t *testing.T) {
	r := New(t)
	next := NewKey(t, "next")
	r.Trust(verify.TrustDraft{Version: 1, Channel: Role(2, next, r.ChannelKeys[0])}, r.ReleaseKeys...)
	bare, err := verify.ParseTrust(r.Key())
	if err != nil {
		t.Fatal(err)
	}
	one, err := bare.Next(r.Get("trust/1"), r.App)
	if err != nil {
		t.Fatal(err)
	}
	r.Publish("1.0.0", []byte("x"))
	if _, err := release.OpenChannel(r.Get("stable"), one.Channel, r.App, r.Name); err == nil {
		t.Error("one of two is enough")
	}
	r.ChannelKeys = append(r.ChannelKeys, next)
	r.Resign(nil)
	if c, err := release.OpenChannel(r.Get("stable"), one.Channel, r.App, r.Name); err != nil || len(c.Signers) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWriteTo(t *testing.T) {
	r, dir := New(t), t.TempDir()
	e := r.Publish("1.0.0", []byte("x"), Unlisted(), Both(), On("linux/arm64/v8"))
	if r.Channel != nil || e.Version.String() != "1.0.0" {
		t.Error("listed")
	}
	r.Remove(r.Files()[0])
	r.WriteTo(dir)
	var n int
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if n != 2 || len(r.Files()) != 2 {
		t.Errorf("%d files of %v", n, r.Files())
	}
}

// The same name gives the same key, and the secret half is a key file that the real reader takes.
func TestKey(t *testing.T) {
	a, b, c := NewKey(t, "a"), NewKey(t, "a"), NewKeyWithID(t, "a", 7)
	if a.String() != b.String() || a.Key() == c.Key() || !a.Key().Equal(c.Key()) || c.Key().ID() != "0000000000000007" {
		t.Error(a, b, c)
	}
	private, err := verify.ParsePrivateKey(string(a.File()))
	if err != nil || private.Public() != a.Key() {
		t.Error(private, err)
	}
	if _, err := verify.Open(append([]byte("theseus/channel/v1\n{}\n\n"), a.SignLegacy([]byte("theseus/channel/v1\n{}\n"))...), verify.TypeChannel, New(t).Keys()); err == nil {
		t.Error("a legacy signature is taken")
	}
}
