package program

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

func TestReadThisProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(f, info.Size())
	if err != nil || !p.RunsOn(runtime.GOOS) || len(p.Builds) != 1 || p.Builds[0].OS != runtime.GOOS || p.Builds[0].Arch != runtime.GOARCH {
		t.Errorf("%+v, %v", p, err)
	}
	if p.RunsOn("windows") && p.RunsOn("linux") {
		t.Errorf("%s runs everywhere", p)
	}
}

func TestReadOtherThings(t *testing.T) {
	for want, head := range map[string]string{
		"a gzip archive": "\x1f\x8b\x08", "a zip archive": "PK\x03\x04", "a text": "größer\n", "a tar archive": strings.Repeat("\x00", 257) + "ustar",
		"a script": "#!/bin/sh\n", "no program of a kind that is known": "\x00\x01\x02", "a program in the format WebAssembly": "\x00asm\x01\x00\x00\x00",
	} {
		p, err := Read(strings.NewReader(head), int64(len(head)))
		if err != nil || p.String() != want {
			t.Errorf("%q is %v, %v; want %s", head, p, err, want)
		}
		if p.RunsOn("plan9") != (p.Other == "") {
			t.Errorf("%s on a system of which nothing is known", want)
		}
	}
}

// A header may say anything: it is never believed beyond the end of the file.
func FuzzRead(f *testing.F) {
	for _, head := range []string{"\x7fELF\x02\x01\x01", "MZ", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe\x00\x00\x00\x02", "#!", ""} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Read(bytes.NewReader(b), int64(len(b))); err == nil && p == nil {
			t.Error("neither a program nor an error")
		}
	})
}

func TestLevelFits(t *testing.T) {
	for _, row := range []struct {
		setting, value, arch, variant string
		fits                          bool
	}{
		{"GOAMD64", "v1", "amd64", "", true},
		{"GOAMD64", "v3", "amd64", "", false},
		{"GOAMD64", "v3", "amd64", "v3", true},
		{"GOAMD64", "v1", "amd64", "v3", false},
		{"GOAMD64", "v3", "amd64", "musl", true}, // nothing is known of it
		{"GOARM", "7", "arm", "", true},
		{"GOARM", "7,softfloat", "arm", "v7", true},
		{"GOARM", "6", "arm", "armv6", true},
		{"GOARM", "7", "arm", "armv6", false},
		{"GOARM", "7", "arm", "6", false},
		{"GOMIPS", "softfloat", "mips", "", true},
		{"GOMIPS", "softfloat", "mipsle", "hardfloat", false},
		{"GOMIPS", "hardfloat", "mips", "softfloat", false},
		{"GOARM64", "v8.0", "arm64", "", true},
		{"GOARM64", "v8.2,lse", "arm64", "", false},
		{"GO386", "sse2", "386", "", true},
		{"GORISCV64", "rva22u64", "riscv64", "rva22u64", true},
		{"GOAMD64", "v9", "amd64", "", true}, // of a Go that is newer than this tool
		{"", "", "amd64", "v3", true},        // no Go program
	} {
		l := Level{row.setting, row.value}
		if why := l.Fits(row.arch, row.variant); (why == "") != row.fits {
			t.Errorf("%s for %s/%s: %q", l, row.arch, row.variant, why)
		}
	}
}

func TestSays(t *testing.T) {
	testenv.NeedOS(t, "linux", "darwin", "freebsd")
	t.Setenv("SIGNING_KEY", "secret")
	for _, row := range []struct{ name, script, wrong string }{
		{"bare", "echo 1.2.0", ""},
		{"with a v", "echo v1.2.0", ""},
		{"in a sentence", "echo 'hello 1.2.0, (go1.26.8)'", ""},
		{"with build metadata", "echo hello version 1.2.0+linux", ""},
		{"of a tree with changes", "echo hello version 1.2.0+dirty", "--version does not say 1.2.0"},
		{"a warning on standard error first", "echo 'warning: 127.0.0.1 and libfoo 3.4.5' >&2; echo 1.2.0", ""},
		{"on standard error", "echo 1.2.0 >&2", ""},
		{"an older one", "echo 1.1.0", `does not say 1.2.0: it printed "1.1.0"`},
		{"a longer one", "echo 1.2.0-rc.1; echo 11.2.0 1.2.01", `it printed "1.2.0-rc.1"`},
		{"nothing", "exit 0", "it printed nothing"},
		{"it fails", "echo 'no such flag'; exit 2", `exit status 2, it printed "no such flag"`},
		{"it would like to know the key", "echo $SIGNING_KEY 1.2.0 | grep -v secret", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := t.TempDir() + "/program"
			if err := os.WriteFile(path, []byte("#!/bin/sh\ntest \"$1\" = --version || exit 9\n"+row.script+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			err := Says(t.Context(), path, "1.2.0")
			if (err == nil) != (row.wrong == "") || err != nil && !strings.Contains(err.Error(), row.wrong) {
				t.Error(err)
			}
		})
	}
}
