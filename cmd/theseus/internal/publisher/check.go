package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/program"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Check is one question that is asked before anything is signed: a mistake that is signed has used up its version. Each
// can be overruled by its name, by somebody who knows better.
type Check string

const (
	NotAProgram    Check = "not-a-program"   // an archive, a text, half of a file
	OtherPlatform  Check = "other-platform"  // built for another system or architecture
	OtherCPU       Check = "other-cpu"       // built for a CPU that not every machine of the variant has
	OtherVersion   Check = "other-version"   // says another version when it is run
	FewerPlatforms Check = "fewer-platforms" // the last release had one that this one lacks
	NewChannel     Check = "new-channel"     // the channel is not there, and others are that may be meant
	SmallerShare   Check = "smaller-share"   // fewer installations than now would be offered the release
)

// Checks are all of them, in the order in which they are made.
var Checks = []Check{NotAProgram, OtherPlatform, OtherCPU, OtherVersion, FewerPlatforms, NewChannel, SmallerShare}

// ParseChecks reads what --allow takes.
func ParseChecks(names []string) (allowed []Check, err error) {
	for _, name := range names {
		if !slices.Contains(Checks, Check(name)) {
			return nil, ui.Usage("--allow %s: there is no such check%s: it is one of %s", name, ui.DidYouMean(name, words(Checks)), strings.Join(words(Checks), ", "))
		}
		allowed = append(allowed, Check(name))
	}
	return allowed, nil
}

func words[T ~string](list []T) (names []string) {
	for _, l := range list {
		names = append(names, string(l))
	}
	return names
}

// A Mistake is what a check found.
type Mistake struct {
	Check    Check  `json:"check"`
	Platform string `json:"platform,omitempty"`
	Text     string `json:"text"` // with what to do next
}

// Mistakes are why nothing was signed: all of them at once, so that they are mended at once.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	var texts []string
	var checks []string
	for _, one := range m {
		texts = append(texts, one.Text)
		if !slices.Contains(checks, string(one.Check)) {
			checks = append(checks, string(one.Check))
		}
	}
	said := strings.Join(texts, "; ")
	if len(m) > 1 {
		said = fmt.Sprintf("%d mistakes: %s", len(m), said)
	}
	return fmt.Sprintf("%s (nothing was signed; if it is meant so: --allow %s)", said, strings.Join(checks, ","))
}

// MarshalJSON is how they stand in an error of --json.
func (m Mistakes) MarshalJSON() ([]byte, error) { return json.Marshal([]Mistake(m)) }

// but leaves out what is allowed.
func (m Mistakes) but(allowed []Check) Mistakes {
	return slices.DeleteFunc(m, func(one Mistake) bool { return slices.Contains(allowed, one.Check) })
}

// check makes all checks before the release is signed, or offered in a channel for the first time.
func (p *Publisher) check(ctx context.Context, r *Release, old base) error {
	all, err := p.mistakes(ctx, r, old)
	if err != nil || len(all) == 0 {
		return err
	}
	return ui.Fail(ui.ExitError, "%w", all)
}

// mistakes are what the checks find that is not overruled.
func (p *Publisher) mistakes(ctx context.Context, r *Release, old base) (Mistakes, error) {
	all, err := r.mistakes(ctx)
	if err != nil {
		return nil, err
	}
	has, err := p.platforms(ctx, r)
	if err != nil {
		return nil, err
	}
	fewer, err := p.fewer(ctx, r.Version, old.next(r.Channel), has)
	if err != nil {
		return nil, err
	}
	unknown, err := p.unknownChannel(ctx, r, old.Channel != nil)
	if err != nil {
		return nil, err
	}
	return slices.Concat(all, fewer, unknown).but(r.Allow), nil
}

