package delta

import (
	"bytes"
	"flag"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/executable"
	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

// go test ./delta -targets=linux/arm64,windows/amd64,… builds and patches the
// sample for other systems too; the first time, that compiles the standard
// library for each. The short form is the machine's own target.
var targets = flag.String("targets", runtime.GOOS+"/"+runtime.GOARCH, "targets to build test programs for, or all")

const allTargets = "linux/amd64,linux/arm64,windows/amd64,windows/arm64,darwin/amd64,darwin/arm64,freebsd/amd64," +
	"linux/386,linux/arm,linux/riscv64,linux/loong64,linux/ppc64le,linux/s390x,linux/mips,linux/mipsle," +
	"linux/mips64,linux/mips64le,linux/ppc64,windows/386"

// Of these, code is not read: the addresses in it take three instructions.
var halfRead = []string{"linux/mips64", "linux/mips64le"}

func TestReleasesOfAProgram(t *testing.T) {
	list := *targets
	if list == "all" {
		list = allTargets
	}
	for _, target := range strings.Split(list, ",") {
		t.Run(target, func(t *testing.T) {
			var old, new []byte
			if target == runtime.GOOS+"/"+runtime.GOARCH {
				old, new = testprogram.Host(t)
			} else {
				old, new = testprogram.Build(t, target)
			}
			patch, plain := makePatch(t, old, new, Go), makePatch(t, old, new, Plain)
			t.Logf("%d bytes: %d with references, %d without", len(new), len(patch), len(plain))
			least := 4 // times smaller
			if slices.Contains(halfRead, target) {
				least = 1
			}
			if least*len(patch) > len(plain) {
				t.Errorf("knowing Go saves too little: %d bytes instead of %d", len(patch), len(plain))
			}
			if best := makePatch(t, old, new); len(best) != len(patch) {
				t.Errorf("Diff kept %d bytes instead of %d", len(best), len(patch))
			}
			makePatch(t, new, old, Go) // and back
		})
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
	look := func(b []byte) *executable.Image {
		im, err := executable.Parse(bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return im
	}
	old, shifted := testprogram.ELF125(62, 0), testprogram.ELF125(62, 48)
	was, is := look(old), look(shifted)
	g := is.Tables()[0]
	first, second := le.Uint32(shifted[testprogram.Funcs:]), le.Uint32(shifted[testprogram.Funcs+8:])
	to := &addressMap{}
	to.add(was.Base[executable.BaseText], uint64(first))
	to.add(was.Base[executable.BaseText]+uint64(le.Uint32(old[testprogram.Funcs+8:])), uint64(second-le.Uint32(old[testprogram.Funcs+8:])))
	to.seal(was.Lo, was.Hi)

	// Another one, whose second function is where the map does not say.
	other := bytes.Clone(shifted)
	le.PutUint32(other[testprogram.Funcs+8:], second+256)
	tab := executable.FindFuncTab{Entries: []uint32{first, second + 256}, Min: g.P[2], Max: g.P[3]}
	copy(other[g.Off:], tab.Make())
	// And one with a table that follows from nothing: it is shipped as it is.
	odd := bytes.Clone(shifted)
	odd[g.Off+4]++

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
		made := is.Verified(row.new, row.new, is.Tables(), (&predictor{was, &is.Layout, to}).mover())
		if len(made) != row.made || len(made) == 1 && (made[0].Kind != executable.MadeFindFuncAhead || !slices.Equal(made[0].Except, row.except)) {
			t.Errorf("%s: made %+v", row.name, made)
		}
		makePatch(t, old, row.new, Go)
	}
}

// A PE file for 386 lists the addresses in its code as well. The table is made from
// where the old ones went, and the patch lists those that the address map is wrong
// about.
func TestRelocationsMoved(t *testing.T) {
	old, new := testprogram.PE32(0), testprogram.PE32(48)
	const table = 0x2200 // its offset in the file, the same as its address less the image's
	for _, row := range []struct {
		name string
		new  []byte
		made bool
	}{
		{"all as the map says", new, true},
		{"one elsewhere", func() []byte {
			b := bytes.Clone(new)
			b[table+8]++ // the first place of the first page
			return b
		}(), true},
		{"a table that follows from nothing", func() []byte {
			b := bytes.Clone(new)
			b[table+9] = 0x50 // of another type
			return b
		}(), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			makePatch(t, old, row.new, Go)
			s, err := Diff(t.Context(), old, row.new, io.Discard, Options{Predictors: []Predictor{Go}})
			if err != nil {
				t.Fatal(err)
			}
			is, err := executable.Parse(bytes.NewReader(row.new), int64(len(row.new)), nil)
			if err != nil {
				t.Fatal(err)
			}
			want := int64(0)
			for _, g := range is.Tables() {
				if g.Off != table || row.made {
					want += g.N
				}
			}
			if s.Generated != want {
				t.Errorf("%d bytes are made, want %d", s.Generated, want)
			}
		})
	}
}
