package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/updater"
)

// What was pushed into a bucket reaches a program that was built with the public key.
func TestClientUpdatesFromABucket(t *testing.T) {
	testenv.NeedOS(t, "linux", "darwin", "freebsd")
	b := newBucket(t)
	dir := publisherAt(t)
	program := func(version string) string { return "#!/bin/sh\necho hello " + version + "\n" }
	write(t, filepath.Join(dir, "hello"), []byte(program("1.1.0")))
	mustTheseus(t, dir, "publish", "--repo", "dl", "--app", "hello", "--version", "1.1.0", "--channel", "stable", "--key", "theseus.key",
		"--artifact", "linux/amd64=hello", "--artifact", "linux/arm64=hello", "--artifact", "darwin/arm64=hello", "--artifact", "freebsd/amd64=hello")
	mustTheseus(t, dir, "push", b.address)

	key, err := os.ReadFile(filepath.Join(dir, "theseus.pub"))
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(installed, []byte(program("1.0.0")), 0o755); err != nil {
		t.Fatal(err)
	}
	_, server, _ := strings.Cut(b.address, "endpoint=")
	u, err := updater.New(updater.Options{App: "hello", Version: "1.0.0", Key: string(key), Source: server + "/releases/dl",
		Executable: installed, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Update(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(installed); err != nil || string(got) != program("1.1.0") {
		t.Errorf("there is %q, %v", got, err)
	}
}
