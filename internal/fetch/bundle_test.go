package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/verify"
)

// bundleOf is a bundle as the tool writes it; texts are pairs of path and content.
func bundleOf(tb testing.TB, texts ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := bundle.NewWriter(&b)
	for i := 0; i+1 < len(texts); i += 2 {
		if err := w.Add(texts[i], int64(len(texts[i+1])), strings.NewReader(texts[i+1])); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// fromBundle is a client whose only source is a bundle with these bytes.
func fromBundle(tb testing.TB, file []byte) *Client {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "hello.bundle")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		tb.Fatal(err)
	}
	source, err := FileURL(path)
	if err != nil {
		tb.Fatal(err)
	}
	return &Client{Sources: []string{source}}
}

// What a hostile bundle looks like is the business of package bundle; here it is a source that is refused.
func TestP19HostileBundle(t *testing.T) {
	good := bundleOf(t, "stable", "stable", "files/a", strings.Repeat("a", 600))
	climbs := bytes.Replace(good, []byte("stable\x00"), []byte("../x\n/\x00"), 1)
	for name, row := range map[string]struct {
		file []byte
		want string
	}{
		"empty":          {nil, "cut short"},
		"cut short":      {good[:len(good)-1024], "cut short"},
		"no bundle":      {bytes.Repeat([]byte("<p>Please log in</p>"), 100), "no tar archive"},
		"a hostile name": {climbs, ""},
	} {
		c := fromBundle(t, row.file)
		res, err := c.Document(t.Context(), "stable", 100, nil, func([]byte) error {
			t.Errorf("%s: something of it was offered for acceptance", name)
			return nil
		})
		if !errors.As(err, new(*Refusal)) || !errors.Is(err, verify.ErrMalformed) || !errors.Is(err, bundle.ErrMalformed) || Unreachable(err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error is %v, want a refusal with %q", name, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") || len(res.Failed) != 1 {
			t.Errorf("%s: not one sentence: %q, %v", name, err, res.Failed)
		}
	}
}

func TestBundle(t *testing.T) {
	body := string(randomBytes(100_000))
	c := fromBundle(t, bundleOf(t, "stable", "stable", "trust/1", "", "files/a", body, "files/b", "x"))
	for range 2 {
		res, err := c.Document(t.Context(), "stable", 100, nil, want("stable"))
		if err != nil || res.Source != c.Sources[0] || res.Validator != (Validator{}) {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	if _, err := c.Document(t.Context(), "trust/1", 100, nil, want("")); err != nil {
		t.Error(err)
	}
	if _, err := c.Document(t.Context(), "files/a", 100, nil, want("")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("A08 endless data: error is %v", err)
	}
	if _, err := c.Document(t.Context(), "beta", 100, nil, want("")); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "does not hold it") {
		t.Errorf("error is %v", err)
	}
	for _, left := range []string{"", body[:77], body, "other"} {
		dst := target(t, []byte(left))
		if _, err := c.File(t.Context(), "files/a", verify.IDOf([]byte(body)), dst, nil); err != nil {
			t.Error(err)
		}
		if string(content(t, dst)) != body {
			t.Errorf("after %d bytes from before: not the file", len(left))
		}
	}
	for name, left := range map[string]string{"longer": "x", "other": ""} {
		if _, err := c.File(t.Context(), "files/b", verify.IDOf([]byte("yy")), target(t, []byte(left)), nil); !errors.As(err, new(*Refusal)) {
			t.Errorf("A02 artifact swapped, %s: error is %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.File(ctx, "files/a", verify.IDOf([]byte(body)), target(t, nil), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// A bundle may come and go, be mended and replaced while a program runs that has it as its source.
func TestBundleIsReplaced(t *testing.T) {
	c := fromBundle(t, bundleOf(t, "stable", "one"))
	path := filepath.FromSlash(strings.TrimPrefix(c.Sources[0], "file://"))
	get := func(text string) error {
		_, err := c.Document(t.Context(), "stable", 100, nil, want(text))
		return err
	}
	if err := get("one"); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"two", "six", "twelve"} {
		next := path + ".next"
		if err := os.WriteFile(next, bundleOf(t, "files/first", strings.Repeat("-", i), "stable", text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(next, time.Time{}, time.Unix(1795251600, 0)); err != nil { // of one size and one date, all of them
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		if err := get(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, good[:700], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := get("twelve"); !errors.As(err, new(*Refusal)) {
		t.Errorf("half a bundle: %v", err)
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := get("twelve"); err != nil {
		t.Errorf("mended: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := get("twelve"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no such folder or bundle") {
		t.Errorf("removed: %v", err)
	}
}

// A folder and a bundle say what they have, a server does not: whoever reads a repository needs no second way in.
func TestListAndBase(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "releases"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stable", "beta"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base, err := Base(dir)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := (&Client{Sources: []string{base}}).List(); err != nil || strings.Join(names, " ") != "beta stable" {
		t.Errorf("folder: %q, %v", names, err)
	}
	if names, err := fromBundle(t, bundleOf(t, "stable", "s", "files/a", "a")).List(); err != nil || strings.Join(names, " ") != "files/a stable" {
		t.Errorf("bundle: %q, %v", names, err)
	}
	if _, err := fromBundle(t, []byte("<html>")).List(); !errors.Is(err, verify.ErrMalformed) {
		t.Errorf("no bundle: %v", err)
	}
	if _, err := (&Client{Sources: []string{base + "/nothing"}}).List(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	if base, err := Base("https://dl.example.com/hello"); err != nil || base != "https://dl.example.com/hello" {
		t.Errorf("%s, %v", base, err)
	}
	if _, err := (&Client{Sources: []string{"https://dl.example.com/hello"}}).List(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("server: %v", err)
	}
}

// What a server chooses reaches errors as text only.
func TestR04HeadersInErrors(t *testing.T) {
	const bad = "\xff\x1b[31m\u202e\u2066x\tgzip"
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/encoded":
			w.Header()["Content-Encoding"] = []string{bad}
		case "/away":
			w.Header()["Location"] = []string{"gopher://\xff\u202e"}
			w.WriteHeader(http.StatusFound)
		case "/later":
			w.Header()["Retry-After"] = []string{bad}
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := &Client{Sources: []string{url}}
	for _, path := range []string{"encoded", "away", "later"} {
		res, err := c.Document(t.Context(), path, 100, nil, want("something else"))
		if err == nil || len(res.Failed) != 1 {
			t.Fatalf("%s: %v, %+v", path, err, res)
		}
		if a := res.Failed[0]; a.Error != text.Of(a.Err.Error()) || !strings.Contains(err.Error(), a.Error.String()) {
			t.Errorf("%s: %q and %q, for %v", path, err, a.Error, a.Err)
		}
		for _, s := range []string{err.Error(), res.Failed[0].Error.String()} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q", path, s)
			}
		}
	}
}
