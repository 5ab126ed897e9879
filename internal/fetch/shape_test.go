package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/verify"
)

// A shape is a way in which a repository can be served. Every one passes the suite below, and a new one is a row here.
type shape struct {
	name string
	// serve makes a client of a repository that has one release, 1.2.0, with these objects.
	serve func(t *testing.T, objects map[string]string) *Client
}

var shapes = []shape{
	{"file", func(t *testing.T, objects map[string]string) *Client {
		dir := t.TempDir()
		for path, text := range objects {
			at := filepath.Join(dir, filepath.FromSlash(path))
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		source, err := FileURL(dir)
		if err != nil {
			t.Fatal(err)
		}
		return &Client{Sources: []string{source}}
	}},
	{"http", func(t *testing.T, objects map[string]string) *Client {
		return &Client{Sources: []string{shaped(t, func(path string) (string, int) { return found(objects, path, http.StatusNotFound) })}}
	}},
	// A bucket says "forbidden" of what is not there to whoever may not list it, and opens to a signed query.
	{"s3", func(t *testing.T, objects map[string]string) *Client {
		base := shaped(t, func(path string) (string, int) { return found(objects, path, http.StatusForbidden) })
		private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, status := found(objects, "files/"+strings.TrimPrefix(r.URL.Path, "/private/"), http.StatusForbidden)
			if r.URL.Query().Get("sig") != "s3cret" {
				status = http.StatusForbidden
			}
			serveText(w, r, text, status)
		}))
		t.Cleanup(private.Close)
		return &Client{Sources: []string{base}, Files: private.URL + "/private/{name}?sig=s3cret"}
	}},
	// Documents on a branch, files with their release, behind a redirect to another host.
	{"github", func(t *testing.T, objects map[string]string) *Client {
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, status := found(objects, "files/"+r.URL.Query().Get("name"), http.StatusNotFound)
			serveText(w, r, text, status)
		}))
		t.Cleanup(store.Close)
		releases := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, ok := strings.CutPrefix(r.URL.Path, "/acme/hello/releases/download/v1.2.0/")
			if !ok { // of another release, or of a draft
				http.NotFound(w, r)
				return
			}
			http.Redirect(w, r, store.URL+"/?sig=s3cret&name="+name, http.StatusFound)
		}))
		t.Cleanup(releases.Close)
		branch := shaped(t, func(path string) (string, int) {
			if strings.HasPrefix(path, "files/") {
				return "", http.StatusNotFound
			}
			return found(objects, path, http.StatusNotFound)
		})
		return &Client{Sources: []string{branch}, Files: releases.URL + "/acme/hello/releases/download/v{version}/{name}"}
	}},
}

func found(objects map[string]string, path string, missing int) (string, int) {
	if text, ok := objects[path]; ok {
		return text, http.StatusOK
	}
	return "", missing
}

func serveText(w http.ResponseWriter, r *http.Request, text string, status int) {
	if status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", verify.IDOf([]byte(text)).SHA256))
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}

func shaped(t *testing.T, look func(path string) (string, int)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, status := look(strings.TrimPrefix(r.URL.Path, "/"))
		serveText(w, r, text, status)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestShapes(t *testing.T) {
	file := strings.Repeat("the program ", 20_000)
	id := verify.IDOf([]byte(file))
	wrong := verify.IDOf([]byte(strings.Repeat("another one ", 20_000)))
	objects := map[string]string{
		"stable": "a channel", "trust/1": "a trust document", "releases/1.2.0.manifest": "a manifest",
		"files/" + id.SHA256.String() + ".zst": file,
		"files/" + wrong.SHA256.String():       file,
	}
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			c := s.serve(t, objects)
			for _, name := range []string{"stable", "trust/1", "releases/1.2.0.manifest"} {
				if _, err := c.Document(t.Context(), name, 100, nil, func(b []byte) error {
					if string(b) != objects[name] {
						t.Errorf("%s: %q", name, b)
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
			absent := func(err error) bool {
				status := (*StatusError)(nil)
				return errors.Is(err, ErrNotFound) || errors.As(err, &status) && status.Code == http.StatusForbidden
			}
			if _, err := c.Document(t.Context(), "trust/2", 100, nil, func([]byte) error { return nil }); !absent(err) {
				t.Errorf("a document that is not there: %v", err)
			}
			path := "files/" + id.SHA256.String() + ".zst"
			for what, had := range map[string]string{"whole": "", "resumed": file[:100_000], "resumed from other bytes": strings.Repeat("x", 100)} {
				dst := target(t, []byte(had))
				res, err := c.ReleaseFile(t.Context(), "1.2.0", path, id, dst, nil)
				got, readErr := os.ReadFile(dst.Name())
				if err != nil || readErr != nil || string(got) != file {
					t.Errorf("%s: %d bytes, %v, %v", what, len(got), err, readErr)
				}
				if strings.Contains(res.Source, "s3cret") {
					t.Errorf("the result names a secret: %s", res.Source)
				}
			}
			_, err := c.ReleaseFile(t.Context(), "1.2.0", "files/"+wrong.SHA256.String(), wrong, target(t, nil), nil)
			if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a file that is not the signed one: %v", err)
			}
			_, err = c.ReleaseFile(t.Context(), "1.2.0", "files/"+verify.IDOf(nil).SHA256.String(), id, target(t, nil), nil)
			if !absent(err) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a file that is not there: %v", err)
			}
		})
	}
}

// Mirrors have their files below them, and serve when the place of the files does not.
func TestFilesFallBackToMirrors(t *testing.T) {
	file := "the program"
	id := verify.IDOf([]byte(file))
	path := "files/" + id.SHA256.String()
	mirror := shaped(t, func(p string) (string, int) { return found(map[string]string{path: file}, p, http.StatusNotFound) })
	gone := shaped(t, func(string) (string, int) { return "", http.StatusNotFound })
	c := &Client{Sources: []string{gone, mirror}, Files: gone + "/v{version}/{name}"}
	dst := target(t, nil)
	if res, err := c.ReleaseFile(t.Context(), "1.2.0", path, id, dst, nil); err != nil || res.Source != mirror || len(res.Failed) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestCheckFiles(t *testing.T) {
	for files, want := range map[string]string{
		"https://dl.example.com/v{version}/{name}":  "",
		"https://dl.example.com/{name}?sig=hunter2": "",
		"https://dl.example.com/v{version}":         "names no {name}",
		"https://dl.example.com/{channel}/{name}":   "nothing else",
		"http://dl.example.com/{name}?sig=hunter2":  "use https",
		"https://bob:hunter2@dl.example.com/{name}": "user name",
		"file:///srv/{name}":                        "name the folder as the source",
		"https://dl.example.com/{name}#hunter2":     "fragment",
		"https://%zzhunter2/{name}":                 "not a URL",
		"ftp://dl.example.com/{name}":               `"ftp"`,
		"dl.example.com/{name}":                     "no scheme",
	} {
		err := (&Client{Sources: []string{"https://dl.example.com"}, Files: files}).Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", files, err, want)
		}
	}
}
