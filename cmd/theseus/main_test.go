package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/theseus-go/theseus/internal/testenv"
)

// The test binary is also the command: testscript puts it on the PATH under this name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"theseus": main})
}

// TestScript runs testdata/script: one file for each feature, and one for each bug that was found.
//
// Besides testscript's own commands there are
//
//	exits CODE COMMAND ARG...   run it; it must end with this exit code
//	edit FILE OLD NEW           replace the first occurrence of OLD: to damage a document
//	snapshot DIR                remember every name, mode and byte below DIR
//	unchanged DIR               fail if anything differs from the snapshot
func TestScript(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found (%v): this test would prove nothing", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(c string) (bool, error) {
			if c == "long" {
				return testenv.Asked() >= testenv.Long, nil
			}
			return testenv.Condition(c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"edit":      edit,
			"snapshot":  snapshot,
			"unchanged": unchanged,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	before, after, found := strings.Cut(string(b), args[1])
	if !found {
		ts.Fatalf("%s does not have %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(before+args[2]+after), 0o644))
}

func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: snapshot DIR")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0])+".snapshot", []byte(tree(ts.MkAbs(args[0]))), 0o644))
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unchanged DIR")
	}
	want, err := os.ReadFile(ts.MkAbs(args[0]) + ".snapshot")
	ts.Check(err)
	if got := tree(ts.MkAbs(args[0])); got != string(want) {
		ts.Fatalf("%s changed from\n%sto\n%s", args[0], want, got)
	}
}

// tree lists what is below a folder, a line for each name with its mode and the hash of its bytes.
func tree(dir string) string {
	var b strings.Builder
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", path, err)
			return nil
		}
		name, _ := filepath.Rel(dir, path)
		info, _ := d.Info()
		fmt.Fprintf(&b, "%s %s", info.Mode(), name)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			fmt.Fprintf(&b, " %x %v", sha256.Sum256(data), err)
		}
		b.WriteByte('\n')
		return nil
	})
	return b.String()
}
