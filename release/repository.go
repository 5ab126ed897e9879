package release

import (
	"strconv"

	"github.com/Masterminds/semver/v3"
	"github.com/theseus-go/theseus/verify"
)

// Encodings of a stored file. The file itself has none.
const (
	Zstd  = "zstd"  // one or more Zstandard frames (RFC 8878) with a window of at most 8 MiB
	Delta = "delta" // a patch against the installed file that Download.From names
)

// ManifestPath returns where a repository keeps the manifest of a version. Like every path here it is relative to the
// base URL, with forward slashes. The channel document of channel C is at C.
func ManifestPath(v *semver.Version) string { return "releases/" + v.String() + ".manifest" }

// FilePath returns where a repository keeps stored bytes with the SHA-256 d: files/ and 64 hex digits, with .zst or
// .delta after them for an encoded file. It is made of the hash alone, so no document can point anywhere else.
func FilePath(d verify.Digest, encoding string) string {
	p := "files/" + d.String()
	switch encoding {
	case Zstd:
		p += ".zst"
	case Delta:
		p += ".delta"
	}
	return p
}

// TrustPath returns where a repository keeps a version of the trust document.
func TrustPath(version int) string { return "trust/" + strconv.Itoa(version) }