// platforms are those of the release: of its files, or of the manifest that is there; none if there is none either.
func (p *Publisher) platforms(ctx context.Context, r *Release) (has []release.Platform, err error) {
	for _, f := range r.Artifacts {
		has = append(has, f.Platform)
	}
	if len(has) > 0 {
		return has, nil
	}
	file, _, err := p.read(ctx, release.ManifestPath(r.Version), verify.TypeManifest)
	if err != nil {
		return nil, nil // said where the manifest is opened
	}
	m, err := openManifest(file, p.trust.Release, p.app, r.Version)
	if err != nil {
		return nil, nil
	}
	for _, a := range m.Artifacts {
		has = append(has, a.Platform)
	}
	return has, nil
}

// mistakes looks at the files of a release.
func (r *Release) mistakes(ctx context.Context) (all Mistakes, err error) {
	asked := map[string]error{} // one answer for a file, however many platforms it is for
	for _, f := range r.Artifacts {
		m, err := f.mistake(ctx, r.Version.String(), asked)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		m.Platform, m.Text = f.Platform.String(), f.Path+" "+m.Text
		if !slices.ContainsFunc(all, func(other Mistake) bool { return other.Text == m.Text }) { // a file for two platforms
			all = append(all, *m)
		}
	}
	return all, nil
}

// mistake looks at one file: the first thing that is wrong with it, for the others follow from that.
func (f Artifact) mistake(ctx context.Context, version string, asked map[string]error) (*Mistake, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, err // said where it is stored
	}
	p, err := program.Read(file, info.Size())
	if err != nil {
		return &Mistake{Check: NotAProgram, Text: fmt.Sprintf("%v: build or copy it again", err)}, nil
	}
	switch {
	case p.Other != "":
		return &Mistake{Check: NotAProgram, Text: fmt.Sprintf("is %s, and clients put it in the place of the program as it is: give the program itself", p.Other)}, nil
	case !p.RunsOn(f.Platform.OS) && p.Format == "":
		return &Mistake{Check: NotAProgram, Text: fmt.Sprintf("is %s: give the program itself", p)}, nil
	case !p.RunsOn(f.Platform.OS):
		return &Mistake{Check: OtherPlatform, Text: fmt.Sprintf("is %s, which %s does not run: give the file for %s", p, f.Platform.OS, f.Platform)}, nil
	}
	var built []string
	fits := len(p.Builds) == 0
	for _, b := range p.Builds {
		if (b.OS == "" || b.OS == f.Platform.OS || b.OS == "darwin" && f.Platform.OS == "ios") && (b.Arch == "" || b.Arch == f.Platform.Arch) {
			fits = true
			if why := b.Level.Fits(f.Platform.Arch, f.Platform.Variant); why != "" {
				return &Mistake{Check: OtherCPU, Text: "is for other machines: " + why}, nil
			}
		}
		built = append(built, strings.Trim(b.OS+"/"+b.Arch, "/"))
	}
	if !fits {
		return &Mistake{Check: OtherPlatform, Text: fmt.Sprintf("was built for %s, and --artifact says %s: give the right file", strings.Join(built, " and "), f.Platform)}, nil
	}
	if f.Platform.OS != runtime.GOOS || f.Platform.Arch != runtime.GOARCH && p.Format != program.Script {
		return nil, nil // it cannot be asked here
	}
	answer, known := asked[f.Path]
	if !known {
		answer = program.Says(ctx, f.Path, version)
		asked[f.Path] = answer
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if answer != nil {
		// A variant may be for a machine that this one is not.
		if f.Platform.Variant != "" && errors.Is(answer, program.ErrNoAnswer) {
			return nil, nil
		}
		return &Mistake{Check: OtherVersion, Text: fmt.Sprintf("is to be published as %s, and clients would refuse it: %v: build it with the right version", version, answer)}, nil
	}
	return nil, nil
}

