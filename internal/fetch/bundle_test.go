package fetch

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/verify"
)

// member is a file of an archive that nobody's tool would write.
type member struct {
	tar.Header
	body string
}

func plainFile(name, body string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

// archived writes members without a look at them.
func archived(tb testing.TB, members ...member) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&m.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, m.body); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// bundleOf is a bundle as the tool writes it; texts are pairs of path and content.
func bundleOf(tb testing.TB, texts ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := NewBundleWriter(&b)
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

// header changes bytes of the first header and mends its checksum.
func header(b []byte, offset int, text string) []byte {
	b = bytes.Clone(b)
	copy(b[offset:], text)
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	return b
}

// hostile are bundles that must be refused, by name, with a part of the sentence that refuses them.
func hostile(tb testing.TB) map[string]struct {
	file []byte
	want string
} {
	tb.Helper()
	type row = struct {
		file []byte
		want string
	}
	good := bundleOf(tb, "stable", "stable", "files/a", strings.Repeat("a", 600))
	special := func(h tar.Header) []byte {
		h.Mode = 0o644
		return archived(tb, plainFile("stable", "stable"), member{h, ""})
	}
	named := func(name string) []byte { return header(good, 0, name+strings.Repeat("\x00", 100-len(name))) }
	size := func(field string) []byte { return header(good, 124, field) }
	pax := plainFile("stable", "stable")
	pax.Format, pax.PAXRecords = tar.FormatPAX, map[string]string{"THESEUS.x": "y"}
	sparse := plainFile("stable", "0\n")
	sparse.Format = tar.FormatPAX
	return map[string]row{
		"an empty file":                {nil, "cut short"},
		"an empty archive":             {archived(tb), "empty"},
		"zeros":                        {make([]byte, 4096), "behind its end"},
		"a page":                       {[]byte("<!doctype html>" + strings.Repeat("<p>Please log in</p>", 100)), "no bundle"},
		"a zip file":                   {append([]byte("PK\x03\x04"), make([]byte, 1020)...), "no bundle"},
		"cut in a file":                {good[:1500], "cut short"},
		"cut between two files":        {good[:1024], "cut short"},
		"cut in a header":              {good[:1024+100], "cut short"},
		"cut before the end":           {good[:len(good)-1024], "cut short"},
		"cut in the end":               {good[:len(good)-512], "cut short"},
		"trailing data":                {append(bytes.Clone(good), "x"...), "behind its end"},
		"a second archive":             {append(bytes.Clone(good), good...), "behind its end"},
		"a damaged header":             {append([]byte("S"), good[1:]...), "no bundle"},
		"a duplicate name":             {archived(tb, plainFile("stable", "1"), plainFile("stable", "2")), "stable twice"},
		"a symbolic link":              {special(tar.Header{Typeflag: tar.TypeSymlink, Name: "beta", Linkname: "/etc/shadow"}), `"beta"`},
		"a hard link":                  {special(tar.Header{Typeflag: tar.TypeLink, Name: "beta", Linkname: "stable"}), `"beta"`},
		"a character device":           {special(tar.Header{Typeflag: tar.TypeChar, Name: "beta", Devmajor: 1, Devminor: 5}), `"beta"`},
		"a block device":               {special(tar.Header{Typeflag: tar.TypeBlock, Name: "beta"}), `"beta"`},
		"a pipe":                       {special(tar.Header{Typeflag: tar.TypeFifo, Name: "beta"}), `"beta"`},
		"a folder":                     {special(tar.Header{Typeflag: tar.TypeDir, Name: "files/"}), `"files/"`},
		"an extended header":           {archived(tb, pax), `"stable"`},
		"a global header":              {archived(tb, member{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, ""}, plainFile("stable", "s")), "plain file"},
		"an old sparse file":           {header(header(archived(tb, plainFile("stable", "")), 156, "S"), 257, "ustar  \x00"), ""},
		"a path that climbs":           {named("../stable"), "not the name"},
		"a path that climbs later":     {named("files/../../stable"), "not the name"},
		"an absolute path":             {named("/etc/passwd"), "not the name"},
		"a drive":                      {named(`C:\stable`), "not the name"},
		"a backslash":                  {named(`..\stable`), "not the name"},
		"a hidden name":                {named(".stable"), "not the name"},
		"no name":                      {named(""), "not the name"},
		"a name with a line feed":      {named("sta\nble"), "not the name"},
		"a size beyond the file":       {size("00000100000\x00"), "cut short"},
		"a size of 8 GiB":              {size("77777777777\x00"), "cut short"},
		"a size of 2^62":               {size("\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00"), "plain file"}, // no size of ustar's
		"a size of 2^63-1":             {size("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), "plain file"},
		"a size of 2^95":               {size("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "no bundle"},
		"a negative size":              {size("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), ""},
		"more files than there may be": {crowd(good[:512], maxBundled+1), "more than"},
		"a million extended headers":   {append(bytes.Repeat(archived(tb, pax)[:1024], 1_000), make([]byte, 1024)...), ""},
		"a long name that is not used": {longName(tb), ""},
	}
}

// crowd has n empty files, each with a header like one.
func crowd(one []byte, n int) []byte {
	empty := header(one, 124, "00000000000")
	var b bytes.Buffer
	for i := range n {
		b.Write(header(empty, 0, fmt.Sprintf("files/%08d", i)))
	}
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

// longName has the GNU form of a name of a megabyte.
func longName(tb testing.TB) []byte {
	m := plainFile("files/"+strings.Repeat("x", 1<<20), "x")
	m.Format = tar.FormatGNU
	return archived(tb, m)
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

func TestP19HostileBundle(t *testing.T) {
	for name, row := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			c := fromBundle(t, row.file)
			var res Result
			var err error
			grown := allocated(func() {
				res, err = c.Document(t.Context(), "stable", 100, nil, func([]byte) error {
					t.Error("something of it was offered for acceptance")
					return nil
				})
			})
			if !errors.As(err, new(*Refusal)) || Unreachable(err) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error is %v, want a refusal with %q", err, row.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n\x00") || len(res.Failed) != 1 {
				t.Errorf("not one sentence: %q, %v", err, res.Failed)
			}
			if grown > 32<<20 {
				t.Errorf("allocated %d bytes for it", grown)
			}
		})
	}
}

func TestBundle(t *testing.T) {
	if index, err := readBundle(bytes.NewReader(crowd(bundleOf(t, "stable", "")[:512], maxBundled)), (maxBundled+2)*512); err != nil || len(index) != maxBundled {
		t.Errorf("as many files as there may be: %d, %v", len(index), err)
	}
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

func TestBundleWriter(t *testing.T) {
	if a, b := bundleOf(t, "stable", "x", "files/a", "y"), bundleOf(t, "stable", "x", "files/a", "y"); !bytes.Equal(a, b) {
		t.Error("the same files give other bytes")
	}
	w := NewBundleWriter(io.Discard)
	add := func(path string, size int64, text string) error { return w.Add(path, size, strings.NewReader(text)) }
	if err := add("stable", 1, "x"); err != nil || !w.Has("stable") || w.Has("beta") {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"twice": add("stable", 1, "x"), "climbs": add("../x", 1, "x"), "short": add("files/a", 3, "xx"), "negative": add("files/b", -1, ""),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever bytes are offered as a bundle: it is refused, or each file lies within it, has a name of its own, and a bundle
// written of the same files is read as the same.
func FuzzBundle(f *testing.F) {
	n := 0
	for _, row := range hostile(f) {
		if len(row.file) < 16<<10 {
			f.Add(row.file)
			n++
		}
	}
	if n < 30 {
		f.Fatalf("%d seeds, expected at least 30", n)
	}
	f.Add(bundleOf(f, "stable", "stable", "trust/1", "t", "releases/1.0.0.manifest", "m", "files/a", strings.Repeat("a", 600)))
	f.Fuzz(func(t *testing.T, b []byte) {
		index, err := readBundle(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if index != nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, %q", index, err)
			}
			return
		}
		var again bytes.Buffer
		w := NewBundleWriter(&again)
		for path, at := range index {
			if validPath(path) != nil || at.offset < 512 || at.size < 0 || at.offset+at.size > int64(len(b))-1024 {
				t.Fatalf("%q: %+v of %d bytes", path, at, len(b))
			}
			if err := w.Add(path, at.size, bytes.NewReader(b[at.offset:][:at.size])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		second, err := readBundle(bytes.NewReader(again.Bytes()), int64(again.Len()))
		if err != nil || len(second) != len(index) || again.Len() != len(b) {
			t.Fatalf("%v: %d files in %d bytes, then %d in %d", err, len(index), len(b), len(second), again.Len())
		}
		for path, at := range second {
			first := index[path]
			if !bytes.Equal(again.Bytes()[at.offset:][:at.size], b[first.offset:][:first.size]) {
				t.Fatalf("%s has other bytes", path)
			}
		}
	})
}
