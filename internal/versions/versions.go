// Package versions knows versions as people build and print them: v1.2.0, 1.2, 2026.01.05, what git describe and the Go
// command say of a build between two releases, and where in what a program prints its own version stands.
package versions

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/release"
)

// Development is the version of a build that says no other.
const Development = "0.0.0-dev"

var (
	numbers   = regexp.MustCompile(`^[vV]?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([^+]*))?(?:\+(.*))?$`)
	dashed    = regexp.MustCompile(`^(\d{4})-(\d{2})-(\d{2})$`)
	commit    = regexp.MustCompile(`^g?[0-9a-f]{7,40}(?:-dirty)?$`)
	described = regexp.MustCompile(`^(?:.*-)?\d+-g[0-9a-f]{4,40}$`)    // git describe: 4-gabcdef1
	pseudo    = regexp.MustCompile(`^(?:.*[.-])?\d{14}-[0-9a-f]{12}$`) // the Go command: 0.20261121093000-abcdef123456
	dirty     = regexp.MustCompile(`(?i)(?:^|[-.])dirty$`)             // the same two, of a tree with changes
)

// nameless are what builds without a version are called.
var nameless = []string{"(devel)", "dev", "devel", "development", "snapshot", "unknown", "none", "head", "main", "master", "local"}

// Normal returns the semantic version that a build's version means, without a leading v and without build metadata:
//
//	v1.2.0, 1.2, 1.2.0+linux         1.2.0
//	2026.01.05, 2026-01-05           2026.1.5
//	1.1.0-4-gabcdef1                 1.1.0-dev: between two releases, by git describe
//	v1.2.1-0.20261121093000-abc…     1.2.1-dev: the same, by the Go command
//	1.2.0+dirty, 1.2.0-dirty         1.2.0-dev: not what was committed
//	(devel), dev, abcdef1            0.0.0-dev
//
// What says none of these is an error.
func Normal(build string) (string, error) {
	build = strings.TrimSpace(build)
	if slices.Contains(nameless, strings.ToLower(build)) || commit.MatchString(build) && strings.ContainsAny(build, "abcdef") {
		return Development, nil
	}
	short := build[strings.LastIndexByte(build, '/')+1:] // the tag of a module below the root: tool/v1.2.0
	if d := dashed.FindStringSubmatch(short); d != nil {
		short = strings.Join(d[1:], ".")
	}
	m := numbers.FindStringSubmatch(short)
	if m == nil || len(build) > 200 {
		return "", fmt.Errorf("version %.40q: it should look like 1.2.3 or 1.2.3-rc.1", build)
	}
	for i := 1; i <= 3; i++ {
		m[i] = number(m[i])
	}
	core, pre, meta := strings.Join(m[1:4], "."), m[4], m[5]
	switch {
	case described.MatchString(pre), pseudo.MatchString(pre), dirty.MatchString(pre), dirty.MatchString(meta):
		pre = "dev"
	case pre != "":
		ids := strings.Split(pre, ".")
		for i, id := range ids {
			if strings.Trim(id, "0123456789") == "" && id != "" {
				ids[i] = number(id)
			}
		}
		pre = strings.Join(ids, ".")
	}
	if pre != "" {
		core += "-" + pre
	}
	v, err := release.ParseVersion(core)
	if err != nil {
		return "", fmt.Errorf("version %.40q: it should look like 1.2.3 or 1.2.3-rc.1: %w", build, err)
	}
	return v.String(), nil
}

// number leaves out zeros in front, which no semantic version has.
func number(digits string) string {
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0"
	}
	return digits
}
