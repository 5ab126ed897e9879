package testprogram

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

const sample = `package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"sort"
)

type shape interface{ area() float64 }
type square struct{ side float64 }
type circle struct{ radius float64 }

func (s square) area() float64  { return s.side * s.side }
func (c *circle) area() float64 { return 3.14159 * c.radius * c.radius }

//NEWTYPE

//go:noinline
func total(shapes []shape) (sum float64) {
	for _, s := range shapes {
		sum += s.area()
	}
	//NEWLINE
	return sum
}

var table = map[string]shape{"square": square{2}, "circle": &circle{1}}

func main() {
	var names []string
	for n := range table {
		names = append(names, n)
	}
	sort.Strings(names)
	var b []byte
	for _, n := range names {
		b = binary.LittleEndian.AppendUint64(b, uint64(total([]shape{table[n]})))
	}
	fmt.Fprintf(os.Stdout, "VERSION: %x %v\n", b, names)
}
`

// Build compiles the sample twice, the second time with a new type, a new
// function and a longer version, as releases are made most often: stripped.
func Build(t testing.TB, target string) (old, new []byte) {
	t.Helper()
	return BuildBy(t, "", target, "-s -w")
}

// BuildBy is Build by a toolchain, "" for the local one, and with the linker's flags.
func BuildBy(t testing.TB, toolchain, target, flags string) (old, new []byte) {
	t.Helper()
	testenv.Need(t, "go")
	osname, arch, _ := strings.Cut(target, "/")
	one := func(source string) []byte {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module sample\n\ngo 1.24\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags="+flags, "-o", "sample", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+osname, "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
		if toolchain != "" {
			cmd.Env = append(cmd.Env, "GOTOOLCHAIN="+toolchain)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building for %s: %v\n%s", target, err, out)
		}
		b, err := os.ReadFile(filepath.Join(dir, "sample"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old = one(strings.Replace(sample, "VERSION", "v1.9.0", 1))
	return old, one(strings.NewReplacer("VERSION", "version 1.10.0-rc.1",
		"//NEWTYPE", "type triangle struct{ a, b, c float64 }\n\nfunc (t triangle) area() float64 { return t.a * t.b / 2 * t.c }\n",
		"//NEWLINE", `if sum > 1e9 { panic(fmt.Sprint("too large: ", sum, triangle{1, 2, sum}.area())) }`,
	).Replace(sample))
}

var hostOnce sync.Once
var hostOld, hostNew []byte

// Host returns two builds of the sample for this machine.
func Host(t testing.TB) (old, new []byte) {
	t.Helper()
	hostOnce.Do(func() { hostOld, hostNew = Build(t, runtime.GOOS+"/"+runtime.GOARCH) })
	if hostOld == nil {
		t.Fatal("the sample was not built")
	}
	return hostOld, hostNew
}
