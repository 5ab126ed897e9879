package internal_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of these packages use each other in one direction only, so that one can be read after the other: none of them
// leads back to one that leads to it.
func TestFilesRunOneWay(t *testing.T) {
	for _, pkg := range []string{"updater", "internal/catalog", "internal/installation"} {
		uses := fileUses(t, pkg)
		if len(uses) < 2 {
			t.Errorf("%s: found only %d files that use others: this test looks for the wrong thing", pkg, len(uses))
		}
		for file := range uses {
			if way := back(uses, file, file, map[string]bool{}); way != nil {
				t.Errorf("%s: %s", pkg, strings.Join(append([]string{file}, way...), " uses "))
				break
			}
		}
	}
}

// back finds a way from one file to another.
func back(uses map[string]map[string]bool, from, to string, been map[string]bool) []string {
	for _, next := range slices.Sorted(maps.Keys(uses[from])) {
		if next == to {
			return []string{to}
		}
		if !been[next] {
			been[next] = true
			if way := back(uses, next, to, been); way != nil {
				return append([]string{next}, way...)
			}
		}
	}
	return nil
}

// fileUses says which files of a package use what is declared in which others, on this system.
func fileUses(t *testing.T, pkg string) map[string]map[string]bool {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-export", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.Dir}}\t{{.GoFiles}}", module+"/"+pkg)
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", list.Args, err, &stderr)
	}
	exports := map[string]string{}
	fset := token.NewFileSet()
	var files []*ast.File
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Split(s.Text(), "\t")
		exports[f[0]] = f[1]
		if f[0] != module+"/"+pkg {
			continue
		}
		for _, name := range strings.Fields(strings.Trim(f[3], "[]")) {
			file, err := parser.ParseFile(fset, filepath.Join(f[2], name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	checked, err := config.Check(module+"/"+pkg, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	uses := map[string]map[string]bool{}
	for id, object := range info.Uses {
		if object.Pkg() != checked || !object.Pos().IsValid() {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(object.Pos()).Filename)
		if from != to {
			if uses[from] == nil {
				uses[from] = map[string]bool{}
			}
			uses[from][to] = true
		}
	}
	return uses
}
