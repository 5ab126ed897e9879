package release_test

import (
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

func Example() {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	public, private, err := verify.GenerateKey(rand.NewChaCha8([32]byte{1}), "")
	check(err)
	key, err := verify.ParsePrivateKey(private)
	check(err)
	signer, linux := key.Signer(now), release.Platform{OS: "linux", Arch: "amd64"}

	// The publisher signs a manifest, and a channel that offers it.
	program := verify.IDOf([]byte("the program, 1.1.0"))
	manifestFile, err := release.SignManifest(&release.Manifest{
		App: "hello", Version: semver.MustParse("1.1.0"), Date: now,
		Artifacts: []release.Artifact{{Platform: linux, File: program, Downloads: []release.Download{{Stored: program}}}},
	}, signer)
	check(err)
	text, _, err := verify.Split(manifestFile)
	check(err)
	channelFile, err := release.SignChannel(&release.Channel{
		App: "hello", Name: "stable", Sequence: 1, Issued: now, Expires: now.AddDate(0, 0, 90),
		Entries: []release.Entry{{Version: semver.MustParse("1.1.0"), Manifest: verify.IDOf(text)}},
	}, signer)
	check(err)

	// The client verifies, judges freshness, and selects.
	trust, err := verify.ParseTrust(public)
	check(err)
	channel, err := release.OpenChannel(channelFile, trust.Channel, "hello", "stable")
	check(err)
	check(channel.Fresh(release.Clock{Wall: now.Add(time.Hour)}))
	offer, _, err := release.Select(channel,
		release.Client{Platform: linux, Installed: semver.MustParse("1.0.0"), Now: now.Add(time.Hour)},
		func(e release.Entry) (*release.Manifest, error) {
			return release.OpenManifest(manifestFile, trust.Release, "hello", e)
		})
	check(err)
	fmt.Println("install", offer.Manifest.Version, "of", offer.Artifact.File.Size, "bytes")
	fmt.Println("a year later it is expired:", errors.Is(channel.Fresh(release.Clock{Wall: now.AddDate(1, 0, 0)}), release.ErrExpired))
	// Output:
	// install 1.1.0 of 18 bytes
	// a year later it is expired: true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
