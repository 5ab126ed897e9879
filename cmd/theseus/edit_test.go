package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// published is a repository with one release, and the flags to change it.
func published(t *testing.T) (dir string, flags *editFlags) {
	t.Helper()
	dir = t.TempDir()
	mustTheseus(t, dir, "keygen")
	write(t, filepath.Join(dir, "a"), []byte("a"))
	mustTheseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", "1.0.0", "--channel", "stable", "--key", "theseus.key", "--artifact", "linux/amd64=a")
	return dir, &editFlags{repo: filepath.Join(dir, "dl"), keys: keyFlags{keys: []string{filepath.Join(dir, "theseus.key")}}}
}

// The lock of a folder does not reach across machines that share it, or that copy it to and fro.
func TestChangeByAnotherMachineIsNotOverwritten(t *testing.T) {
	dir, flags := published(t)
	e, err := flags.open(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	old, err := e.channel("stable")
	if err != nil {
		t.Fatal(err)
	}
	e.close() // so that the other one is not told to wait
	mustTheseus(t, dir, "refresh", "--repo", "dl", "--key", "theseus.key")
	theirs := tree(e.dir)

	next := &release.Channel{Name: "stable", Entries: old.Entries}
	if err := e.put(next, old, time.Hour); err == nil || !strings.Contains(err.Error(), "was changed by someone else meanwhile: run the command again") {
		t.Errorf("put: %v", err)
	}
	first := &release.Channel{Name: "stable", Entries: old.Entries}
	if err := e.put(first, nil, time.Hour); err == nil {
		t.Error("a first channel took the place of one that appeared meanwhile")
	}
	if tree(e.dir) != theirs {
		t.Error("the other's channel is gone")
	}
}

// Clients judge by signed dates, so a publisher's clock that was set back would publish what looks older than before.
func TestClockThatWasSetBack(t *testing.T) {
	_, flags := published(t)
	e, err := flags.open(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	old, err := e.channel("stable")
	if err != nil {
		t.Fatal(err)
	}
	before := tree(e.dir)
	e.now = old.Issued.Add(-time.Second)
	if err := e.put(&release.Channel{Name: "stable", Entries: old.Entries}, old, time.Hour); err == nil || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("put: %v", err)
	}
	e.now = old.Issued
	old.Sequence = release.MaxSequence
	if err := e.put(&release.Channel{Name: "stable", Entries: old.Entries}, old, time.Hour); err == nil || !strings.Contains(err.Error(), "used up its sequence numbers") {
		t.Errorf("put: %v", err)
	}
	if tree(e.dir) != before {
		t.Error("something was written")
	}
}

// Clients refuse a frame that makes them hold more than 8 MiB, so none is made, however large the file.
func TestCompressedWindow(t *testing.T) {
	// A file that a larger window would make smaller: 12 MiB that do not compress, twice.
	half := make([]byte, 12<<20)
	r := rand.NewChaCha8([32]byte{})
	r.Read(half)
	var out bytes.Buffer
	if _, err := compress(&out, bytes.NewReader(append(half, half...))); err != nil {
		t.Fatal(err)
	}
	var h zstd.Header
	if err := h.Decode(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	if h.WindowSize > 8<<20 {
		t.Errorf("window of %d bytes", h.WindowSize)
	}
}

// What is compressed is the same each time, so that publishing again finds it there.
func TestCompressIsDeterministic(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	b = b[:min(len(b), 4<<20)]
	var ids [2]verify.ID
	for i := range ids {
		var out bytes.Buffer
		if _, err := compress(&out, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		ids[i] = verify.IDOf(out.Bytes())
	}
	if ids[0] != ids[1] {
		t.Errorf("%v and %v", ids[0], ids[1])
	}
}

func TestPrune(t *testing.T) {
	v := func(s string) release.Entry {
		p, err := release.ParseVersion(s)
		if err != nil {
			t.Fatal(err)
		}
		return release.Entry{Version: p}
	}
	floor, yanked, critical := v("1.1.0"), v("1.2.0"), v("1.3.0")
	floor.Floor = true
	yanked.Yanked = &release.Yank{Reason: "x", Action: "back", To: v("1.0.0").Version}
	critical.Critical = critical.Version
	left := prune([]release.Entry{v("0.8.0"), v("0.9.0"), v("1.0.0"), floor, yanked, critical, v("1.4.0"), v("1.5.0")}, 2)
	var got []string
	for _, e := range left {
		got = append(got, e.Version.String())
	}
	if want := "1.5.0 1.4.0 1.3.0 1.2.0 1.1.0 1.0.0"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", got, want)
	}
}
