package release

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// maxVersion is the length of the longest version, in bytes. Versions become file names.
const maxVersion = 64

// ParseVersion parses a semantic version (semver.org, 2.0.0) of at most 64 bytes, all three numbers written out,
// without a leading v and without build metadata. Build metadata has no place in an order of releases, and its '+' is a
// space in the URLs of some object stores. A numeric identifier of a pre-release must fit in 64 bits like the three
// numbers: beyond that the order of versions would no longer be that of the specification.
func ParseVersion(s string) (*semver.Version, error) {
	if len(s) > maxVersion {
		return nil, fmt.Errorf("version %.20q…: longer than %d bytes", s, maxVersion)
	}
	v, err := semver.StrictNewVersion(s)
	if err != nil {
		return nil, fmt.Errorf("version %q: %w (a version looks like 1.2.3 or 1.2.3-rc.1)", s, err)
	}
	if v.Metadata() != "" {
		return nil, fmt.Errorf("version %q: build metadata (+%s) cannot be released", s, v.Metadata())
	}
	for id := range strings.SplitSeq(v.Prerelease(), ".") {
		if strings.Trim(id, "0123456789") == "" && id != "" {
			if _, err := strconv.ParseUint(id, 10, 64); err != nil {
				return nil, fmt.Errorf("version %q: number %s is too large", s, id)
			}
		}
	}
	return v, nil
}

// Development reports whether v is a developer's build: 0.0.0-dev, or any version whose pre-release is dev. Nobody
// published it, so only a version that a person names replaces it.
func Development(v *semver.Version) bool { return v.Prerelease() == "dev" }
