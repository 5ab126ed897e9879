// Package release tells what is on offer, and whether it is for this machine.
//
// A publisher signs two kinds of documents. A [Manifest] is one immutable release: its files, by size and SHA-256. A
// [Channel] is small and changes often: which manifests are on offer, to whom, and until when that may be believed.
//
// A client asks four questions in this order:
//
//	c, err := release.OpenChannel(file, trust.Channel, "hello", "stable") // is it genuine, and for this program?
//	err = c.Follows(seen)                                                 // is it as new as what was seen before?
//	err = c.Fresh(clock)                                                  // is it current?
//	offer, verdicts, err := release.Select(c, client, manifest)           // what should be installed, and why?
//
// where manifest fetches the file of an entry and gives it to [OpenManifest]. A publisher writes both kinds with
// [SignManifest] and [SignChannel], which accept exactly what the other side does. Keys come from package verify.
//
// # Rules
//
// doc/release-format.md specifies both documents, the order of the checks, the rules of selection and the arithmetic of
// rollouts (sections 4 to 9); testdata/vectors has a file for each thing that must be refused.
//
//   - What these functions return was verified before it was parsed, and is well formed. That it is genuine does not mean
//     that it is current: an old channel is genuine, too.
//   - The channel can withhold a release; only a manifest can introduce one. An entry names its manifest by hash.
//   - [Select] judges every release by every rule and explains each verdict, whatever the outcome. If nothing may be
//     installed although something newer exists, the error is a *[Nothing] that names the rule.
//   - What a client does not know is either without effect or listed under requires, and then the release that carries it
//     is not on offer to it; the rest of the document holds.
//
// The package reads no files, no network and no clock. It keeps nothing between calls, and its values are safe for
// concurrent use as long as nobody changes them.
package release
