package publisher

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

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
