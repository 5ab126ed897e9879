package bundle_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/bundle"
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
	good := bundleOf(tb)
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
		"an empty archive":             {archived(tb), "no files"},
		"zeros":                        {make([]byte, 4096), "behind its end"},
		"a page":                       {[]byte("<!doctype html>" + strings.Repeat("<p>Please log in</p>", 100)), "no tar archive"},
		"a zip file":                   {append([]byte("PK\x03\x04"), make([]byte, 1020)...), "no tar archive"},
		"cut in a file":                {good[:1500], "cut short"},
		"cut between two files":        {good[:1024], "cut short"},
		"cut in a header":              {good[:1024+100], "cut short"},
		"cut before the end":           {good[:len(good)-1024], "cut short"},
		"cut in the end":               {good[:len(good)-512], "cut short"},
		"trailing data":                {append(bytes.Clone(good), "x"...), "behind its end"},
		"a second archive":             {append(bytes.Clone(good), good...), "behind its end"},
		"a damaged header":             {append([]byte("S"), good[1:]...), "no tar archive"},
		"a duplicate name":             {archived(tb, plainFile("stable", "1"), plainFile("stable", "2")), "stable is in it twice"},
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
		"a size of 2^95":               {size("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "no tar archive"},
		"a negative size":              {size("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), ""},
		"more files than there may be": {crowd(good[:512], bundle.MaxFiles+1), "more than"},
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

func TestP19HostileBundle(t *testing.T) {
	for name, row := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := read(row.file)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, bundle.ErrMalformed) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error is %v, want %q", err, row.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Errorf("not one sentence: %q", err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
				t.Errorf("allocated %d bytes for it", grown)
			}
		})
	}
	if r, err := read(crowd(bundleOf(t)[:512], bundle.MaxFiles)); err != nil || len(r.Names()) != bundle.MaxFiles {
		t.Errorf("as many files as there may be: %v", err)
	}
}

// Whatever bytes are offered as a bundle: they are refused, or each file lies within them, has a name of its own, and a
// bundle written of the same files is read as the same.
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
	f.Add(bundleOf(f))
	f.Add(made(f, "stable", "trust/1", "releases/1.0.0.manifest", "files/a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := read(b)
		if err != nil {
			if !errors.Is(err, bundle.ErrMalformed) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		content := func(r *bundle.Reader, name string) []byte {
			p, err := r.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(p)
			if err != nil || int64(len(all)) != p.Size() {
				t.Fatalf("%s: %d of %d bytes, %v", name, len(all), p.Size(), err)
			}
			return all
		}
		var out bytes.Buffer
		w := bundle.NewWriter(&out)
		for _, name := range r.Names() {
			all := content(r, name)
			if err := w.Add(name, int64(len(all)), bytes.NewReader(all)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := read(out.Bytes())
		if err != nil || out.Len() != len(b) {
			t.Fatalf("%v: %d bytes, then %d", err, len(b), out.Len())
		}
		for _, name := range r.Names() {
			if !bytes.Equal(content(r, name), content(again, name)) {
				t.Fatalf("%s has other bytes", name)
			}
		}
	})
}

// bundleOf is a good bundle of two files.
func bundleOf(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := bundle.NewWriter(&b)
	for _, f := range [][2]string{{"stable", "stable"}, {"files/a", strings.Repeat("a", 600)}} {
		if err := w.Add(f[0], int64(len(f[1])), strings.NewReader(f[1])); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
