package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// served is a folder with one document and one file, and things that are nobody's business.
func served(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = release.FilePath(verify.IDOf([]byte("0123456789")).SHA256, "")
	for name, text := range map[string]string{
		"stable": "first", file: "0123456789",
		".lock": "x", "stable.0123456789abcdef.tmp": "x", "README.md": "x", "files/notes.txt": "x", "releases/1.0.0.bak": "x", "../outside": "x",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, file
}

// TestServeProcess starts the real command on a free port and ends it as a service manager would.
func TestServeProcess(t *testing.T) {
	dir, file := served(t)
	c := exec.Command("theseus", "serve", "--repo", dir, "--listen", "127.0.0.1:0", "--json")
	var log strings.Builder
	c.Stderr = &log
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	var said struct{ URL string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	r, err := http.Get(said.URL + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || string(b) != "0123456789" {
		t.Fatalf("%q, %v", b, err)
	}
	// Two cannot have one port.
	second := exec.Command("theseus", "serve", "--repo", dir, "--listen", strings.TrimPrefix(said.URL, "http://"))
	if msg, err := second.CombinedOutput(); err == nil || !strings.Contains(string(msg), "choose another --listen") {
		t.Errorf("second server on one port: %v: %s", err, msg)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if want := "theseus: GET /" + file + " 200 10 B\n"; log.String() != want {
		t.Errorf("log %q, want %q", log.String(), want)
	}
}
