package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/teststore"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Where files lie with their release, a push publishes the release before the channel names it, and a pull finds them.
func TestPushAndPullByRelease(t *testing.T) {
	t.Parallel()
	hub := teststore.NewHub(t)
	public, text, err := verify.GenerateKey(nil, "")
	ok(t, err)
	private, err := verify.ParsePrivateKey(text)
	ok(t, err)
	root, err := verify.ParseTrust(public)
	ok(t, err)
	signed := t.TempDir()
	folder, err := store.OpenFolder(signed)
	ok(t, err)
	defer folder.Close()
	o := publisher.Options{Store: folder, Root: root, App: "hello", Memory: publisher.NewMemory(), Signers: []verify.Signer{private.Signer(time.Unix(1, 0))}, Say: func(string) {}}
	program := filepath.Join(t.TempDir(), "hello")
	for _, version := range []string{"1.0.0", "1.1.0"} {
		ok(t, os.WriteFile(program, []byte("#!/bin/sh\necho hello "+version+"\n"), 0o755))
		v, err := release.ParseVersion(version)
		ok(t, err)
		p, err := publisher.Open(t.Context(), o)
		ok(t, err)
		_, err = p.Publish(t.Context(), &publisher.Release{Version: v, Channel: "stable", Keep: 20, Quiet: true,
			Artifacts: []publisher.Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: program}}})
		ok(t, err)
		hub.Look = func(channelMoves bool, drafts int) {
			if channelMoves && drafts > 0 {
				t.Errorf("%s: the channel moves while its files are in a draft", version)
			}
		}
		to, err := store.Open(t.Context(), hub.Address(""))
		ok(t, err)
		push := remote.Push{Options: o, To: to, Quiet: true}
		done, err := push.Run(t.Context())
		ok(t, err)
		if done.Files != 1 || !done.Channels[0].Changed {
			t.Errorf("%s: %+v", version, done)
		}
		again, err := push.Run(t.Context())
		ok(t, err)
		if again.Files != 0 || again.Channels[0].Changed {
			t.Errorf("%s, again: %+v", version, again)
		}
	}
	if drafts, published := hub.Count(); drafts != 0 || published != 2 {
		t.Errorf("%d drafts, %d releases", drafts, published)
	}

	other, err := store.OpenFolder(t.TempDir())
	ok(t, err)
	defer other.Close()
	from, err := remote.OpenSource(t.Context(), hub.Address(""), false)
	ok(t, err)
	defer from.Close()
	o.Store, o.Memory = other, publisher.NewMemory()
	pulled, err := (&remote.Pull{Options: o, From: from, Quiet: true}).Run(t.Context())
	ok(t, err)
	if pulled.Files != 2 || pulled.Channels[0].State != "pulled" {
		t.Errorf("%+v", pulled)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
