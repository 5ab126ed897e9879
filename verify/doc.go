// Package verify tells who signed a document. Bytes and keys go in, verified text and its signers come out.
//
// A client is built with the publisher's public key, or with a trust document that names several:
//
//	trust, err := verify.ParseTrust(key)                              // once
//	doc, err := verify.Open(file, verify.TypeChannel, trust.Channel)  // who signed it?
//	err = doc.Decode(&body)                                           // only then: what does it say?
//	trust, err = trust.Next(file, "hello")                            // keys change by signed steps
//
// A publisher makes keys and documents:
//
//	public, private, err := verify.GenerateKey(nil, "")
//	key, err := verify.ParsePrivateKey(private)
//	file, err := verify.Sign(verify.TypeChannel, body, key.Signer(time.Now()))
//	file, err = verify.AddSignature(file, another)                    // where more than one must sign
//
// For whole channels and manifests, package release does both and knows what they mean.
//
// # Rules
//
// doc/release-format.md specifies documents byte for byte: sections 2 and 3 are what this package implements, and
// testdata/vectors is what it is tested by. In short:
//
//   - A document is one file: the signed text (a type line, one JSON object), an empty line, and 1 to 16 minisign
//     signatures. What does not have exactly this form is refused before any key is looked at.
//   - [Open] checks in this order, and the first check that fails refuses the document: size, form, algorithm of every
//     signature, signatures, threshold, type. A signature that names a known key and does not fit refuses the document,
//     however many others do fit.
//   - Thresholds count distinct keys by their 32 bytes. Key ids are hints and prove nothing. Comments are
//     verified and never interpreted.
//   - The JSON is parsed after all of that, and strictly: see [Document.Decode].
//   - A document's identity is the size and SHA-256 of its text ([Document.ID]), never of the file: signatures come and go
//     without changing it.
//   - The zero [Keys] trusts nobody, and every error refuses.
//
// Every error is one of those below, to be found with errors.Is; its text is a sentence for an operator that says what
// to do. The package does no I/O and knows no clock: expiry is the caller's to judge ([Trust.Expired],
// [release.Clock]). Functions and values are safe for concurrent use as long as nobody changes what is shared.
//
// [release.Clock]: https://pkg.go.dev/github.com/theseus-go/theseus/release#Clock
package verify
