package fetch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/verify"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		source string
		http   bool   // AllowHTTP
		err    string // part of it; "" if it is good
	}{
		{source: "https://dl.example.com/hello"},
		{source: "https://dl.example.com/hello/"},
		{source: "https://dl.example.com:8443"},
		{source: "http://127.0.0.1:8080/hello"},
		{source: "http://127.7.7.7"},
		{source: "http://[::1]:8080"},
		{source: "http://[::ffff:127.0.0.1]"},
		{source: "http://localhost:8080"},
		{source: "http://dl.example.com", http: true},
		{source: "file:///srv/hello"},
		{source: "file://localhost/srv/hello"},
		{source: "http://dl.example.com", err: "use https"},
		{source: "http://10.0.0.1", err: "use https"},
		{source: "http://localhost.example.com", err: "use https"},
		{source: "http://127.0.0.1.example.com", err: "use https"},
		{source: "https://bob:hunter2@dl.example.com", err: "user name"},
		{source: "https://hunter2@dl.example.com", err: "user name"},
		{source: "https://dl.example.com/%zzhunter2", err: "not a URL"},
		{source: "https://dl.example.com/?token=hunter2", err: "query"},
		{source: "https://dl.example.com/?", err: "query"},
		{source: "https://dl.example.com/#hunter2", err: "query"},
		{source: "https://dl.example.com/#", err: "query"},
		{source: "https://", err: "no host"},
		{source: "https://:443", err: "no host"},
		{source: "https://dl.example.com:0", err: "port"},
		{source: "https://dl.example.com:66000", err: "port"},
		{source: "ftp://dl.example.com", err: `"ftp"`},
		{source: "dl.example.com/hello", err: "no scheme"},
		{source: "/srv/hello", err: "file:///srv/hello"},
		{source: "./hello", err: "file:///"},
		{source: "C:/hello", err: "no scheme"},
		{source: "file://srv/hello", err: "file:///srv/"},
		{source: "file:srv/hello", err: "absolute"},
		{source: "//dl.example.com/hello", err: "no scheme"},
		{source: "", err: "no scheme"},
	} {
		c := &Client{Sources: []string{test.source}, AllowHTTP: test.http}
		err := c.Check()
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("P10 %s: error is %v, want %q", test.source, err, test.err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("P10 %s: the error repeats a secret: %v", test.source, err)
		}
		if test.err == "use https" && !errors.Is(err, ErrInsecure) {
			t.Errorf("N05 %s: error is %v", test.source, err)
		}
	}
	if err := (&Client{}).Check(); err == nil {
		t.Error("no source is no error")
	}
	if err := (&Client{Sources: []string{"https://dl.example.com"}, Stall: -time.Second}).Check(); err == nil {
		t.Error("a negative stall window is no error")
	}
}

func TestP09Path(t *testing.T) {
	c := &Client{Sources: []string{"file://" + filepath.ToSlash(t.TempDir())}}
	for _, path := range []string{"", ".", "..", "../stable", "/stable", "a//b", "a/../b", "a/", `a\b`, "a%2e", "a?b", "a#b", "a:b", "a b", "a\x00", ".theseus", "é"} {
		if _, err := c.Document(t.Context(), path, 1, nil, nil); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("P09 %q: error is %v", path, err)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "repo", "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"secret": "outside", "repo/stable": "stable", "repo/files/a": "0123456789"} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"inside": "stable", "outside": "../secret", "absolute": filepath.Join(dir, "secret")} {
		if err := os.Symlink(to, filepath.Join(dir, "repo", name)); err != nil {
			t.Fatal(err)
		}
	}
	c := &Client{Sources: []string{"file://" + filepath.ToSlash(filepath.Join(dir, "repo")) + "/"}}
	get := func(path string) (Result, error) {
		return c.Document(t.Context(), path, 100, nil, want("stable"))
	}
	for _, path := range []string{"stable", "inside"} {
		if res, err := get(path); err != nil || res.Validator != (Validator{}) || res.Source == "" {
			t.Errorf("%s: %+v, %v", path, res, err)
		}
	}
	for _, path := range []string{"outside", "absolute", "files"} {
		if _, err := get(path); err == nil || errors.As(err, new(*Refusal)) {
			t.Errorf("%s: error is %v", path, err)
		}
	}
	if _, err := get("beta"); !errors.Is(err, ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	dst := target(t, []byte("01234"))
	if _, err := c.File(t.Context(), "files/a", verify.IDOf([]byte("0123456789")), dst, nil); err != nil {
		t.Error(err)
	}
	if got := string(content(t, dst)); got != "0123456789" {
		t.Errorf("content is %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.File(ctx, "files/a", verify.IDOf([]byte("x")), target(t, nil), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
