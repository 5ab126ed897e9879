package fleet_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/fleet"
	"github.com/theseus-go/theseus/internal/testfleet"
)

func TestMemory(t *testing.T) {
	var m fleet.Memory
	testfleet.Store(t, &m, &m)
}

func folder(t *testing.T, dir string) *fleet.Folder {
	t.Helper()
	f, err := fleet.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	testfleet.Store(t, folder(t, dir), folder(t, dir))
}

func TestFolderKeepsWhatItHas(t *testing.T) {
	dir := t.TempDir()
	f := folder(t, dir)
	r, err := f.CompareAndSwap(t.Context(), "groups/_/web", []byte("{}"), 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if v, again, err := folder(t, dir).Get(t.Context(), "groups/_/web"); string(v) != "{}" || again != r || err != nil {
		t.Fatalf("%s %d %v", v, again, err)
	}
}

// Whatever lies there instead of a document is an error, and not a group that begins anew.
func TestFolderDamaged(t *testing.T) {
	for _, bad := range []string{"", "x\n{}", "0\n{}", "-1\n{}", "1", "1\n" + strings.Repeat("x", fleet.MaxDocument+1), "18446744073709551616\n{}"} {
		dir := t.TempDir()
		f := folder(t, dir)
		if _, err := f.CompareAndSwap(t.Context(), "web", []byte("{}"), 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "web.doc"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Get(t.Context(), "web"); err == nil || !strings.Contains(err.Error(), "web.doc") {
			t.Errorf("%.20q: %v", bad, err)
		}
		if _, err := f.CompareAndSwap(t.Context(), "web", []byte("{}"), 0); err == nil {
			t.Errorf("%.20q is replaced", bad)
		}
	}
	if _, err := fleet.OpenFolder(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there is opened")
	}
	if runtime.GOOS != "windows" {
		dir := t.TempDir()
		f := folder(t, dir)
		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "web.doc")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Get(t.Context(), "web"); err == nil {
			t.Error("a link is followed")
		}
	}
}
