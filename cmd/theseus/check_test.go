package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/macho"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/testenv"
)

// tiny is a program that says its version and links as little as possible.
const tiny = `package main

import "os"

var version = "0.0.0"

func main() { os.Stdout.WriteString("hello " + version + " (built with go)\n") }
`

// A forge builds real programs, each once.
type forge struct {
	t   *testing.T
	dir string
}

func newForge(t *testing.T) *forge {
	f := &forge{t, t.TempDir()}
	write(t, filepath.Join(f.dir, "go.mod"), []byte("module hello\n\ngo 1.26.0\n"))
	write(t, filepath.Join(f.dir, "main.go"), []byte(tiny))
	return f
}

// build builds a version for a platform, with more of the environment.
func (f *forge) build(version, platform string, env ...string) string {
	f.t.Helper()
	os, arch, _ := strings.Cut(platform, "/")
	name := strings.NewReplacer("/", "-", "=", "-").Replace(strings.Join(append([]string{"hello", version, platform}, env...), "-"))
	c := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", name, ".")
	c.Dir = f.dir
	c.Env = append(append(c.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS="+os, "GOARCH="+arch), env...)
	if out, err := c.CombinedOutput(); err != nil {
		f.t.Fatalf("building for %s: %v\n%s", platform, err, out)
	}
	return filepath.Join(f.dir, name)
}

func (f *forge) file(name string, data []byte) string {
	path := filepath.Join(f.dir, name)
	write(f.t, path, data)
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// archive packs a file as people publish it elsewhere.
func archive(t *testing.T, path string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	data := read(t, path)
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	z.Close()
	return b.Bytes()
}

// universal puts programs for two architectures into one file, as lipo does.
func universal(t *testing.T, intel, apple string) []byte {
	t.Helper()
	var b bytes.Buffer
	put := func(v ...uint32) {
		for _, one := range v {
			binary.Write(&b, binary.BigEndian, one)
		}
	}
	const align = 14
	files := [][]byte{read(t, intel), read(t, apple)}
	put(macho.MagicFat, 2)
	at := uint32(1 << align)
	for i, cpu := range []macho.Cpu{macho.CpuAmd64, macho.CpuArm64} {
		put(uint32(cpu), 0, at, uint32(len(files[i])), align)
		at += uint32(len(files[i])+1<<align-1) &^ (1<<align - 1)
	}
	for _, f := range files {
		b.Write(make([]byte, -b.Len()&(1<<align-1)))
		b.Write(f)
	}
	return b.Bytes()
}

// row is one release that somebody is about to publish, and what the tool says of it; "" if it is published.
type row struct {
	name      string
	artifacts []string
	says      string
	check     string // that overrules it
}

// refuses tries each row on one repository, which must not change by it, and then overrules the check.
func refuses(t *testing.T, dir string, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			before := tree(filepath.Join(dir, "dl"))
			args := []string{"publish", "--version", "1.1.0", "--deltas", "0"}
			for _, a := range r.artifacts {
				args = append(args, "--artifact", a)
			}
			code, said := theseus(t, dir, args...)
			switch {
			case r.says == "":
				if code != 0 {
					t.Fatalf("exit code %d: %s", code, said)
				}
			case code != ui.ExitError || !strings.Contains(said, r.says) || !strings.Contains(said, "nothing was signed; if it is meant so: --allow "+r.check+")"):
				t.Fatalf("exit code %d: %s", code, said)
			case tree(filepath.Join(dir, "dl")) != before:
				t.Fatal("it changed the repository")
			default:
				mustTheseus(t, dir, append(args, "--allow", r.check)...)
			}
			// The next row finds it as this one did.
			if err := os.RemoveAll(filepath.Join(dir, "dl")); err != nil {
				t.Fatal(err)
			}
			restore(t, dir)
		})
	}
}

func restore(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, "dl"), os.DirFS(filepath.Join(dir, "before"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "theseus.lock"), read(t, filepath.Join(dir, "lock.before")))
}

