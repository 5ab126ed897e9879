package publisher

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

// What a pattern for the files of a release may have in it, and what may stand in its place.
var placeholders = map[string]string{
	"{os}":      `([a-z0-9]+)`,
	"{arch}":    `([a-z0-9]+)`,
	"{variant}": `([a-z0-9]+(?:\.[0-9]+)*)`,
	"{version}": "", // the version itself
}

var placeholder = regexp.MustCompile(`\{[^}/]*\}`)

// checkPattern judges one line of artifacts in the project file.
func checkPattern(pattern string) error {
	if !strings.Contains(pattern, "{os}") {
		_, err := ParseArtifacts([]string{pattern})
		if platform, _, _ := strings.Cut(pattern, "="); err != nil || strings.Contains(platform, "{") {
			err = fmt.Errorf("artifacts: %q is neither OS/ARCH=FILE nor a path with {os} and {arch} in it", pattern)
		}
		return err
	}
	for _, at := range placeholder.FindAllString(pattern, -1) {
		if _, ok := placeholders[at]; !ok {
			return fmt.Errorf("artifacts: %q: there is no %s: a path may have %s", pattern, ui.Clean(at), strings.Join(slices.Sorted(maps.Keys(placeholders)), ", "))
		}
	}
	if !strings.Contains(pattern, "{arch}") || strings.Contains(pattern, "}{") {
		return fmt.Errorf("artifacts: %q: want {os} and {arch}, and something between two of them", pattern)
	}
	return nil
}

// Built finds the files of a release by the patterns of the project file.
func (p *Project) Built(version string) ([]Artifact, error) {
	var files []Artifact
	for _, pattern := range p.Artifacts {
		if !strings.Contains(pattern, "{os}") {
			some, err := ParseArtifacts([]string{strings.ReplaceAll(pattern, "{version}", version)})
			if err != nil {
				return nil, err
			}
			for _, f := range some {
				f.Path = p.At(f.Path)
				files = append(files, f)
			}
			continue
		}
		path := p.At(filepath.FromSlash(pattern))
		parts := strings.Split(filepath.ToSlash(path), "/")
		dir := "."
		if filepath.IsAbs(path) {
			dir, parts = filepath.VolumeName(path)+string(filepath.Separator), parts[1:]
		}
		some, err := find(dir, parts, version, nil)
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	if len(files) == 0 && len(p.Artifacts) > 0 {
		return nil, ui.Fail(ui.ExitError, "nothing fits %s, which %s names as the files of a release: build them first", strings.Join(p.Artifacts, ", "), ProjectFile)
	}
	return files, EachOnce(files)
}

// find lists what fits the rest of a pattern in a folder. known is what the placeholders before it have stood for.
func find(dir string, parts []string, version string, known map[string]string) (files []Artifact, err error) {
	part, last := parts[0], len(parts) == 1
	if !placeholder.MatchString(part) && !last {
		return find(filepath.Join(dir, part), parts[1:], version, known)
	}
	fits, names := expression(part, version, last)
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		found := fits.FindStringSubmatch(e.Name())
		if found == nil {
			continue
		}
		said, same := maps.Clone(known), true
		if said == nil {
			said = map[string]string{}
		}
		for i, name := range names {
			same = same && (said[name] == "" || said[name] == found[i+1])
			said[name] = found[i+1]
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if !same || err != nil || info.IsDir() == last {
			continue
		}
		if !last {
			below, err := find(path, parts[1:], version, said)
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
			continue
		}
		f := Artifact{Path: path, Platform: release.Platform{OS: said["{os}"], Arch: said["{arch}"], Variant: said["{variant}"]}}
		files = append(files, f.Universal()...)
	}
	return files, nil
}

// expression is one part of a pattern as a regular expression, and what its groups stand for. At the end of a path .exe may
// follow, as the Go toolchain adds it for Windows.
func expression(part, version string, last bool) (fits *regexp.Regexp, names []string) {
	var b strings.Builder
	b.WriteString("^")
	at := 0
	for _, m := range placeholder.FindAllStringIndex(part, -1) {
		b.WriteString(regexp.QuoteMeta(part[at:m[0]]))
		if name := part[m[0]:m[1]]; name == "{version}" {
			b.WriteString(regexp.QuoteMeta(version))
		} else {
			b.WriteString(placeholders[name])
			names = append(names, name)
		}
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(part[at:]))
	if last {
		b.WriteString(`(?:\.exe)?`)
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String()), names
}