// fewer compares the platforms of a release with those of the last one: installations of a platform that is left out hear
// of no new release any more.
func (p *Publisher) fewer(ctx context.Context, v *semver.Version, channel *release.Channel, has []release.Platform) (Mistakes, error) {
	last, err := p.lastRelease(ctx, v, channel)
	if last == nil || len(has) == 0 || err != nil {
		return nil, err
	}
	var lost []string
	for _, a := range last.Artifacts {
		// Whoever had a file of a variant is served by one without.
		if !slices.Contains(has, a.Platform) && !slices.Contains(has, release.Platform{OS: a.OS, Arch: a.Arch}) {
			lost = append(lost, a.Platform.String())
		}
	}
	if len(lost) == 0 {
		return nil, nil
	}
	return Mistakes{{Check: FewerPlatforms, Platform: lost[0], Text: fmt.Sprintf("%s has nothing for %s, and %s had: installations there would hear of no update any more; give the missing files", v, strings.Join(lost, ", "), last.Version)}}, nil
}

// lastRelease is the highest release below v in the channel, otherwise in the repository; nil if there is none that enough
// release keys have signed.
func (p *Publisher) lastRelease(ctx context.Context, v *semver.Version, channel *release.Channel) (*release.Manifest, error) {
	var before []*semver.Version
	for _, e := range channel.Entries {
		if e.Yanked == nil {
			before = append(before, e.Version)
		}
	}
	if len(before) == 0 {
		var err error
		if before, err = p.versions(ctx); err != nil {
			return nil, err
		}
	}
	before = slices.DeleteFunc(before, v.LessThanEqual)
	if len(before) == 0 {
		return nil, nil
	}
	highest := slices.MaxFunc(before, func(a, b *semver.Version) int { return a.Compare(b) })
	file, _, err := p.read(ctx, release.ManifestPath(highest), verify.TypeManifest)
	if err != nil {
		return nil, nil // what is wrong with the last release is for verify to say
	}
	m, err := openManifest(file, p.trust.Release, p.app, highest)
	if err != nil {
		return nil, nil
	}
	return m, nil
}

// unknownChannel finds a channel that was mistyped: clients follow the channel that they were built with, and another one
// reaches none of them. Where the project says which channels there are, any other is one; where it does not, one that looks
// like a channel that is there.
func (p *Publisher) unknownChannel(ctx context.Context, r *Release, there bool) (Mistakes, error) {
	if there || slices.Contains(r.Channels, r.Channel) {
		return nil, nil
	}
	known, err := p.channels(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range r.Channels {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	if len(known) == 0 {
		return nil, nil // the first of all
	}
	meant := ui.DidYouMean(r.Channel, known)
	if len(r.Channels) == 0 && meant == "" {
		if !slices.Contains(r.Allow, NewChannel) {
			p.say(fmt.Sprintf("channel %s is new (there is %s): only programs that are told to follow it will see it", r.Channel, strings.Join(known, ", ")))
		}
		return nil, nil
	}
	return Mistakes{{Check: NewChannel, Text: fmt.Sprintf("there is no channel %s yet%s: there is %s; name a new one under channels in %s", r.Channel, meant, strings.Join(known, ", "), ProjectFile)}}, nil
}

// SharesFall refuses a rollout that would take a release back from installations that it is offered to now.
func SharesFall(version string, is, next release.Rollout, now time.Time, allowed []Check) error {
	was, will := share(is, now), share(next, now)
	if will >= was {
		return nil
	}
	m := Mistakes{{Check: SmallerShare, Text: fmt.Sprintf("%s is offered to %s now, and this begins with %s: begin with %s, or stop it with theseus pause", version, ui.Share(was), ui.Share(will), shareFlag(was))}}.but(allowed)
	if len(m) == 0 {
		return nil
	}
	return ui.Fail(ui.ExitError, "%w", m)
}

// share is what part of the installations a rollout reaches, in millionths.
func share(r release.Rollout, now time.Time) int {
	if r == nil {
		return 1_000_000
	}
	return r.Share(now)
}

// shareFlag is a share as --to takes it.
func shareFlag(millionths int) string {
	if millionths >= 1_000_000 {
		return "all"
	}
	return strings.ReplaceAll(ui.Share(millionths+99), " ", "") // rounded up: shares never fall
}
