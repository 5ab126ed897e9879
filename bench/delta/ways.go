package main

import (
	"compress/gzip"
	"os"
	"strings"
)

// A way is how a program is built, if not like most of them.
type way struct {
	label   string   // in the names of files
	tool    string   // in place of go
	needs   string   // a program without which the pair is left out
	flags   []string // of the build
	ldflags string
	env     []string
	packed  bool // and what was built is packed by pack
}

var ways = map[string]way{
	"":                  {},
	"PIE":               {label: "-pie", flags: []string{"-buildmode=pie"}},
	"c-shared":          {label: "-cshared", needs: "gcc", flags: []string{"-buildmode=c-shared"}, env: []string{"CGO_ENABLED=1"}},
	"linked by gcc":     {label: "-gcc", needs: "gcc", ldflags: " -linkmode=external", env: []string{"CGO_ENABLED=1"}},
	"with musl, static": {label: "-musl", needs: "musl-gcc", ldflags: " -linkmode=external -extldflags=-static", env: []string{"CGO_ENABLED=1", "CC=musl-gcc"}},
	"with C code":       {label: "-cgo", needs: "gcc", env: []string{"CGO_ENABLED=1"}},
	"by garble":         {label: "-garble", tool: "garble", needs: "garble"},
	"packed":            {label: "-packed", packed: true},
}

// pack does to a file what packers of executables do: a part that runs, and then
// all of it in a form that shows nothing.
func pack(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var out strings.Builder
	out.Write(b[:4096])
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(out.String()), 0o755)
}