// firstRelease publishes 1.0.0 and remembers the repository.
func firstRelease(t *testing.T, artifacts ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	mustTheseus(t, dir, "keygen")
	args := []string{"publish", "--repo", "dl", "--app", "hello", "--version", "1.0.0", "--channel", "stable", "--key", "theseus.key"}
	for _, a := range artifacts {
		args = append(args, "--artifact", a)
	}
	mustTheseus(t, dir, args...)
	if err := os.CopyFS(filepath.Join(dir, "before"), os.DirFS(filepath.Join(dir, "dl"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "lock.before"), read(t, filepath.Join(dir, "theseus.lock")))
	return dir
}

// What would use up a version is refused before anything is signed, and each check can be overruled by its name.
func TestPublishRefusesMistakes(t *testing.T) {
	testenv.Need(t, "go")
	t.Parallel()
	f := newForge(t)
	host := runtime.GOOS + "/" + runtime.GOARCH
	old, good := f.build("1.0.0", host), f.build("1.1.0", host)
	unmarked := f.file("unmarked", read(t, good)) // as it comes out of another job of a CI
	program := read(t, good)
	refuses(t, firstRelease(t, host+"="+old), []row{
		{"the program", []string{host + "=" + good}, "", ""},
		{"without its mode", []string{host + "=" + unmarked}, "", ""},
		{"an archive", []string{host + "=" + f.file("hello.tar.gz", archive(t, good))}, "hello.tar.gz is a gzip archive", "not-a-program"},
		{"a text", []string{host + "=" + f.file("hello.txt", []byte("hi\n"))}, "hello.txt is a text", "not-a-program"},
		{"half of it", []string{host + "=" + f.file("half", program[:len(program)/2])}, "cut short", "not-a-program"},
		{"another version", []string{host + "=" + old}, "--version does not say 1.1.0: it printed \"hello 1.0.0 (built with go)\"", "other-version"},
		{"another platform", []string{host + "=" + good, "plan9/386=" + good}, "and --artifact says plan9/386", "other-platform"},
		{"a platform is missing", []string{"js/wasm=" + f.file("hello.wasm", []byte("\x00asm\x01\x00\x00\x00"))}, "1.1.0 has nothing for " + host + ", and 1.0.0 had", "fewer-platforms"},
		{"all at once", []string{host + "=" + old, "windows/amd64=" + f.file("b.zip", []byte("PK\x03\x04zip"))}, "2 mistakes: ", "other-version,not-a-program"},
	})
}

// The same for other platforms, by programs that were built for them.
func TestPublishRefusesMistakesElsewhere(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long) // compiles the runtime for each
	testenv.Need(t, "go")
	t.Parallel()
	f := newForge(t)
	arm := func(level string) string { return f.build("1.1.0", "linux/arm", "GOARM="+level) }
	windows, linux := f.build("1.1.0", "windows/amd64"), f.build("1.1.0", "linux/amd64", "GOAMD64=v3")
	intel, apple := f.build("1.1.0", "darwin/amd64"), f.build("1.1.0", "darwin/arm64")
	both := f.file("both", universal(t, intel, apple))
	refuses(t, firstRelease(t, "darwin/amd64="+f.build("1.0.0", "darwin/amd64")), []row{
		{"arm as a plain build makes it", []string{"darwin/amd64=" + intel, "linux/arm=" + arm("7")}, "", ""},
		{"arm of its variant", []string{"darwin/amd64=" + intel, "linux/arm/v6=" + arm("6")}, "", ""},
		{"arm of another variant", []string{"darwin/amd64=" + intel, "linux/arm/v6=" + arm("7")}, "it was built with GOARM=7, and is to be published for arm/v6", "other-cpu"},
		{"amd64 for all", []string{"darwin/amd64=" + intel, "linux/amd64=" + linux}, "it was built with GOAMD64=v3, and without a variant every amd64 machine would get it", "other-cpu"},
		{"windows for linux", []string{"darwin/amd64=" + intel, "linux/amd64=" + windows}, "which linux does not run", "other-platform"},
		{"one architecture of macOS for the other", []string{"darwin/amd64=" + apple}, "was built for darwin/arm64", "other-platform"},
		{"universal, for both", []string{"darwin/amd64=" + both, "darwin/arm64=" + both}, "", ""},
		{"universal, in one word", []string{"darwin/all=" + both}, "", ""},
		{"half of a universal", []string{"darwin/all=" + f.file("half", read(t, both)[:1<<20])}, "cut short", "not-a-program"},
	})
}
