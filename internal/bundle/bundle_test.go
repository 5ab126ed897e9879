package bundle_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/bundle"
)

func made(tb testing.TB, names ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := bundle.NewWriter(&b)
	for _, n := range names {
		text := "this is " + n
		if err := w.Add(n, int64(len(text)), strings.NewReader(text)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (*bundle.Reader, error) {
	return bundle.NewReader(bytes.NewReader(b), int64(len(b)))
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, made(t, "stable"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(path); !errors.Is(err, bundle.ErrMalformed) || !strings.Contains(err.Error(), path) {
		t.Errorf("a truncated file: %v", err)
	}
	if _, err := bundle.Open(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	names := []string{"stable", "trust/1", "releases/1.0.0-RC.1.manifest", "files/" + strings.Repeat("a", 64) + ".zst"}
	b := made(t, names...)
	if !bytes.Equal(b, made(t, names...)) {
		t.Error("the same content makes another bundle")
	}
	r, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(names); !slices.Equal(r.Names(), names) {
		t.Errorf("names %q", r.Names())
	}
	for _, n := range names {
		f, err := r.Open(n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != "this is "+n {
			t.Errorf("%s: %q, %v", n, got, err)
		}
	}
	if _, err := r.Open("beta"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	w := bundle.NewWriter(io.Discard)
	if err := w.Add("../x", 1, strings.NewReader("x")); err == nil {
		t.Error("took a name that leaves the folder")
	}
	if err := w.Add("stable", 10, strings.NewReader("x")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is too short: %v", err)
	}
}

// archive makes a tar that Writer would not.
func archive(tb testing.TB, headers ...*tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// P19: links, devices, traversal and duplicates; and what a copy that broke off looks like.
func TestP19HostileArchives(t *testing.T) {
	many := make([]*tar.Header, bundle.MaxFiles+1)
	for i := range many {
		many[i] = &tar.Header{Name: fmt.Sprintf("files/%d", i)}
	}
	whole := made(t, "stable", "trust/1")
	for name, b := range map[string][]byte{
		"empty":              {},
		"no tar":             []byte("<!DOCTYPE html><html>" + strings.Repeat(" ", 1000)),
		"tar without files":  archive(t),
		"cut in a header":    whole[:300],
		"cut in a file":      whole[:515],
		"too many files":     archive(t, many...),
		"symbolic link":      archive(t, &tar.Header{Name: "stable", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"hard link":          archive(t, &tar.Header{Name: "stable", Typeflag: tar.TypeLink, Linkname: "x"}),
		"device":             archive(t, &tar.Header{Name: "stable", Typeflag: tar.TypeBlock}),
		"folder":             archive(t, &tar.Header{Name: "files/", Typeflag: tar.TypeDir}),
		"extended header":    archive(t, &tar.Header{Name: "stable", PAXRecords: map[string]string{"X.y": "z"}}),
		"sparse or GNU":      archive(t, &tar.Header{Name: "stable", Format: tar.FormatGNU}),
		"traversal":          archive(t, &tar.Header{Name: "../stable"}),
		"absolute":           archive(t, &tar.Header{Name: "/stable"}),
		"backslash":          archive(t, &tar.Header{Name: `files\x`}),
		"hidden":             archive(t, &tar.Header{Name: ".stable"}),
		"empty element":      archive(t, &tar.Header{Name: "files//x"}),
		"too deep":           archive(t, &tar.Header{Name: "files/x/y"}),
		"control characters": archive(t, &tar.Header{Name: "sta\x1bble"}),
		"twice":              archive(t, &tar.Header{Name: "stable"}, &tar.Header{Name: "stable"}),
		"twice but for case": archive(t, &tar.Header{Name: "stable"}, &tar.Header{Name: "STABLE"}),
	} {
		if _, err := read(b); !errors.Is(err, bundle.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
