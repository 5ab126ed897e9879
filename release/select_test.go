package release

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/theseus-go/theseus/verify"
)

func version(s string) *semver.Version {
	v, err := ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// shelf is a channel and the manifests behind it, without signatures: what Select sees.
type shelf struct {
	channel   Channel
	manifests map[string]*Manifest
	fetched   []string
}

func newShelf() *shelf {
	return &shelf{channel: Channel{App: "hello", Name: "stable", Sequence: 1, Issued: day, Expires: after(month)}, manifests: map[string]*Manifest{}}
}

var linux = Platform{OS: "linux", Arch: "amd64"}

// add lists a release. Edits are func(*Entry) or func(*Manifest).
func (s *shelf) add(v string, edits ...any) *shelf {
	e := Entry{Version: version(v), Manifest: verify.ID{Size: 1}}
	m := &Manifest{App: "hello", Version: e.Version, Artifacts: []Artifact{{Platform: linux, File: verify.ID{Size: 1}, Downloads: []Download{{Stored: verify.ID{Size: 1}}}}}}
	for _, edit := range edits {
		switch edit := edit.(type) {
		case func(*Entry):
			edit(&e)
		case func(*Manifest):
			edit(m)
		}
	}
	if e.Requires == nil {
		e.Requires = present(entryRestrictions, &e)
	}
	if m.Requires == nil {
		m.Requires = present(manifestRestrictions, m)
	}
	s.channel.Entries = append(s.channel.Entries, e)
	slices.SortFunc(s.channel.Entries, newestFirst)
	s.manifests[v] = m
	return s
}

func (s *shelf) choose(c Client) (*Offer, []Verdict, error) {
	if c.OS == "" {
		c.Platform = linux
	}
	if c.Now.IsZero() {
		c.Now = day
	}
	s.fetched = nil
	return Select(&s.channel, c, func(e Entry) (*Manifest, error) {
		s.fetched = append(s.fetched, e.Version.String())
		if m := s.manifests[e.Version.String()]; m != nil {
			return m, nil
		}
		return nil, fmt.Errorf("no manifest of %s", e.Version)
	})
}

var (
	floor      = func(e *Entry) { e.Floor = true }
	paused     = func(e *Entry) { e.Paused = "login is broken" }
	rolling    = func(e *Entry) { e.Rollout = Rollout{{day, 0}, {after(time.Hour), 10000}} } // nobody yet
	yankedStay = func(e *Entry) { e.Yanked = &Yank{Reason: "eats files", Action: "stay"} }
	yankedUp   = func(e *Entry) { e.Yanked = &Yank{Reason: "eats files", Action: "up"} }
	unknownReq = func(e *Entry) { e.Requires = []string{"moon-phase"} }
	noLinux    = func(m *Manifest) { m.Artifacts[0].Platform = Platform{OS: "plan9", Arch: "386"} }
)

func returnable(e *Entry) { e.Return = true }

func needs(name string) func(*Manifest) {
	return func(m *Manifest) { m.Artifacts[0].Requires = []string{name} }
}

func yankedBack(to string) func(*Entry) {
	return func(e *Entry) { e.Yanked = &Yank{Reason: "eats files", Action: "back", To: version(to)} }
}
func critical(below string) func(*Entry) { return func(e *Entry) { e.Critical = version(below) } }
func minimum(v string) func(*Manifest)   { return func(m *Manifest) { m.Minimum = version(v) } }

// Each row says what is on the shelf, who asks, and what comes of it: a version, "" for up to date, or !rule and the
// version that failed it.
var selections = []struct {
	name   string
	shelf  *shelf
	client Client
	want   string
}{
	{"nothing listed", newShelf(), Client{Installed: version("1.0.0")}, ""},
	{"installed is the newest", newShelf().add("1.0.0"), Client{Installed: version("1.0.0")}, ""},
	{"A03 only older ones", newShelf().add("1.0.0").add("0.9.0"), Client{Installed: version("1.1.0")}, ""},
	{"newest", newShelf().add("1.1.0").add("1.10.0").add("1.9.0"), Client{Installed: version("1.0.0")}, "1.10.0"},
	{"a channel offers what it lists, pre-releases too", newShelf().add("1.1.0-rc.1"), Client{Installed: version("1.0.0")}, "1.1.0-rc.1"},
	{"release after its pre-release", newShelf().add("1.1.0-rc.1").add("1.1.0"), Client{Installed: version("1.1.0-rc.1")}, "1.1.0"},

	{"failed: the next lower", newShelf().add("1.1.0").add("1.2.0"), Client{Installed: version("1.0.0"), Failed: map[string]string{"1.2.0": "died"}}, "1.1.0"},
	{"failed: nothing lower", newShelf().add("1.2.0"), Client{Installed: version("1.0.0"), Failed: map[string]string{"1.2.0": "died"}}, "!failed 1.2.0"},
	{"failed: asked without a name", newShelf().add("1.2.0"), Client{Installed: version("1.0.0"), Manual: true, Failed: map[string]string{"1.2.0": "died"}}, "!failed 1.2.0"},
	{"failed: critical, and its wait is not over", newShelf().add("1.2.0", critical("1.2.0")), Client{Installed: version("1.0.0"), Failed: map[string]string{"1.2.0": "died"}}, "!failed 1.2.0"},
	{"failed: critical, and urgent", newShelf().add("1.2.0", critical("1.2.0")), Client{Installed: version("1.0.0"), Failed: map[string]string{"1.2.0": "died"}, Urgent: map[string]bool{"1.2.0": true}}, "1.2.0"},
	{"failed: urgent, and not critical", newShelf().add("1.2.0"), Client{Installed: version("1.0.0"), Failed: map[string]string{"1.2.0": "died"}, Urgent: map[string]bool{"1.2.0": true}}, "!failed 1.2.0"},
	{"failed: named", newShelf().add("1.2.0"), Client{Installed: version("1.0.0"), Want: version("1.2.0"), Failed: map[string]string{"1.2.0": "died"}}, "1.2.0"},

	{"paused: the next lower", newShelf().add("1.1.0").add("1.2.0", paused), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"paused: asked", newShelf().add("1.2.0", paused), Client{Installed: version("1.0.0"), Manual: true}, "!paused 1.2.0"},
	{"paused: named", newShelf().add("1.2.0", paused), Client{Installed: version("1.0.0"), Want: version("1.2.0")}, "!paused 1.2.0"},
	{"paused: critical", newShelf().add("1.2.0", paused, critical("1.2.0")), Client{Installed: version("1.0.0")}, "!paused 1.2.0"},

	{"requires: the next lower", newShelf().add("1.1.0").add("1.2.0", unknownReq), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"requires: nothing lower", newShelf().add("1.2.0", unknownReq), Client{Installed: version("1.0.0")}, "!requires 1.2.0"},
	{"requires: of the manifest", newShelf().add("1.1.0").add("1.2.0", func(m *Manifest) { m.Requires = []string{"moon"} }), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"requires: of the only download", newShelf().add("1.2.0", func(m *Manifest) { m.Artifacts[0].Downloads[0].Requires = []string{"moon"} }), Client{Installed: version("1.0.0")}, "!download 1.2.0"},
	{"unknown encoding of the only download", newShelf().add("1.2.0", func(m *Manifest) { m.Artifacts[0].Downloads[0].Encoding = "br" }), Client{Installed: version("1.0.0")}, "!download 1.2.0"},

	{"rollout: not yet", newShelf().add("1.2.0", rolling), Client{Installed: version("1.0.0"), Installation: "x"}, "!rollout 1.2.0"},
	{"rollout: not yet, the next lower", newShelf().add("1.1.0").add("1.2.0", rolling), Client{Installed: version("1.0.0"), Installation: "x"}, "1.1.0"},
	{"rollout: everybody", newShelf().add("1.2.0", rolling), Client{Installed: version("1.0.0"), Installation: "x", Now: after(time.Hour)}, "1.2.0"},
	{"rollout: no id until everybody", newShelf().add("1.2.0", rolling), Client{Installed: version("1.0.0"), Now: after(time.Hour - time.Second)}, "!rollout 1.2.0"},
	{"rollout: no id, everybody", newShelf().add("1.2.0", rolling), Client{Installed: version("1.0.0"), Now: after(time.Hour)}, "1.2.0"},
	{"rollout: a person asks", newShelf().add("1.2.0", rolling), Client{Installed: version("1.0.0"), Manual: true}, "1.2.0"},
	{"rollout: a person names it", newShelf().add("1.2.0", rolling), Client{Installed: version("1.0.0"), Want: version("1.2.0")}, "1.2.0"},
	{"rollout: critical here", newShelf().add("1.2.0", rolling, critical("1.0.1")), Client{Installed: version("1.0.0")}, "1.2.0"},
	{"rollout: critical for others", newShelf().add("1.2.0", rolling, critical("1.0.1")), Client{Installed: version("1.0.1")}, "!rollout 1.2.0"},

	{"A27 minimum: a step", newShelf().add("1.1.0").add("1.5.0").add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0")}, "1.5.0"},
	{"A27 minimum: no step", newShelf().add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0")}, "!minimum 2.0.0"},
	{"A27 minimum: reached", newShelf().add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.4.0")}, "2.0.0"},
	{"A27 minimum: named", newShelf().add("1.5.0").add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0"), Want: version("2.0.0")}, "!minimum 2.0.0"},
	{"A27 minimum: two steps", newShelf().add("1.5.0", minimum("1.2.0")).add("1.2.0").add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0")}, "1.2.0"},
	{"minimum: the step to a critical release does not wait", newShelf().add("1.5.0", rolling).add("2.0.0", minimum("1.4.0"), critical("2.0.0")), Client{Installed: version("1.0.0")}, "1.5.0"},
	{"minimum: the step to an ordinary release waits", newShelf().add("1.5.0", rolling).add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0")}, "!rollout 1.5.0"},
	{"minimum: the step to the step is the reason", newShelf().add("1.2.0", paused).add("1.5.0", minimum("1.2.0")).add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0")}, "!paused 1.2.0"},
	{"minimum: a yanked step is no reason", newShelf().add("1.5.0", yankedStay).add("2.0.0", minimum("1.4.0")), Client{Installed: version("1.0.0")}, "!minimum 2.0.0"},

	{"floor: one by one, the lowest first", newShelf().add("1.1.0", floor).add("1.2.0", floor).add("1.3.0"), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"floor: the second", newShelf().add("1.1.0", floor).add("1.2.0", floor).add("1.3.0"), Client{Installed: version("1.1.0")}, "1.2.0"},
	{"floor: passed", newShelf().add("1.1.0", floor).add("1.2.0", floor).add("1.3.0"), Client{Installed: version("1.2.0")}, "1.3.0"},
	{"floor: passed without having been it", newShelf().add("1.1.0", floor).add("1.3.0"), Client{Installed: version("1.1.1")}, "1.3.0"},
	{"floor: named over it", newShelf().add("1.1.0", floor).add("1.3.0"), Client{Installed: version("1.0.0"), Want: version("1.3.0")}, "!floor 1.3.0"},
	{"floor: paused holds up what is above", newShelf().add("1.1.0", floor, paused).add("1.3.0"), Client{Installed: version("1.0.0")}, "!paused 1.1.0"},
	{"floor: what is between is not the reason", newShelf().add("1.1.0", floor, paused).add("1.2.0", rolling).add("1.3.0"), Client{Installed: version("1.0.0")}, "!paused 1.1.0"},
	{"floor: what fails by itself is the reason", newShelf().add("1.1.0", floor, paused).add("1.3.0", rolling), Client{Installed: version("1.0.0")}, "!floor 1.3.0"},
	{"floor: yanked is none", newShelf().add("1.1.0", floor, yankedStay).add("1.3.0"), Client{Installed: version("1.0.0")}, "1.3.0"},
	{"floor: of what is unknown still holds", newShelf().add("1.1.0", floor, unknownReq).add("1.3.0"), Client{Installed: version("1.0.0")}, "!requires 1.1.0"},
	{"floor: lower ones stay on offer", newShelf().add("1.0.5").add("1.1.0", floor, paused).add("1.3.0"), Client{Installed: version("1.0.0")}, "1.0.5"},
	{"floor: on the way to a critical release", newShelf().add("1.1.0", floor, rolling).add("1.3.0", critical("1.3.0")), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"floor: on the way to an ordinary release", newShelf().add("1.1.0", floor, rolling).add("1.3.0"), Client{Installed: version("1.0.0")}, "!rollout 1.1.0"},

	{"A26 yanked is not offered", newShelf().add("1.1.0").add("1.2.0", yankedStay), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"A26 yanked and nothing else: up to date", newShelf().add("1.2.0", yankedUp), Client{Installed: version("1.0.0")}, ""},
	{"A26 yanked, named", newShelf().add("1.2.0", yankedUp), Client{Installed: version("1.0.0"), Want: version("1.2.0")}, "!yanked 1.2.0"},
	{"A26 installed is yanked: stay", newShelf().add("1.0.0").add("1.2.0", yankedStay), Client{Installed: version("1.2.0")}, ""},
	{"A26 installed is yanked: stay, newer waits", newShelf().add("1.2.0", yankedStay).add("1.3.0", rolling), Client{Installed: version("1.2.0")}, "!rollout 1.3.0"},
	{"A26 installed is yanked: up", newShelf().add("1.2.0", yankedUp).add("1.3.0", rolling), Client{Installed: version("1.2.0")}, "1.3.0"},
	{"A26 installed is yanked: up, nothing there", newShelf().add("1.1.0").add("1.2.0", yankedUp), Client{Installed: version("1.2.0")}, ""},
	{"A26 installed is yanked: back", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")), Client{Installed: version("1.2.0")}, "1.1.0 downgrade"},
	{"A26 back: not those who have another version", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")), Client{Installed: version("1.3.0")}, ""},
	{"A26 back: a newer one is better", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")).add("1.3.0"), Client{Installed: version("1.2.0")}, "1.3.0"},
	{"A26 back: a newer one is not there yet", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")).add("1.3.0", rolling), Client{Installed: version("1.2.0")}, "1.1.0 downgrade"},
	{"A26 back: minimum, floor and rollout do not bind", newShelf().add("1.1.0", rolling, minimum("1.0.0")).add("1.2.0", floor, yankedBack("1.1.0")), Client{Installed: version("1.2.0")}, "1.1.0 downgrade"},
	{"A26 back: paused does", newShelf().add("1.1.0", paused).add("1.2.0", yankedBack("1.1.0")), Client{Installed: version("1.2.0")}, "!paused 1.1.0"},
	{"A26 back: failed does", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")), Client{Installed: version("1.2.0"), Failed: map[string]string{"1.1.0": "died"}}, "!failed 1.1.0"},
	{"A26 back: platform does", newShelf().add("1.1.0", noLinux).add("1.2.0", yankedBack("1.1.0")), Client{Installed: version("1.2.0")}, "!platform 1.1.0"},
	{"A26 back: named", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")).add("1.3.0"), Client{Installed: version("1.2.0"), Want: version("1.1.0")}, "1.1.0 downgrade"},
	{"A26 back: another older one named", newShelf().add("1.0.0").add("1.1.0").add("1.2.0", yankedBack("1.1.0")), Client{Installed: version("1.2.0"), Want: version("1.0.0")}, "!newer 1.0.0"},
	{"A26 back: a newer one named that may not be", newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0")).add("1.3.0", paused), Client{Installed: version("1.2.0"), Want: version("1.3.0")}, "!paused 1.3.0"},

	{"named: newer, not the newest", newShelf().add("1.1.0").add("1.2.0"), Client{Installed: version("1.0.0"), Want: version("1.1.0")}, "1.1.0"},
	{"H10 named: older", newShelf().add("1.0.0"), Client{Installed: version("1.1.0"), Want: version("1.0.0"), Manual: true}, "!newer 1.0.0"},
	{"named: installed", newShelf().add("1.1.0").add("1.2.0"), Client{Installed: version("1.1.0"), Want: version("1.1.0")}, ""},
	{"named: not listed", newShelf().add("1.1.0").add("1.2.0", yankedStay), Client{Installed: version("1.0.0"), Want: version("9.9.9")}, "!listed 9.9.9"},
	{"named: nothing listed", newShelf(), Client{Installed: version("1.0.0"), Want: version("9.9.9")}, "!listed 9.9.9"},
	{"named: installed and not listed", newShelf(), Client{Installed: version("1.0.0"), Want: version("1.0.0")}, ""},

	{"dev: by itself", newShelf().add("1.1.0"), Client{Installed: version("0.0.0-dev")}, "!dev 1.1.0"},
	{"dev: any version", newShelf().add("1.1.0"), Client{Installed: version("1.1.0-dev")}, "!dev 1.1.0"},
	{"dev: nothing newer", newShelf().add("1.1.0"), Client{Installed: version("1.2.0-dev")}, ""},
	{"dev: a person asks", newShelf().add("1.1.0"), Client{Installed: version("0.0.0-dev"), Manual: true}, "!dev 1.1.0"},
	{"dev: a person names", newShelf().add("1.1.0"), Client{Installed: version("0.0.0-dev"), Want: version("1.1.0")}, "1.1.0"},
	{"dev: critical", newShelf().add("1.1.0", critical("1.1.0")), Client{Installed: version("0.0.0-dev")}, "!dev 1.1.0"},
	{"dev: yanked back", newShelf().add("1.0.0").add("1.1.0-dev", yankedBack("1.0.0")), Client{Installed: version("1.1.0-dev")}, "!dev 1.0.0"},

	{"return: named and meant", newShelf().add("1.0.0", returnable).add("1.1.0"), Client{Installed: version("1.1.0"), Want: version("1.0.0"), Downgrade: true}, "1.0.0 downgrade"},
	{"return: named, and not meant", newShelf().add("1.0.0", returnable).add("1.1.0"), Client{Installed: version("1.1.0"), Want: version("1.0.0"), Manual: true}, "!newer 1.0.0"},
	{"return: meant, and not allowed", newShelf().add("1.0.0").add("1.1.0"), Client{Installed: version("1.1.0"), Want: version("1.0.0"), Downgrade: true}, "!newer 1.0.0"},
	{"return: never by itself", newShelf().add("1.0.0", returnable), Client{Installed: version("1.1.0"), Downgrade: true}, ""},
	{"return: from what is not listed", newShelf().add("1.0.0", returnable), Client{Installed: version("1.1.0"), Want: version("1.0.0"), Downgrade: true}, "1.0.0 downgrade"},
	{"return: not below what is critical", newShelf().add("1.0.0", returnable).add("1.2.0", critical("1.1.0")), Client{Installed: version("1.2.0"), Want: version("1.0.0"), Downgrade: true}, "!newer 1.0.0"},
	{"return: not below a floor that was passed", newShelf().add("1.0.0", returnable).add("1.1.0", floor).add("1.2.0"), Client{Installed: version("1.2.0"), Want: version("1.0.0"), Downgrade: true}, "!newer 1.0.0"},
	{"return: rollout and minimum do not bind", newShelf().add("1.0.0", returnable, rolling, minimum("0.9.0")), Client{Installed: version("1.2.0"), Want: version("1.0.0"), Downgrade: true}, "1.0.0 downgrade"},
	{"return: yanked does", newShelf().add("1.0.0", returnable, yankedStay), Client{Installed: version("1.2.0"), Want: version("1.0.0"), Downgrade: true}, "!yanked 1.0.0"},
	{"return: paused does", newShelf().add("1.0.0", returnable, paused), Client{Installed: version("1.2.0"), Want: version("1.0.0"), Downgrade: true}, "!paused 1.0.0"},
	{"return: on the way up it means nothing", newShelf().add("1.2.0", returnable), Client{Installed: version("1.0.0"), Want: version("1.2.0"), Downgrade: true}, "1.2.0"},

	{"requires: of the artifact", newShelf().add("1.1.0").add("1.2.0", needs("moon")), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"requires: of another platform's artifact", newShelf().add("1.2.0", func(m *Manifest) {
		m.Artifacts = append(m.Artifacts, Artifact{Platform: Platform{OS: "plan9", Arch: "386"}, Requires: []string{"moon"}})
	}), Client{Installed: version("1.0.0")}, "1.2.0"},

	{"A14 platform: the next lower", newShelf().add("1.1.0").add("1.2.0", noLinux), Client{Installed: version("1.0.0")}, "1.1.0"},
	{"A14 platform: none", newShelf().add("1.2.0", noLinux), Client{Installed: version("1.0.0")}, "!platform 1.2.0"},
}

func TestSelect(t *testing.T) {
	for _, row := range selections {
		t.Run(row.name, func(t *testing.T) {
			offer, rules, err := row.shelf.choose(row.client)
			got := ""
			if offer != nil {
				got = offer.Entry.Version.String()
				if offer.Downgrade {
					got += " downgrade"
				}
				if offer.Manifest.Version != offer.Entry.Version || offer.Artifact == nil {
					t.Error("the offer's parts do not belong together")
				}
			}
			var n *Nothing
			if errors.As(err, &n) {
				got = "!" + n.Rule + " " + n.Version.String()
				if !strings.Contains(err.Error(), n.Reason) || n.Reason == "" {
					t.Errorf("error %q, reason %q", err, n.Reason)
				}
				if errors.Is(err, ErrNoArtifact) != (n.Rule == "platform") {
					t.Error("ErrNoArtifact belongs to the rule platform")
				}
				if n.Waits() != (n.Rule == "rollout" || n.Rule == "paused") {
					t.Errorf("Waits() is %v for the rule %s", n.Waits(), n.Rule)
				}
				if !slices.ContainsFunc(rules, func(r Verdict) bool { return r.Rule == n.Rule && !r.Passed && r.Detail == n.Reason }) {
					t.Errorf("the explanation does not say so: %v", rules)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
				for _, r := range rules {
					t.Logf("%+v", r)
				}
			}
		})
	}
}

func TestSelectCritical(t *testing.T) {
	for _, row := range []struct {
		name  string
		shelf *shelf
		from  string
		want  bool
	}{
		{"ordinary", newShelf().add("1.1.0"), "1.0.0", false},
		{"critical below", newShelf().add("1.1.0", critical("1.0.1")), "1.0.0", true},
		{"not critical from here", newShelf().add("1.1.0", critical("1.0.1")), "1.0.1", false},
		{"leaps over a critical one", newShelf().add("1.1.0", critical("1.1.0")).add("1.2.0"), "1.0.0", true},
		{"stays below a critical one that is withheld", newShelf().add("1.0.5").add("1.1.0", critical("1.1.0"), paused), "1.0.0", false},
		{"step to a critical one", newShelf().add("1.0.5", floor).add("1.1.0", critical("1.1.0")), "1.0.0", true},
		{"installed is to be left", newShelf().add("1.0.0", yankedUp).add("1.1.0"), "1.0.0", true},
		{"installed may stay", newShelf().add("1.0.0", yankedStay).add("1.1.0"), "1.0.0", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			offer, _, err := row.shelf.choose(Client{Installed: version(row.from)})
			if err != nil {
				t.Fatal(err)
			}
			if offer.Critical != row.want {
				t.Errorf("critical: %v", offer.Critical)
			}
		})
	}
}

// The manifest of a release that the channel withholds is never asked for, and its error is never passed over in
// silence.
func TestSelectFetchesOnlyWhatPassedTheChannel(t *testing.T) {
	s := newShelf().add("1.1.0").add("1.2.0", minimum("1.1.0")).add("1.3.0", paused).add("1.4.0", rolling).add("1.5.0", unknownReq).add("1.6.0", yankedStay)
	if _, _, err := s.choose(Client{Installed: version("1.0.0"), Installation: "x"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1.2.0", "1.1.0"}; !slices.Equal(s.fetched, want) {
		t.Errorf("asked for the manifests of %v, want %v", s.fetched, want)
	}
	delete(s.manifests, "1.2.0")
	offer, rules, err := s.choose(Client{Installed: version("1.0.0"), Installation: "x"})
	if offer != nil || err == nil || err.Error() != "no manifest of 1.2.0" {
		t.Errorf("%v, %v", offer, err)
	}
	if len(rules) == 0 {
		t.Error("no explanation")
	}
	// The target of a yank is no exception.
	s = newShelf().add("1.1.0").add("1.2.0", yankedBack("1.1.0"))
	delete(s.manifests, "1.1.0")
	if offer, _, err = s.choose(Client{Installed: version("1.2.0")}); offer != nil || err == nil {
		t.Errorf("%v, %v", offer, err)
	}
}

// Whoever asks for a version that is not there is told what is: the newest few.
func TestSelectSaysWhatIsListed(t *testing.T) {
	s := newShelf().add("1.7.0", yankedStay)
	for _, v := range []string{"1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0"} {
		s.add(v)
	}
	_, _, err := s.choose(Client{Installed: version("1.0.0"), Want: version("1.7.1")})
	if want := "1.7.1 cannot be installed here now: channel stable does not list it; it lists 1.6.0, 1.5.0, 1.4.0, 1.3.0, 1.2.0, …"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSelectNeedsTheInstalledVersion(t *testing.T) {
	if offer, _, err := newShelf().add("1.0.0").choose(Client{}); offer != nil || err == nil {
		t.Errorf("%v, %v", offer, err)
	}
}

func TestA14PlatformChoice(t *testing.T) {
	all := []string{"linux/amd64", "linux/amd64/v3", "linux/arm64", "linux/arm/7", "windows/amd64"}
	m := &Manifest{App: "hello", Version: version("1.0.0")}
	for _, p := range all {
		parts := append(strings.Split(p, "/"), "")
		m.Artifacts = append(m.Artifacts, Artifact{Platform: Platform{parts[0], parts[1], parts[2]}})
	}
	for ask, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3", "linux/amd64/v2": "linux/amd64", "linux/arm64/x": "linux/arm64",
		"linux/arm": "", "linux/arm/6": "", "linux/arm/7": "linux/arm/7", "linux/386": "", "darwin/amd64": "", "": "",
	} {
		parts := append(strings.Split(ask, "/"), "", "")
		a, err := m.Artifact(Platform{parts[0], parts[1], parts[2]})
		switch {
		case want == "" && !errors.Is(err, ErrNoArtifact):
			t.Errorf("%q: %v, %v", ask, a, err)
		case want != "" && (err != nil || a.Platform.String() != want):
			t.Errorf("%q: %v, %v", ask, a, err)
		}
	}
}

// Downloads that this version cannot use are left out of the offer, and the manifest stays as it is.
func TestSelectLeavesOutWhatItCannotUse(t *testing.T) {
	s := newShelf().add("1.1.0", func(m *Manifest) {
		m.Artifacts[0].Downloads = []Download{{}, {Encoding: "br"}, {Encoding: Zstd}, {Encoding: Zstd, Requires: []string{"window-64"}}, {Encoding: Delta}}
	})
	offer, rules, err := s.choose(Client{Installed: version("1.0.0")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := offer.Artifact.Downloads, []Download{{}, {Encoding: Zstd}, {Encoding: Delta}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(s.manifests["1.1.0"].Artifacts[0].Downloads) != 5 {
		t.Error("the manifest was changed")
	}
	if last := rules[len(rules)-1]; last.Rule != "download" || !last.Passed || last.Input != "3 of 5" || !strings.Contains(last.Detail, "window-64") {
		t.Errorf("%+v", last)
	}
}

// "Why did this machine not update?" has an answer: every rule, in order, also those after the first that failed.
func TestExplain(t *testing.T) {
	s := newShelf().add("1.0.0", yankedUp).add("1.1.0", floor).
		add("1.2.0", paused, func(e *Entry) { e.Rollout = Rollout{{day, 1000}} })
	_, rules, err := s.choose(Client{Installed: version("1.0.0"), Installation: "31", Failed: map[string]string{"1.2.0": "died after 2 s"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		verdict := "no"
		if r.Passed {
			verdict = "ok"
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s [%s] %s", r.Release, r.Rule, verdict, r.Input, r.Detail)))
	}
	bucket := percent(Bucket("hello", version("1.2.0"), "31"))
	want := []string{
		"installed no [1.0.0 is yanked: up] withdrawn: eats files; the next newer release that is on offer takes its place, without waiting for a rollout",
		"1.2.0 newer ok [installed 1.0.0]",
		"1.2.0 requires ok [channel: floor, paused]",
		"1.2.0 yanked ok [no]",
		"1.2.0 failed no [died after 2 s] failed here before (died after 2 s); name the version to try it again",
		"1.2.0 paused no [yes] paused by the publisher: login is broken",
		"1.2.0 floor no [1.1.0] 1.1.0 must be installed first, by itself",
		"1.2.0 rollout ok [share 10.0000 %, place " + bucket + "] not reached yet, but critical for this installation",
		"1.1.0 newer ok [installed 1.0.0]",
		"1.1.0 requires ok [channel: floor]",
		"1.1.0 yanked ok [no]",
		"1.1.0 failed ok [no]",
		"1.1.0 paused ok [no]",
		"1.1.0 floor ok [none between]",
		"1.1.0 rollout ok [none]",
		"1.1.0 requires ok [manifest: nothing]",
		"1.1.0 minimum ok [none]",
		"1.1.0 platform ok [linux/amd64] artifact for linux/amd64",
		"1.1.0 download ok [1 of 1]",
	}
	want[2] = "1.2.0 requires ok [channel: paused, rollout]"
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d:\n got %q\nwant %q", i+1, append(got, "", "")[min(i, len(got))], append(want, "")[min(i, len(want))])
		}
	}
}

func TestLowestAllowed(t *testing.T) {
	for _, row := range []struct {
		name      string
		shelf     *shelf
		installed string
		want      string
	}{
		{"nothing marked", newShelf().add("1.0.0").add("1.1.0"), "1.1.0", ""},
		{"the highest critical mark", newShelf().add("1.2.0", critical("1.0.3")).add("1.1.0", critical("1.1.0")), "1.2.0", "1.1.0"},
		{"critical although not reached", newShelf().add("1.2.0", critical("1.2.0")), "1.0.0", "1.2.0"},
		{"critical although withheld", newShelf().add("1.2.0", critical("1.2.0"), paused), "1.0.0", "1.2.0"},
		{"a floor that was passed", newShelf().add("1.1.0", floor).add("1.2.0"), "1.2.0", "1.1.0"},
		{"a floor that is installed", newShelf().add("1.1.0", floor), "1.1.0", "1.1.0"},
		{"a floor still ahead", newShelf().add("1.1.0", floor), "1.0.0", ""},
		{"a floor that was withdrawn", newShelf().add("1.1.0", floor, yankedStay), "1.2.0", ""},
	} {
		got := ""
		if v := row.shelf.channel.LowestAllowed(version(row.installed)); v != nil {
			got = v.String()
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
