package delta

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// go test ./delta -targets=linux/arm64,windows/amd64,… builds and patches the
// sample for other systems too; the first time, that compiles the standard
// library for each. The short form is the machine's own target.
var targets = flag.String("targets", runtime.GOOS+"/"+runtime.GOARCH, "targets to build test programs for, or all")

const allTargets = "linux/amd64,linux/arm64,windows/amd64,windows/arm64,darwin/amd64,darwin/arm64,freebsd/amd64"

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

// build compiles the sample twice, the second time with a new type, a new
// function and a longer version.
func build(t testing.TB, target string) (old, new []byte) {
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
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", "sample", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+osname, "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
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

// executables returns two builds of the sample for this machine.
func executables(t testing.TB) (old, new []byte) {
	t.Helper()
	hostOnce.Do(func() { hostOld, hostNew = build(t, runtime.GOOS+"/"+runtime.GOARCH) })
	if hostOld == nil {
		t.Fatal("the sample was not built")
	}
	return hostOld, hostNew
}

func TestReleasesOfAProgram(t *testing.T) {
	list := *targets
	if list == "all" {
		list = allTargets
	}
	for _, target := range strings.Split(list, ",") {
		t.Run(target, func(t *testing.T) {
			var old, new []byte
			if target == runtime.GOOS+"/"+runtime.GOARCH {
				old, new = executables(t)
			} else {
				old, new = build(t, target)
			}
			patch, plain := makePatch(t, old, new, Go), makePatch(t, old, new, Plain)
			t.Logf("%d bytes: %d with references, %d without", len(new), len(patch), len(plain))
			if 4*len(patch) > len(plain) {
				t.Errorf("knowing Go saves too little: %d bytes instead of %d", len(patch), len(plain))
			}
			if best := makePatch(t, old, new); len(best) != len(patch) {
				t.Errorf("Diff kept %d bytes instead of %d", len(best), len(patch))
			}
			makePatch(t, new, old, Go) // and back
		})
	}
}

// The tables are found, not only survived.
func TestParseFindsTheTables(t *testing.T) {
	old, _ := executables(t)
	im, err := parse(bytes.NewReader(old), int64(len(old)))
	if err != nil {
		t.Fatal(err)
	}
	if im.tab.funcs < 500 {
		t.Fatalf("%d functions", im.tab.funcs)
	}
	found := false
	for _, f := range im.functions() {
		if f.name == "main.total" && f.end > f.addr {
			found = true
		}
	}
	if !found {
		t.Error("main.total is not among the functions")
	}
	types := 0
	im.eachType(func(int64) { types++ })
	if types < 100 {
		t.Errorf("%d types", types)
	}
	var count [kinds]int
	for i := range im.sections {
		s := &im.sections[i]
		im.references(s.off, s.off+s.fileSize, s, func(_ int64, k kind) { count[k]++ })
	}
	want := []kind{kindPointer, offset32(baseText), offset32(baseFuncName), offset32(basePCTab), offset32(baseFuncTab), offset32(baseCUTab), offset32(baseFileTab), offset32(baseGoFunc), offset32(baseTypes)}
	switch runtime.GOARCH {
	case "amd64":
		want = append(want, kindRel, kindRel+1)
	case "arm64":
		want = append(want, kindBranch, kindPage)
	}
	for _, k := range want {
		if count[k] < 10 {
			t.Errorf("%d references of kind %d", count[k], k)
		}
	}
	if made := verified(im, old, im.generated(), nil); len(made) == 0 {
		t.Error("findfunctab does not follow from the function table")
	}
}

// miniature returns an executable cut down for tests that run Apply often: the
// same headers and tables, less of everything.
func miniature(t *testing.T, b []byte) []byte {
	t.Helper()
	if runtime.GOOS != "linux" {
		return b
	}
	return b[:min(len(b), 600<<10)]
}

// Where findfunctab lies before the function table, it is made from where the
// old functions went, and the patch lists those that the address map is wrong about.
func TestFindFuncTabAhead(t *testing.T) {
	look := func(b []byte) *image {
		im, err := parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return im
	}
	old, shifted := tinyELF125(62, 0), tinyELF125(62, 48)
	was, is := look(old), look(shifted)
	g := is.generated()[0]
	first, second := le.Uint32(shifted[tinyFuncs:]), le.Uint32(shifted[tinyFuncs+8:])
	to := &addressMap{}
	to.add(was.base[baseText], uint64(first))
	to.add(was.base[baseText]+uint64(le.Uint32(old[tinyFuncs+8:])), uint64(second-le.Uint32(old[tinyFuncs+8:])))
	to.seal(was.lo, was.hi)

	// Another one, whose second function is where the map does not say.
	other := bytes.Clone(shifted)
	le.PutUint32(other[tinyFuncs+8:], second+256)
	tab := findFuncTab{entries: []uint32{first, second + 256}, min: g.p[2], max: g.p[3]}
	copy(other[g.off:], tab.make())
	// And one with a table that follows from nothing: it is shipped as it is.
	odd := bytes.Clone(shifted)
	odd[g.off+4]++

	for _, row := range []struct {
		name   string
		new    []byte
		made   int
		except []int64
	}{
		{"all as the map says", shifted, 1, nil},
		{"one elsewhere", other, 1, []int64{int64(second), int64(second) + 256}},
		{"another table", odd, 0, nil},
	} {
		is := look(row.new)
		made := verified(is, row.new, is.generated(), &mover{was, &is.layout, to})
		if len(made) != row.made || len(made) == 1 && (made[0].kind != madeFindFuncAhead || !slices.Equal(made[0].except, row.except)) {
			t.Errorf("%s: made %+v", row.name, made)
		}
		makePatch(t, old, row.new, Go)
	}
}

// The smallest executables are seen whole, on any machine.
func TestTinyExecutables(t *testing.T) {
	for _, row := range []struct {
		name string
		file []byte
		want map[kind]int
	}{
		{"elf amd64", tinyELF(62, 0), map[kind]int{kindRel: 2, kindRel + 1: 1, offset32(baseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf of Go 1.27", tinyELF127(62, 0), map[kind]int{kindRel: 2, kindRel + 1: 1, offset32(baseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 4}},
		{"elf arm64", tinyELF(183, 0), map[kind]int{kindBranch: 1, kindPage: 1, offset32(baseText): 6, offset32(baseFuncName): 4}},
		{"elf riscv64", tinyELFOther(), map[kind]int{kindBranch: 0, kindPage: 0, kindRel: 0, kindPointer: 17, offset32(baseText): 6, offset32(baseFuncName): 4}},
		{"pe", tinyPE(), map[kind]int{kindRel: 2, offset32(baseFuncTab): 2}},
		{"mach-o", tinyMachO(), map[kind]int{kindBranch: 1, kindRebase: 44}},
	} {
		im, err := parse(bytes.NewReader(row.file), int64(len(row.file)))
		if err != nil {
			t.Fatal(err)
		}
		got := map[kind]int{}
		for i := range im.sections {
			s := &im.sections[i]
			im.references(s.off, s.off+s.fileSize, s, func(_ int64, k kind) { got[k]++ })
		}
		for k, n := range row.want {
			if got[k] != n {
				t.Errorf("%s: %d references of kind %d, want %d", row.name, got[k], k, n)
			}
		}
		if made := verified(im, row.file, im.generated(), nil); row.name != "mach-o" && len(made) == 0 {
			t.Errorf("%s: no table follows from the rest", row.name)
		}
		if row.name == "pe" && len(verified(im, row.file, im.generated(), nil)) != 2 {
			t.Error("pe: the relocations do not follow from the pointers")
		}
		makePatch(t, row.file, append([]byte(nil), row.file...), Go)
	}
}
