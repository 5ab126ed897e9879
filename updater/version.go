package updater

import (
	"runtime/debug"

	"github.com/theseus-go/theseus/internal/versions"
)

// BuildVersion returns the version that the Go command has written into the running program: that of go install
// MODULE@VERSION, or of the tag that a build in a clean checkout stands at. It is a version for Options.Version, and what that
// is when it is empty. Any other build is a development build: 1.2.0-dev between two releases or with changes that are not
// committed, 0.0.0-dev where nothing is known. It does no I/O, and never fails.
//
//	if version == "" { // not set by -ldflags "-X main.version=…"
//		version = updater.BuildVersion()
//	}
//
// theseus publish runs each program, and signs none as a version that it does not print.
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions.Development
	}
	return buildVersion(info)
}

func buildVersion(info *debug.BuildInfo) string {
	v, err := versions.Normal(info.Main.Version)
	if err != nil {
		return versions.Development
	}
	return v
}
