package testattack

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// reset ends the connection instead of answering.
func reset(w http.ResponseWriter, _ *http.Request, _ http.Handler) { panic(http.ErrAbortHandler) }

// zipped compresses the answer although nobody asked for it.
func zipped(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	rec := httptest.NewRecorder()
	honest.ServeHTTP(rec, r)
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	z.Write(rec.Body.Bytes())
	z.Close()
}

// lies breaks off, and then answers the request for the rest with bytes from elsewhere.
func lies(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	from := r.Header.Get("Range")
	if from == "" {
		testrelease.Short(7)(w, r, honest)
		return
	}
	r.Header.Del("If-Range")
	r.Header.Set("Range", "bytes=3-22")
	rec := httptest.NewRecorder()
	honest.ServeHTTP(rec, r)
	w.Header().Set("Content-Range", strings.Replace(rec.Header().Get("Content-Range"), "bytes 3-22", "bytes 7-26", 1))
	w.WriteHeader(http.StatusPartialContent)
	w.Write(rec.Body.Bytes())
}

// transport are attacks on the way.
var transport = []Attack{
	{Name: "N03 redirect loop", Code: 5, Silent: true, Want: "redirects", do: func(_ *testing.T, repo *testrelease.Repo) {
		repo.Hook("stable", testrelease.Redirect(repo.URL()+"/stable"))
	}},
	{Name: "N03 redirect to a file", Code: 5, Silent: true, Want: "file", do: hooked(theChannel, testrelease.Redirect("file:///etc/passwd"))},
	{Name: "N02 redirect to plain http elsewhere", Code: 5, Silent: true, Want: "plain http", do: hooked(theChannel, testrelease.Redirect("http://dl.example.com/stable"))},
	{Name: "N06 429 and Retry-After", Code: 5, Silent: true, Want: "wait", do: hooked(theChannel, testrelease.Status(429, "Retry-After", "30"))},
	{Name: "N06 the connection is reset", Code: 5, Silent: true, Want: "closed", do: hooked(theChannel, reset)},
	{Name: "N06 the connection of the manifest is reset", Code: 5, Accepts: true, Silent: true, Want: "closed", do: hooked(theManifest, reset)},
	{Name: "N07 range lies", Code: 4, Accepts: true, Want: "SHA-256", do: hooked(theFile, lies)},
	{Name: "N08 Content-Encoding: channel", Code: 4, Silent: true, Want: "Content-Encoding", do: hooked(theChannel, zipped)},
	{Name: "N08 Content-Encoding: artifact", Code: 4, Accepts: true, Want: "Content-Encoding", do: hooked(theFile, zipped)},
	{Name: "N10 304 for nothing", Code: 5, Silent: true, Want: "304", on: func(t *testing.T, w World) {
		repo := w.Repo
		if err := os.RemoveAll(w.Home); err != nil {
			t.Fatal(err)
		}
		repo.Hook("stable", testrelease.Status(http.StatusNotModified))
	}},
	{Name: "P18 decompression bomb", Is: fetch.ErrSize, Code: 4, Accepts: true, Want: "unpacks to more", do: func(_ *testing.T, repo *testrelease.Repo) { Bomb(repo) }},
}

// Bomb publishes 1.2.0 as a megabyte that unpacks to ten gigabytes.
func Bomb(repo *testrelease.Repo) {
	frame := testrelease.Compress(make([]byte, 64<<20))
	stored := repo.Store(release.Zstd, bytes.Repeat(frame, 160))
	repo.Publish("1.2.0", Program("1.2.0"), testrelease.Zstd(), testrelease.Manifest(func(m *release.Manifest) {
		m.Artifacts[0].Downloads = []release.Download{stored}
	}))
}
