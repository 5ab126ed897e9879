package release

import (
	"fmt"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Client is everything that rules compare a release with.
type Client struct {
	Platform
	Installed    *semver.Version   // what is at the path; required
	Now          time.Time         // for rollouts; Clock.Now
	Installation string            // random id of this installation; without one it is the last that a rollout reaches
	Failed       map[string]string // version -> why, and until when; not offered again unless named by Want
	Urgent       map[string]bool   // those of Failed that are offered again all the same if they are critical for this client
	Want         *semver.Version   // exactly this version; nil: the newest
	Manual       bool              // a person asked: a rollout does not hold back
	// Local are the machine's own rules, asked after those about the entry: what an operator has said, a cooldown. They can
	// hold back what the channel offers, and nothing else. nil: none.
	Local     func(e Entry, critical bool) []Verdict
	Downgrade bool // a person said that Want may be an older release, if the publisher lets people go back to it
}

// A rule judges one release for one client. Everything that is known about a rule stands here: selection, its
// explanation and whoever replays it ask the value and never compare names.
type rule struct {
	name      string
	judge     func(*candidate) (v verdict, asked bool) // asked is false where there is nothing to judge
	bindsBack bool                                     // holds for the target of a signed way back too
	isStep    bool                                     // a release that fails only such rules is right, once another one is installed
	fence     bool                                     // a release that fails it is not the step towards a higher one either
	local     bool                                     // the machine's own, not the publisher's
	waits     bool                                     // the publisher holds the release back for a while, on purpose
	because   error                                    // what errors.Is finds in a Nothing that names this rule; may be nil
}

// A verdict is what came of a rule: what was compared, whether the release passed, and a sentence for a person.
type verdict struct {
	input  string
	passed bool
	detail string
}

// entryRules are judged by the entry in the channel alone, before its manifest is asked for.
var entryRules = []*rule{
	{name: "newer", judge: judgeNewer, bindsBack: true},
	{name: "requires", judge: judgeEntryRequires, bindsBack: true},
	{name: "yanked", judge: judgeYanked, bindsBack: true},
	{name: "failed", judge: judgeFailed, bindsBack: true},
	{name: "paused", judge: judgePaused, bindsBack: true, waits: true},
	{name: "floor", judge: judgeFloor, isStep: true, fence: true},
	{name: "rollout", judge: judgeRollout, waits: true},
}

// manifestRules are judged by the manifest, once every rule above has passed. Rules about the artifact follow the one
// that chooses it.
var manifestRules = []*rule{
	{name: "requires", judge: judgeManifestRequires, bindsBack: true},
	{name: "minimum", judge: judgeMinimum, isStep: true},
	{name: "platform", judge: judgePlatform, bindsBack: true, because: ErrNoArtifact},
	{name: "requires", judge: judgeArtifactRequires, bindsBack: true},
	{name: "download", judge: judgeDownload, bindsBack: true},
}

// A candidate is a release on its way through the rules.
type candidate struct {
	*selection
	Entry
	back     bool // the target of a signed way back
	critical bool // for this client

	manifest *Manifest // for manifestRules
	artifact *Artifact // chosen by judgePlatform; nil before, and where there is none
	failed   []*rule
	why      string // the detail of the first that failed
}

// judge has every rule judge the candidate, writes down what each of them says, and reports whether all passed.
func (c *candidate) judge(rules []*rule) bool {
	for _, r := range rules {
		if c.back && !r.bindsBack {
			continue
		}
		v, asked := r.judge(c)
		if !asked {
			continue
		}
		c.note(c.Version, r.name, v)
		if !v.passed {
			if len(c.failed) == 0 {
				c.why = v.detail
			}
			c.failed = append(c.failed, r)
		}
	}
	return len(c.failed) == 0
}

// judgeLocal is judge for the machine's own rules, of which no other release is a way out.
func (c *candidate) judgeLocal() bool {
	if c.Local == nil {
		return true
	}
	passed := true
	for _, v := range c.Local(c.Entry, c.critical) {
		c.note(c.Version, v.Rule, verdict{v.Input, v.Passed, v.Detail})
		if v.Passed {
			continue
		}
		passed = false
		if len(c.failed) == 0 {
			c.why = v.Detail
		}
		c.failed = append(c.failed, &rule{name: v.Rule, local: true})
	}
	return passed
}

// waitsForStep reports whether the candidate failed, and would pass if the client had installed another release first.
func (c *candidate) waitsForStep() bool {
	for _, r := range c.failed {
		if !r.isStep {
			return false
		}
	}
	return len(c.failed) > 0
}

func pass(input, detail string) (verdict, bool) { return verdict{input, true, detail}, true }
func stop(input, detail string) (verdict, bool) { return verdict{input, false, detail}, true }

func judgeNewer(c *candidate) (verdict, bool) {
	input := "installed " + c.Installed.String()
	switch {
	case c.back && c.Want != nil && c.Return:
		return pass(input, "older, and signed: the publisher lets people go back to this one")
	case c.back:
		return pass(input, "older, and signed: the installed version is withdrawn and goes back to this one")
	}
	return pass(input, "")
}

func judgeEntryRequires(c *candidate) (verdict, bool) {
	return judgeRequires("channel", c.Requires, names(entryRestrictions))
}

func judgeManifestRequires(c *candidate) (verdict, bool) {
	return judgeRequires("manifest", c.manifest.Requires, names(manifestRestrictions))
}

func judgeArtifactRequires(c *candidate) (verdict, bool) {
	if c.artifact == nil || len(c.artifact.Requires) == 0 {
		return verdict{}, false
	}
	return judgeRequires("artifact", c.artifact.Requires, names(artifactRestrictions))
}

func judgeRequires(where string, requires, known []string) (verdict, bool) {
	input := where + ": " + strings.Join(requires, ", ")
	if len(requires) == 0 {
		input = where + ": nothing"
	}
	if u := unknown(requires, known); u != nil {
		return stop(input, "it needs an updater that knows "+strings.Join(u, ", ")+": update to a lower version first, or install it by hand")
	}
	return pass(input, "")
}

func judgeYanked(c *candidate) (verdict, bool) {
	if c.Yanked == nil {
		return pass("no", "")
	}
	return stop("yes", "withdrawn by the publisher: "+c.Yanked.Reason)
}

func judgeFailed(c *candidate) (verdict, bool) {
	why, ok := c.Failed[c.Version.String()]
	switch {
	case !ok:
		return pass("no", "")
	case c.Want != nil:
		return pass(why, "failed here before, and is tried again because it was named")
	case c.critical && c.Urgent[c.Version.String()]:
		return pass(why, "failed here before, and is tried again so soon because it is critical for this installation")
	}
	return stop(why, "failed here before ("+why+"); name the version to try it again")
}

func judgePaused(c *candidate) (verdict, bool) {
	if c.Paused == "" {
		return pass("no", "")
	}
	return stop("yes", "paused by the publisher: "+c.Paused)
}

// A floor is a step for everybody below it. One that is paused or not reached by its rollout holds up what is above it
// too; one that is yanked is none.
func judgeFloor(c *candidate) (verdict, bool) {
	var lowest *semver.Version // entries run from the newest down
	for _, f := range c.channel.Entries {
		if f.Floor && f.Yanked == nil && c.newer(f) && f.Version.LessThan(c.Version) {
			lowest = f.Version
		}
	}
	if lowest == nil {
		return pass("none between", "")
	}
	return stop(lowest.String(), lowest.String()+" must be installed first, by itself")
}

func judgeRollout(c *candidate) (verdict, bool) {
	if c.Rollout == nil {
		return pass("none", "")
	}
	bucket, share := all-1, c.Rollout.Share(c.Now)
	place := "last (no installation id)"
	if c.Installation != "" {
		bucket = Bucket(c.channel.App, c.Version, c.Installation)
		place = percent(bucket)
	}
	input := "share " + percent(share) + ", place " + place
	switch {
	case bucket < share:
		return pass(input, "")
	case c.critical:
		return pass(input, "not reached yet, but critical for this installation")
	case c.Manual || c.Want != nil:
		return pass(input, "not reached yet, but a person asked")
	}
	return stop(input, "it is being rolled out and has not reached this installation yet; a person may ask for it now")
}

func judgeMinimum(c *candidate) (verdict, bool) {
	m := c.manifest.Minimum
	switch {
	case m == nil:
		return pass("none", "")
	case c.Installed.LessThan(m):
		return stop(m.String(), fmt.Sprintf("it can be installed over %s or newer, and %s is installed: a version between them must be installed first", m, c.Installed))
	}
	return pass(m.String(), "")
}

func judgePlatform(c *candidate) (verdict, bool) {
	a, err := c.manifest.Artifact(c.Platform)
	if err != nil {
		var has []string
		for _, a := range c.manifest.Artifacts {
			has = append(has, a.Platform.String())
		}
		return stop(c.Platform.String(), "no artifact for "+c.Platform.String()+"; there is one for "+strings.Join(has, ", "))
	}
	c.artifact = a
	return pass(c.Platform.String(), "artifact for "+a.Platform.String())
}

// judgeDownload also leaves out the downloads that this version cannot use, without touching the manifest.
func judgeDownload(c *candidate) (verdict, bool) {
	if c.artifact == nil {
		return verdict{}, false
	}
	usable := *c.artifact
	usable.Downloads = nil
	var not []string
	for _, d := range c.artifact.Downloads {
		if why := d.unusable(); why != "" {
			not = append(not, why)
			continue
		}
		usable.Downloads = append(usable.Downloads, d)
	}
	input := fmt.Sprintf("%d of %d", len(usable.Downloads), len(c.artifact.Downloads))
	c.artifact = &usable
	if len(usable.Downloads) == 0 {
		return stop(input, "none of its downloads can be used by this version: "+strings.Join(not, "; ")+": install a lower version first")
	}
	return pass(input, strings.Join(not, "; "))
}
