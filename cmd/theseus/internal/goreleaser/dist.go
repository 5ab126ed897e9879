// Package goreleaser reads what GoReleaser leaves in its dist folder: which programs it has built, for what, and of which
// version.
package goreleaser

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/program"
	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Dist is what was built.
type Dist struct {
	Project string  // as GoReleaser calls it
	Version string  // without v
	Notes   *string // its change log; nil if it has written none

	dir      string
	prefix   string // how the paths of its artifacts begin: where dist lay, seen from the folder that GoReleaser ran in
	programs []artifact
	boms     []artifact
	sums     map[string]string // by path, of what is uploaded
}

// An artifact is one of artifacts.json. Members are called as internal/artifact of GoReleaser calls them.
type artifact struct {
	Name, Path, Goos, Goarch                                                 string
	Goamd64, Go386, Goarm, Goarm64, Gomips, Goppc64, Goriscv64, Target, Type string

	Kind  int `json:"internal_type"`
	Extra struct{ ID, Binary, Checksum string }
}

// uploadable is the internal_type of a program that is uploaded without an archive: it is listed twice, as what was built and
// as this, with "type": "Binary" both times.
const uploadable = 2

// maxJSON is more than artifacts.json of any project has.
const maxJSON = 16 << 20

// Read reads a dist folder.
func Read(dir string) (*Dist, error) {
	var meta struct {
		Project string `json:"project_name"`
		Version string `json:"version"`
	}
	var all []artifact
	for name, into := range map[string]any{"metadata.json": &meta, "artifacts.json": &all} {
		if err := readJSON(filepath.Join(dir, name), into); err != nil {
			return nil, err
		}
	}
	d := &Dist{Project: meta.Project, Version: meta.Version, dir: dir, prefix: path.Base(filepath.ToSlash(dir)), sums: map[string]string{}}
	for _, a := range all {
		if a.Name == "metadata.json" && a.Type == "Metadata" {
			d.prefix = path.Dir(a.Path)
		}
		if sum, ok := strings.CutPrefix(a.Extra.Checksum, "sha256:"); ok {
			d.sums[a.Path] = sum
		}
		if a.Type == "Binary" && a.Kind != uploadable && !slices.ContainsFunc(d.programs, func(b artifact) bool { return a.Path == b.Path }) {
			d.programs = append(d.programs, a)
		}
		if a.Type == "SBOM" {
			d.boms = append(d.boms, a)
		}
	}
	notes, err := os.ReadFile(filepath.Join(dir, "CHANGELOG.md"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		text := string(notes)
		d.Notes = &text
	}
	return d, nil
}

func readJSON(path string, into any) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ui.Fail(ui.ExitUsage, "%s is not there: name the dist folder of GoReleaser after it has run (goreleaser release, or goreleaser build)", path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(b) > maxJSON {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return ui.Fail(ui.ExitError, "%s is not what GoReleaser writes: %w: run it again", path, err)
	}
	return nil
}

// Artifacts are the programs of one build: of the one with this id, otherwise of those that are called as the app is, if
// there are several. Where a platform has several, the least demanding one is for every machine, and each other one is a
// variant by the name of its level.
func (d *Dist) Artifacts(app, id string) ([]publisher.Artifact, error) {
	programs, err := d.choose(app, id)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(programs, func(a, b artifact) int { // the least demanding first, universal binaries last
		switch {
		case a.universal() != b.universal() && a.universal(), b.level().Less(a.level()):
			return 1
		case a.universal() != b.universal(), a.level().Less(b.level()):
			return -1
		}
		return 0
	})
	var all []publisher.Artifact
	plain := map[release.Platform]bool{} // what has a file for every machine
	for _, a := range programs {
		f := publisher.Artifact{Platform: release.Platform{OS: a.Goos, Arch: a.Goarch}}
		if f.Path, err = d.file(a.Path); err != nil {
			return nil, err
		}
		if f.Sum, err = d.sum(a); err != nil {
			return nil, err
		}
		for _, f := range f.Universal() {
			if plain[f.Platform] && a.universal() {
				continue // the file of one architecture is half as large
			}
			if plain[f.Platform] {
				f.Platform.Variant = a.level().Variant()
			}
			plain[f.Platform] = true
			all = append(all, f)
		}
	}
	return all, publisher.EachOnce(all)
}

// Attachments are the bills of materials that were made.
func (d *Dist) Attachments() (all []publisher.Attachment, err error) {
	for _, a := range d.boms {
		f := publisher.Attachment{Name: a.Name, Type: publisher.TypeOf(a.Name)}
		if f.Path, err = d.file(a.Path); err != nil {
			return nil, err
		}
		if f.Sum, err = d.sum(a); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// sum is the checksum that was written down of a file; zero if none was.
func (d *Dist) sum(a artifact) (sum verify.Digest, err error) {
	text, ok := d.sums[a.Path]
	if !ok {
		return sum, nil
	}
	if err := sum.UnmarshalText([]byte(text)); err != nil {
		return sum, ui.Fail(ui.ExitError, "artifacts.json has the checksum %.100q of %s: run GoReleaser again", text, a.Path)
	}
	return sum, nil
}

// universal is a binary of macOS for several architectures.
func (a artifact) universal() bool { return a.Goarch == "all" }

// program is what the binary is called on every system.
func (a artifact) program() string { return strings.TrimSuffix(a.Extra.Binary, ".exe") }

// choose picks the programs of one build.
func (d *Dist) choose(app, id string) (some []artifact, err error) {
	var ids, names []string
	add := func(to *[]string, name string) {
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	for _, a := range d.programs {
		add(&ids, a.Extra.ID)
		add(&names, a.program())
		if id != "" && a.Extra.ID == id || id == "" && a.program() == app {
			some = append(some, a)
		}
	}
	if id != "" && len(some) > 0 { // the universal binary that was made of them has an id of its own
		for _, a := range d.programs {
			if a.universal() && a.Extra.ID != id && a.program() == some[0].program() {
				some = append(some, a)
			}
		}
	}
	switch {
	case len(d.programs) == 0:
		return nil, ui.Fail(ui.ExitError, "%s has no program: GoReleaser has built none", d.dir)
	case len(some) > 0:
		return some, nil
	case id != "":
		return nil, ui.Usage("--build %s: %s has the builds %s%s", id, d.dir, strings.Join(ids, ", "), ui.DidYouMean(id, ids))
	case len(names) == 1:
		return d.programs, nil
	}
	return nil, ui.Usage("%s has the programs %s, and none is called %s: say which build it is with --build, one of %s", d.dir, strings.Join(names, ", "), app, strings.Join(ids, ", "))
}

// level is what the program needs of a CPU.
func (a artifact) level() program.Level {
	mips := "GOMIPS"
	if strings.HasPrefix(a.Goarch, "mips64") {
		mips = "GOMIPS64"
	}
	for _, l := range []program.Level{
		{Setting: "GOAMD64", Value: a.Goamd64}, {Setting: "GO386", Value: a.Go386}, {Setting: "GOARM", Value: a.Goarm}, {Setting: "GOARM64", Value: a.Goarm64},
		{Setting: mips, Value: a.Gomips}, {Setting: "GOPPC64", Value: a.Goppc64}, {Setting: "GORISCV64", Value: a.Goriscv64},
	} {
		if l.Value != "" {
			return l
		}
	}
	return program.Level{}
}

// file finds what artifacts.json names by a path from the folder on in which GoReleaser ran: dist may have been moved since,
// and this may run elsewhere.
func (d *Dist) file(name string) (string, error) {
	if below, ok := strings.CutPrefix(name, d.prefix+"/"); ok && filepath.IsLocal(filepath.FromSlash(below)) {
		return filepath.Join(d.dir, filepath.FromSlash(below)), nil
	}
	local := filepath.FromSlash(name)
	if dir, err := filepath.Abs(d.dir); err == nil && filepath.IsLocal(local) {
		if root, ok := strings.CutSuffix(filepath.ToSlash(dir), "/"+d.prefix); ok {
			return filepath.Join(filepath.FromSlash(root), local), nil
		}
	}
	return "", ui.Fail(ui.ExitError, "artifacts.json names %.200q, which is not below the folder that GoReleaser ran in: run this where it ran, on the same dist", name)
}

// String is how it is called in messages.
func (d *Dist) String() string { return fmt.Sprintf("%s (GoReleaser, %s)", d.dir, d.Version) }
