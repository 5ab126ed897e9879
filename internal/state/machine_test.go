package state

import (
	"encoding/hex"
	"path/filepath"
	"testing"
)

// An image of a machine is copied to many: each has an identity of its own, which stays, also where they share one file.
func TestClonedInstallationGetsItsOwnIdentity(t *testing.T) {
	image := New()
	image.Machine = "golden"
	first := image.Installation
	on := func(machine string) string {
		s := image.Clone()
		s.settleIn(machine)
		return s.Installation
	}
	if on("golden") != first || on("") != first {
		t.Error("the image itself has another identity")
	}
	a, b := on("a"), on("b")
	if raw, err := hex.DecodeString(a); err != nil || len(raw) != 16 {
		t.Errorf("%q is no identity", a)
	}
	if a == first || b == first || a == b {
		t.Errorf("the image has %s, its copies %s and %s", first, a, b)
	}
	shared := image.Clone()
	for _, machine := range []string{"a", "b", "a", "b"} { // each writes it in turn
		shared.settleIn(machine)
		if want := on(machine); shared.Installation != want {
			t.Errorf("on %s it is %s, was %s", machine, shared.Installation, want)
		}
	}
	was := machine
	defer func() { machine = was }()
	machine = func() string { return "a" }
	home := filepath.Join(t.TempDir(), ".hello.theseus")
	lock, err := TryLock(home)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	saved := New()
	if err := lock.Save(saved); err != nil {
		t.Fatal(err)
	}
	machine = func() string { return "b" }
	if copied, err := Load(home); err != nil || copied.Installation == saved.Installation {
		t.Errorf("read on another machine: %+v, %v", copied, err)
	}
	old := New()
	old.Machine = "" // of a program that did not write it down
	kept := old.Installation
	old.settleIn("a")
	if old.Installation != kept || old.Machine != "a" {
		t.Errorf("%+v", old)
	}
}
