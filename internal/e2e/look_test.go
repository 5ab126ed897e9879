//go:build unix

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A look is what an attack must not change.
type look struct {
	sum      [sha256.Size]byte
	info     fs.FileInfo
	siblings []string // names in the program's folder, the state folder left out
	memory   memory
}

// memory is the part of the state file that decides what will be installed.
type memory struct {
	Installed json.RawMessage `json:"installed"`
	Previous  json.RawMessage `json:"previous"`
	Journal   json.RawMessage `json:"journal"`
	Failed    json.RawMessage `json:"failed"`
	Trust     json.RawMessage `json:"trust"`
	Floor     json.RawMessage `json:"floor"`
	Channels  map[string]struct {
		Sequence int64           `json:"sequence"`
		ID       json.RawMessage `json:"id"`
		File     string          `json:"file"`
	} `json:"channels"`
}

func (i *installation) home() string { return filepath.Join(i.dir, ".hello.theseus") }

func (i *installation) look() look {
	i.t.Helper()
	b, err := os.ReadFile(i.path)
	if err != nil {
		i.t.Fatal(err)
	}
	l := look{sum: sha256.Sum256(b), memory: i.memory()}
	if l.info, err = os.Lstat(i.path); err != nil {
		i.t.Fatal(err)
	}
	for _, name := range i.list(i.dir) {
		if name != filepath.Base(i.home()) {
			l.siblings = append(l.siblings, name)
		}
	}
	return l
}

func (i *installation) list(dir string) (names []string) {
	i.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		i.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (i *installation) memory() (m memory) {
	i.t.Helper()
	b, err := os.ReadFile(filepath.Join(i.home(), "state"))
	if os.IsNotExist(err) {
		return m
	}
	if err != nil {
		i.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		i.t.Fatalf("the state file: %v\n%s", err, b)
	}
	return m
}

// same checks what holds after every attack (D0): bytes, mode, owner and inode of the program are as before, nothing new lies
// beside it, and in the state folder there is nothing but state, lock, two earlier files and at most one partial download;
// what was installed or failed is remembered as before.
func (i *installation) same(before look) {
	i.t.Helper()
	now := i.look()
	if now.sum != before.sum {
		i.t.Errorf("the program's bytes changed")
	}
	if !os.SameFile(now.info, before.info) {
		i.t.Errorf("the program is another file (inode) with the same bytes")
	}
	if now.info.Mode() != before.info.Mode() || owner(now.info) != owner(before.info) {
		i.t.Errorf("mode or owner changed: %v %v, was %v %v", now.info.Mode(), owner(now.info), before.info.Mode(), owner(before.info))
	}
	if !slices.Equal(now.siblings, before.siblings) {
		i.t.Errorf("beside the program: %q, was %q", now.siblings, before.siblings)
	}
	i.tidy()
	for _, c := range []struct {
		what     string
		now, was json.RawMessage
	}{
		{"installed", now.memory.Installed, before.memory.Installed},
		{"previous", now.memory.Previous, before.memory.Previous},
		{"journal", now.memory.Journal, before.memory.Journal},
		{"failed", none(now.memory.Failed), none(before.memory.Failed)},
		{"trust", now.memory.Trust, before.memory.Trust},
	} {
		if !bytes.Equal(c.now, c.was) {
			i.t.Errorf("remembers as %s %s, was %s", c.what, c.now, c.was)
		}
	}
}

// unmoved is same, and moreover no channel document was taken in.
func (i *installation) unmoved(before look) {
	i.t.Helper()
	i.same(before)
	now := i.memory()
	if !bytes.Equal(now.Floor, before.memory.Floor) {
		i.t.Errorf("the time floor is %s, was %s", now.Floor, before.memory.Floor)
	}
	if len(now.Channels) != len(before.memory.Channels) {
		i.t.Errorf("remembers %d channels, was %d", len(now.Channels), len(before.memory.Channels))
	}
	for name, was := range before.memory.Channels {
		if c := now.Channels[name]; c.Sequence != was.Sequence || !bytes.Equal(c.ID, was.ID) || c.File != was.File {
			i.t.Errorf("channel %s: remembers sequence %d, was %d", name, c.Sequence, was.Sequence)
		}
	}
}

// tidy checks that the state folder holds nothing unexpected.
func (i *installation) tidy() {
	i.t.Helper()
	downloads, previous := 0, 0
	for _, name := range i.list(i.home()) {
		switch {
		case name == "state", name == "lock":
		case strings.HasPrefix(name, "previous-"):
			previous++
		case strings.HasPrefix(name, "staged-"):
			downloads++
		default:
			i.t.Errorf("left behind in the state folder: %s", name)
		}
	}
	if downloads > 1 || previous > 2 {
		i.t.Errorf("%d partial downloads and %d previous files are left behind", downloads, previous)
	}
}

// owner is user and group of a file.
func owner(info os.FileInfo) [2]uint32 {
	s := info.Sys().(*syscall.Stat_t)
	return [2]uint32{s.Uid, s.Gid}
}

// none is a list of failures in which there is none, whether or not anything else was remembered beside it.
func none(failed json.RawMessage) json.RawMessage {
	if string(failed) == "{}" {
		return nil
	}
	return failed
}
