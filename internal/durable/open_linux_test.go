package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/internal/testenv"
)

// R05, R12: what leads to a folder belongs to root, to us, or to who owns the folder, or it is not gone through.
func TestR05WhatLeadsToAFolder(t *testing.T) {
	testenv.NeedRoot(t)
	const owner, stranger = 65534, 1002
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	make := func(name string, uid int) string {
		path := filepath.Join(root, name)
		must(t, errors.Join(os.Mkdir(path, 0o755), os.Chown(path, uid, uid)))
		return path
	}
	link := func(name, to string, uid int) {
		path := filepath.Join(root, name)
		must(t, errors.Join(os.Symlink(to, path), os.Lchown(path, uid, uid)))
	}
	make("roots", 0)
	make("roots/app", 0)
	make("roots/given", owner)
	make("owners", owner)
	make("owners/app", owner)
	make("owners/roots", 0)
	make("strangers", stranger)
	make("strangers/app", owner)
	link("by-root", filepath.Join(root, "owners/app"), 0)
	link("by-owner", "owners/app", owner)
	link("by-stranger", "owners/app", stranger)
	link("owners/current", "app", owner)
	link("owners/up", "../roots/app", owner)
	link("strangers/up", "../owners/app", stranger)
	link("loop", "loop", 0)
	for path, want := range map[string]string{ // where it leads, "" if nowhere
		"roots/app":         "roots/app",
		"roots/given":       "roots/given",
		"owners/app":        "owners/app",
		"by-root":           "owners/app",
		"by-owner":          "owners/app",
		"owners/current":    "owners/app", // as a deployment flips it
		"owners/current/..": "owners",
		"by-stranger":       "",
		"owners/up":         "", // to root's, by somebody else
		"owners/roots":      "", // root's, in a folder whose owner may exchange it
		"strangers/app":     "",
		"strangers/up":      "",
	} {
		d, err := durable.Open(filepath.Join(root, path))
		switch untrusted := (*durable.Untrusted)(nil); {
		case want != "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case want != "" && d.Path() != filepath.Join(root, want):
			t.Errorf("%s leads to %s, want %s", path, d.Path(), want)
		case want == "" && err == nil:
			t.Errorf("%s: went to %s", path, d.Path())
		case want == "" && (!errors.As(err, &untrusted) || !errors.Is(err, fs.ErrPermission)):
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			d.Close()
		}
	}
	if _, err := durable.Open(filepath.Join(root, "loop")); err == nil || !strings.Contains(err.Error(), "too many levels") {
		t.Errorf("a loop: %v", err)
	}
	if _, err := durable.Open("relative"); err == nil {
		t.Error("a path that depends on the working directory was opened")
	}
}

// A folder is the one that was opened, whatever its name leads to since.
func TestR05FolderIsNotItsName(t *testing.T) {
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	must(t, errors.Join(os.Mkdir(a, 0o755), os.Mkdir(b, 0o755), os.WriteFile(filepath.Join(b, "file"), []byte("precious"), 0o644)))
	d, err := durable.Open(a)
	must(t, err)
	defer d.Close()
	must(t, errors.Join(os.Rename(a, filepath.Join(root, "away")), os.Symlink(b, a)))
	must(t, d.WriteFile("file", []byte("new"), 0o644))
	if got, err := os.ReadFile(filepath.Join(b, "file")); string(got) != "precious" {
		t.Errorf("in the other folder: %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(root, "away", "file")); string(got) != "new" {
		t.Errorf("in the folder itself: %q, %v", got, err)
	}
}
