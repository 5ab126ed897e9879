package restart

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPIDFileThatCannotBeRead: that it cannot be read does not mean that it names another process.
func TestPIDFileThatCannotBeRead(t *testing.T) {
	p := pidFile{path: filepath.Join(t.TempDir(), "pid")}
	check := func(what string, ours, seen bool) {
		t.Helper()
		if o, s := p.isOurs(); o != ours || s != seen {
			t.Errorf("%s: ours %v, seen %v; want %v, %v", what, o, s, ours, seen)
		}
	}
	check("nobody has written it", false, true)
	if err := p.write(); err != nil {
		t.Fatal(err)
	}
	check("this process has written it", true, true)
	if err := os.Rename(p.path, p.path+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.path, 0o700); err != nil { // reading it fails, for root too
		t.Fatal(err)
	}
	check("it cannot be read", true, false)
	r := New(Options{PIDFile: p.path})
	defer close(r.done)
	r.pidFile.path = p.path
	r.writePIDFile() // fails, and nothing is known of the file: it names whoever was before
	if _, err := os.Lstat(p.path); err == nil {
		t.Error("a file that may name a process that is gone was left")
	}
	if err := os.Rename(p.path+".kept", p.path); err != nil {
		t.Fatal(err)
	}
	check("it can be read again", true, true)
	if err := os.WriteFile(p.path, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("another process has written it", false, true)
	p.remove()
	if _, err := os.Lstat(p.path); err != nil {
		t.Error("another process's file was removed")
	}
}
