// Package release answers: what is on offer, and is it for me?
//
// A publisher signs two kinds of documents. A [Manifest] is one immutable release: what it is made of on each platform, by
// size and SHA-256. A [Channel] is small and changes often: which manifests are on offer, to whom, and until when that may
// be believed. doc/release-format.md specifies both byte for byte.
//
// A client goes through four questions, each of which is a function here. Is it genuine and meant for this program?
// [OpenChannel] and [OpenManifest] take bytes and keys and return values that were verified before they were parsed. Is it
// newer than what was seen? [Channel.Follows]. Is it current? [Channel.Fresh], by what a [Clock] knows. What should be
// installed? [Select], which judges every release by every rule and can explain itself.
//
// A publisher uses [SignChannel] and [SignManifest], which accept exactly what the other side does.
//
// The package reads no files, no network and no clock. Nothing in it is kept between calls, and its values are safe for
// concurrent use as long as nobody changes them.
package release
