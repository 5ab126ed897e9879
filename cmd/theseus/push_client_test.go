package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/teststore"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/updater"
)

// A place is one to push to, and how a client reads it.
type place struct {
	remote, source, files string
	exchange              func(name string, b []byte) // what an attacker does who can write there
}

// webServer serves a folder as a web server on that machine does.
func webServer(t *testing.T, remote, dir string) place {
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return place{remote: remote, source: s.URL, exchange: func(name string, b []byte) {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), b)
	}}
}

func servedRemotes() map[string]func(t *testing.T) place {
	return map[string]func(t *testing.T) place{
		"folder": func(t *testing.T) place {
			dir := filepath.Join(t.TempDir(), "www")
			return webServer(t, dir, dir)
		},
		"s3": func(t *testing.T) place {
			b := newBucket(t)
			_, server, _ := strings.Cut(b.address, "endpoint=")
			return place{remote: b.address, source: server + "/releases/dl", exchange: func(name string, data []byte) { b.put(t, name, data) }}
		},
		"sftp": func(t *testing.T) place {
			address, _ := teststore.SSH(t)
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			return webServer(t, address, u.Path)
		},
		"github": func(t *testing.T) place {
			t.Setenv("GITHUB_TOKEN", "token")
			h := teststore.NewHub(t)
			return place{remote: h.Address(""), source: h.Source(), files: h.Files(), exchange: h.Exchange}
		},
	}
}

// From what GoReleaser has left to a program that has updated itself, by every way to serve it, with somebody at the remote who
// puts an old channel and then another publisher's in the place of the newest: clients stay where they are until the next push.
func TestClientUpdatesFromWhatGoReleaserBuilt(t *testing.T) {
	testenv.NeedOS(t, "linux", "darwin", "freebsd")
	for name, make := range servedRemotes() {
		t.Run(name, func(t *testing.T) {
			if name != "s3" {
				testenv.NeedEffort(t, testenv.Long)
			}
			dir := publisherAt(t)
			at := make(t)
			publish := func(dir, version string) (channel []byte) {
				t.Helper()
				goreleased(t, dir, version)
				args := []string{"publish", "--dist", "dist", "--repo", "dl", "--channel", "stable", "--key", "theseus.key"}
				mustTheseus(t, dir, append(args, allowScripts...)...)
				return channelFile(t, dir)
			}
			installed := filepath.Join(t.TempDir(), "hello")
			if err := os.WriteFile(installed, []byte("#!/bin/sh\necho hello 0.9.0\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			key := string(read(t, filepath.Join(dir, "theseus.pub")))
			update := func(from string) error {
				t.Helper()
				u, err := updater.New(updater.Options{App: "hello", Version: from, Key: key, Source: at.source, Files: at.files,
					Executable: installed, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				_, err = u.Update(t.Context(), "")
				return err
			}
			has := func(version string) {
				t.Helper()
				if text := string(read(t, installed)); !strings.HasSuffix(text, "echo hello "+version+"\n") {
					t.Fatalf("installed is %q, and should be %s", text, version)
				}
			}

			old := publish(dir, "1.0.0")
			mustTheseus(t, dir, "push", at.remote)
			if err := update("0.9.0"); err != nil {
				t.Fatal(err)
			}
			has("1.0.0")

			stranger := t.TempDir()
			mustTheseus(t, stranger, "keygen")
			forged := publish(stranger, "6.6.6")
			at.exchange("stable", forged)
			if err := update("1.0.0"); err == nil {
				t.Error("another publisher's channel is taken")
			}
			has("1.0.0")
			publish(dir, "1.1.0")
			if code, said := theseus(t, dir, "push", at.remote); code == 0 {
				t.Errorf("a push does not say that somebody else can write there: %s", said)
			}
			mustTheseus(t, dir, "push", "--restore", at.remote)
			if err := update("1.0.0"); err != nil {
				t.Fatal(err)
			}
			has("1.1.0")

			at.exchange("stable", old)
			if err := update("1.1.0"); err == nil {
				t.Error("an old channel is taken")
			}
			has("1.1.0")
			publish(dir, "1.2.0")
			mustTheseus(t, dir, "push", at.remote)
			if err := update("1.1.0"); err != nil {
				t.Fatal(err)
			}
			has("1.2.0")
			mustTheseus(t, dir, "verify", "--repo", at.remote, "--key", "theseus.pub")
		})
	}
}
