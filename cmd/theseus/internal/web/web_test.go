package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// served is a folder with one document and one file, and things that are nobody's business.
func served(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = release.FilePath(verify.IDOf([]byte("0123456789")).SHA256, "")
	for name, text := range map[string]string{
		"stable": "first", file: "0123456789",
		".lock": "x", "stable.0123456789abcdef.tmp": "x", "README.md": "x", "files/notes.txt": "x", "releases/1.0.0.bak": "x", "../outside": "x",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, file
}

func TestServe(t *testing.T) {
	dir, file := served(t)
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	ask := func(method, path string, header ...string) *http.Response {
		r := httptest.NewRequest(method, "http://localhost/"+path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	body := func(r *http.Response) string {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}

	t.Run("a document is asked for again each time", func(t *testing.T) {
		r := ask("GET", "stable")
		if got := r.Header.Get("Cache-Control"); r.StatusCode != 200 || body(r) != "first" || got != "no-cache" {
			t.Fatalf("%d, Cache-Control %q", r.StatusCode, got)
		}
		etag := r.Header.Get("ETag")
		if r := ask("GET", "stable", "If-None-Match", etag); r.StatusCode != http.StatusNotModified {
			t.Errorf("same document: %d, want 304", r.StatusCode)
		}
		// Within the same second and of the same length: only what is in it tells the two apart.
		if err := os.WriteFile(filepath.Join(dir, "stable"), []byte("secnd"), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := ask("GET", "stable", "If-None-Match", etag); r.StatusCode != 200 || body(r) != "secnd" {
			t.Errorf("changed document: %d, want 200", r.StatusCode)
		}
	})
	t.Run("a file is kept for ever and can be resumed", func(t *testing.T) {
		r := ask("GET", file)
		if got := r.Header.Get("Cache-Control"); r.StatusCode != 200 || !strings.Contains(got, "immutable") {
			t.Fatalf("%d, Cache-Control %q", r.StatusCode, got)
		}
		etag := r.Header.Get("ETag")
		if r := ask("GET", file, "Range", "bytes=4-", "If-Range", etag); r.StatusCode != 206 || body(r) != "456789" || r.Header.Get("Content-Range") != "bytes 4-9/10" {
			t.Errorf("rest of the same file: %d %q", r.StatusCode, r.Header.Get("Content-Range"))
		}
		if r := ask("GET", file, "Range", "bytes=4-", "If-Range", `"other"`); r.StatusCode != 200 {
			t.Errorf("rest of another file: %d, want all of it", r.StatusCode)
		}
		if r := ask("HEAD", file); r.StatusCode != 200 || r.Header.Get("Content-Length") != "10" || body(r) != "" {
			t.Errorf("HEAD: %d", r.StatusCode)
		}
	})
	t.Run("nothing but the repository", func(t *testing.T) {
		for _, path := range []string{"", ".lock", "stable.0123456789abcdef.tmp", "README.md", "files/", "files", "releases", "files/notes.txt",
			"releases/1.0.0.bak", "releases/../stable", "../outside", "%2e%2e/outside", "files/..%2f..%2foutside", "trust/0", "trust/01", "beta", "stable/"} {
			if r := ask("GET", path); r.StatusCode != 404 {
				t.Errorf("/%s: %d, want 404", path, r.StatusCode)
			}
		}
	})
	t.Run("a link out of the folder is not followed", func(t *testing.T) {
		if err := os.Symlink(filepath.Join(dir, "..", "outside"), filepath.Join(dir, "nightly")); err != nil {
			t.Fatal(err)
		}
		if r := ask("GET", "nightly"); r.StatusCode != 404 {
			t.Errorf("%d, want 404", r.StatusCode)
		}
	})
	t.Run("it only gives", func(t *testing.T) {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			if r := ask(method, "stable"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: %d", method, r.StatusCode)
			}
		}
	})
}
