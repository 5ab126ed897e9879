// Package testattack is the table of attacks on what a client is served. The tests of package updater carry each of them out
// on an Updater, those of internal/e2e on the built hello, and the demo shows some.
package testattack

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// An Attack is done to the repository of a client of 1.0.0 that has seen sequence 1 and could have 1.1.0.
type Attack struct {
	Name string // id and name in doc/threats.md
	Code int    // what self-update exits with
	Want string // in the text of the error
	Is   error  // what the error is; nil if the code alone tells
	// Accepts: the attack is below the channel document, which is good and is remembered.
	Accepts bool
	// Silent: no artifact may have been asked for.
	Silent bool

	do   func(t *testing.T, repo *testrelease.Repo)
	on   func(t *testing.T, w World)                // do for an attack on a client that has lived through more
	heal func(t *testing.T, repo *testrelease.Repo) // what the publisher does about it
}

// World is what an attack is about.
type World struct {
	Repo *testrelease.Repo
	Home string // the client's state folder
	Seen func() // lets the client take in what is served, and install nothing
}

// All is the table.
func All() []Attack { return slices.Concat(documents, roles, transport) }

// Find returns the attack whose name begins with id, or nil.
func Find(id string) *Attack {
	for _, a := range All() {
		if strings.HasPrefix(a.Name, id) {
			return &a
		}
	}
	return nil
}

// Do carries the attack out.
func (a *Attack) Do(t *testing.T, w World) {
	t.Helper()
	if a.on != nil {
		a.on(t, w)
		return
	}
	a.do(t, w.Repo)
}

// Heal ends the attack, and the publisher publishes 1.3.0, higher than anything before.
func (a *Attack) Heal(t *testing.T, repo *testrelease.Repo) {
	t.Helper()
	if a.heal != nil {
		a.heal(t, repo)
	}
	Heal(t, repo)
}

// Heal ends every attack and publishes 1.3.0.
func Heal(t *testing.T, repo *testrelease.Repo) {
	t.Helper()
	for _, path := range append(repo.Files(), "*") {
		repo.Hook(path, nil)
	}
	repo.Resign(func(c *release.Channel) {
		c.Entries = slices.DeleteFunc(c.Entries, func(e release.Entry) bool { // that was an attack
			return e.Version.String() == "99.0.0" || e.Version.String() == "1.2.0"
		})
	})
	repo.Publish("1.3.0", Program("1.3.0"))
}

// Program is a release that needs no build: a program that only answers its probe.
func Program(version string) []byte { return fmt.Appendf(nil, "#!/bin/sh\necho hello %s\n", version) }

// resigned signs the text of the channel document after a change that the publisher's tool would not make.
func resigned(old, new string) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) {
		t.Helper()
		text := repo.Text(repo.Get("stable"))
		if !strings.Contains(text, old) {
			t.Fatalf("the channel document has no %q:\n%s", old, text)
		}
		repo.Put("stable", repo.SignText(strings.Replace(text, old, new, 1), repo.ChannelKeys...))
	}
}

// rewritten changes the document itself, signatures and all.
func rewritten(old, new string) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) {
		t.Helper()
		b := string(repo.Get("stable"))
		if !strings.Contains(b, old) {
			t.Fatalf("the channel document has no %q:\n%s", old, b)
		}
		repo.Put("stable", []byte(strings.Replace(b, old, new, 1)))
	}
}

func hooked(path func(*testrelease.Repo) string, h testrelease.Hook) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) { repo.Hook(path(repo), h) }
}

func theChannel(*testrelease.Repo) string   { return "stable" }
func theManifest(*testrelease.Repo) string  { return "releases/1.1.0.manifest" }
func theFile(repo *testrelease.Repo) string { return repo.FilePath("1.1.0") }

// another makes a repository whose documents replace those of repo.
func another(t *testing.T, repo *testrelease.Repo, change func(*testrelease.Repo)) {
	t.Helper()
	evil := testrelease.New(t)
	change(evil)
	evil.Publish("1.0.9", Program("1.0.9"))
	evil.Publish("1.1.0", Program("1.1.0"))
	evil.Publish("1.2.0", Program("1.2.0"))
	for _, path := range evil.Files() {
		repo.Put(path, evil.Get(path))
	}
	repo.Put("stable", evil.Get(evil.Name))
}
