package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

var update = flag.Bool("update", false, "write testdata/vectors/history anew")

const historyFolder = "../../testdata/vectors/history"

// A history is what one client meets, one look after the other. testdata/vectors/README.md says what the members mean.
type history struct {
	About   string `json:"about"`
	App     string `json:"app"`
	Channel string `json:"channel"`
	Key     string `json:"key"`
	Steps   []look `json:"steps"`
}

type look struct {
	About  string            `json:"about"`
	Now    time.Time         `json:"now"`
	Served map[string]string `json:"served"` // path -> document
	Expect string            `json:"expect"`

	// What is remembered after it.
	Trust      int   `json:"trust"`
	Sequence   int64 `json:"sequence"`
	TrustFloor int   `json:"trust_floor"`
}

var expectations = []struct {
	word string
	err  error
}{
	{"rollback", release.ErrRollback}, {"equivocation", release.ErrEquivocation}, {"withheld", release.ErrTrust},
	{"expired", release.ErrExpired}, {"future", release.ErrFuture}, {"threshold", verify.ErrThreshold}, {"signature", verify.ErrSignature},
}

func expectation(err error) string {
	for _, e := range expectations {
		if errors.Is(err, e.err) {
			return e.word
		}
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// A stage is a repository whose histories are written down.
type stage struct {
	*testrelease.Repo
	steps []look
	keys  map[string]*testrelease.Key
}

var day = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func newStage(t *testing.T) *stage {
	s := &stage{Repo: testrelease.New(t), keys: map[string]*testrelease.Key{}}
	s.Now, s.Expires = day, 365*24*time.Hour
	for _, name := range []string{"ci", "old", "new", "second"} {
		s.keys[name] = testrelease.NewKey(t, name)
	}
	s.keys["publisher"] = s.ReleaseKeys[0]
	return s
}

func (s *stage) of(names string) (keys []*testrelease.Key) {
	for name := range strings.FieldsSeq(names) {
		keys = append(keys, s.keys[name])
	}
	return keys
}

// trust publishes the next trust document, whose channel role is threshold of names.
func (s *stage) trust(version, threshold int, names string) {
	s.Repo.Trust(verify.TrustDraft{Version: version, Channel: testrelease.Role(threshold, s.of(names)...)}, s.ReleaseKeys[0])
}

// sign publishes a channel with these members.
func (s *stage) sign(sequence int64, trust int, by string) {
	s.ChannelKeys = s.of(by)
	s.Resign(func(c *release.Channel) { c.Sequence, c.Trust = sequence, trust })
}

// look adds a step in which the client meets what is published now. Trust documents are looked for in every step.
func (s *stage) look(about, expect string, trust int, sequence int64, floor int) {
	step := look{About: about, Now: s.Now.Add(time.Duration(len(s.steps)) * 25 * time.Hour), Served: map[string]string{}, Expect: expect, Trust: trust, Sequence: sequence, TrustFloor: floor}
	for _, path := range s.Files() {
		if path == s.Name || strings.HasPrefix(path, "trust/") {
			step.Served[path] = string(s.Get(path))
		}
	}
	s.steps = append(s.steps, step)
}

func histories(t *testing.T) map[string]history {
	all := map[string]history{}
	add := func(name, about string, play func(*stage)) {
		s := newStage(t)
		key := s.Key()
		play(s)
		all[name] = history{About: about, App: s.App, Channel: s.Name, Key: key, Steps: s.steps}
	}

	add("A03-rollback", "An older document is not taken, and nothing changes.", func(s *stage) {
		s.sign(7, 0, "publisher")
		s.look("the first one", "ok", 0, 7, 0)
		s.sign(6, 0, "publisher")
		s.look("an older one", "rollback", 0, 7, 0)
		s.sign(8, 0, "publisher")
		s.look("a newer one", "ok", 0, 8, 0)
	})
	add("A05-equivocation", "Two documents of one sequence: the first stays.", func(s *stage) {
		s.sign(7, 0, "publisher")
		s.look("the first one", "ok", 0, 7, 0)
		s.Expires += time.Hour
		s.sign(7, 0, "publisher")
		s.look("another one of the same sequence", "equivocation", 0, 7, 0)
	})
	add("A07-fast-forward", "A stolen key signs the highest sequence; replacing it lets the publisher begin again at 1.", func(s *stage) {
		s.trust(1, 1, "ci")
		s.sign(release.MaxSequence, 1, "ci")
		s.look("the thief's document", "ok", 1, release.MaxSequence, 0)
		s.trust(2, 1, "new")
		s.sign(1, 2, "new")
		s.look("after the replacement", "ok", 2, 1, 2)
	})
	add("R11-stripped", "Two channel keys sign. On the way the signature of the one that stays is stripped, and then the other is replaced: no older document is taken, whoever signed it.", func(s *stage) {
		s.trust(1, 1, "ci old")
		s.sign(50, 1, "ci")
		s.look("signed by both, one signature stripped", "ok", 1, 50, 0)
		s.trust(2, 1, "old new")
		s.sign(49, 1, "old")
		s.look("an older one by the key that stays", "rollback", 2, 0, 2)
		s.sign(49, 1, "ci old")
		s.look("an older one by both", "rollback", 2, 0, 2)
		s.sign(51, 1, "old")
		s.look("a newer one that was made under the old trust document", "rollback", 2, 0, 2)
		s.sign(1, 2, "old")
		s.look("the publisher's next one", "ok", 2, 1, 2)
		s.sign(49, 1, "old")
		s.look("an older one with a higher sequence than the publisher's", "rollback", 2, 1, 2)
	})
	add("R11-other-stripped", "The same, but the signature of the key that is replaced is stripped: nothing is forgotten.", func(s *stage) {
		s.trust(1, 1, "ci old")
		s.sign(50, 1, "old")
		s.look("signed by both, one signature stripped", "ok", 1, 50, 0)
		s.trust(2, 1, "old new")
		s.sign(49, 1, "old")
		s.look("an older one by the key that stays", "rollback", 2, 50, 0)
		s.sign(51, 1, "old")
		s.look("a newer one; nothing was forgotten, so that no floor is set", "ok", 2, 51, 0)
	})
	add("R11-two-of-three", "It takes two signatures. One of the two keys that were counted is replaced: fewer than two are left.", func(s *stage) {
		s.trust(1, 2, "ci old second")
		s.sign(50, 1, "ci old")
		s.look("signed by two", "ok", 1, 50, 0)
		s.trust(2, 2, "old second new")
		s.sign(49, 1, "old second")
		s.look("an older one by the two that stay", "rollback", 2, 0, 2)
	})
	add("R11-replaced-and-back", "A key is taken away and comes back in the next trust document; a client that was off takes both in one go, and forgets at the first.", func(s *stage) {
		s.trust(1, 1, "ci")
		s.sign(50, 1, "ci")
		s.look("before", "ok", 1, 50, 0)
		s.trust(2, 1, "new")
		s.trust(3, 1, "ci new")
		s.sign(1, 2, "new")
		s.look("after both", "ok", 3, 1, 2)
	})
	add("R11-nothing-to-forget", "A key is added, then the threshold changes, then another role's keys do: what is remembered stays.", func(s *stage) {
		s.trust(1, 1, "ci")
		s.sign(50, 1, "ci")
		s.look("before", "ok", 1, 50, 0)
		s.trust(2, 1, "ci new")
		s.sign(49, 2, "new")
		s.look("a key was added", "rollback", 2, 50, 0)
		s.trust(3, 2, "ci new")
		s.sign(49, 3, "ci new")
		s.look("the threshold was raised", "rollback", 3, 50, 0)
		s.Repo.Trust(verify.TrustDraft{Version: 4, Release: testrelease.Role(1, s.keys["second"]), Channel: testrelease.Role(2, s.of("ci new")...)}, s.ReleaseKeys[0])
		s.look("the release keys were replaced", "rollback", 4, 50, 0)
		s.sign(51, 4, "ci new")
		s.look("the next one", "ok", 4, 51, 0)
	})
	add("R02-withheld", "A channel names a trust document that cannot be had.", func(s *stage) {
		s.trust(1, 1, "ci")
		s.sign(50, 1, "ci")
		s.look("before", "ok", 1, 50, 0)
		s.sign(51, 2, "ci")
		s.look("trust/2 is withheld", "withheld", 1, 50, 0)
		s.trust(2, 1, "ci")
		s.look("it is there", "ok", 2, 51, 0)
	})
	return all
}

func (h history) encode(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(h); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The files are exactly what is made here, and this client remembers after each look what they say.
func TestHistories(t *testing.T) {
	made := histories(t)
	for name, h := range made {
		path := filepath.Join(historyFolder, name+".json")
		if *update {
			if err := os.WriteFile(path, h.encode(t), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, h.encode(t)) {
			t.Errorf("%s is not what is made here (%v): go test ./internal/catalog -run Histories -update", path, err)
		}
	}
	paths, err := filepath.Glob(filepath.Join(historyFolder, "*.json"))
	if err != nil || len(paths) != len(made) {
		t.Errorf("%d histories, and %d are made here (%v)", len(paths), len(made), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var h history
			if err := json.Unmarshal(b, &h); err != nil || len(h.Steps) < 2 {
				t.Fatalf("%d steps, %v", len(h.Steps), err)
			}
			h.replay(t)
		})
	}
}

func (h history) replay(t *testing.T) {
	root, err := verify.ParseTrust(h.Key)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{App: h.App, Channel: h.Channel, Root: root}
	var m Memory
	for i, step := range h.Steps {
		repo := testrelease.New(t)
		for path, file := range step.Served {
			repo.Put(path, []byte(file))
		}
		v, err := c.Look(t.Context(), files(repo), m, step.Now)
		m = v.Memory
		var seen release.Seen
		if m.Channel != nil {
			seen = m.Channel.Seen
		}
		if got := expectation(err); got != step.Expect {
			t.Errorf("step %d, %s: %s, want %s", i+1, step.About, got, step.Expect)
		}
		if m.Trust.Version != step.Trust || seen.Sequence != step.Sequence || seen.Trust != step.TrustFloor {
			t.Errorf("step %d, %s: remembered trust %d, sequence %s, floor %d; want %d, %d, %d", i+1, step.About,
				m.Trust.Version, strconv.FormatInt(seen.Sequence, 10), seen.Trust, step.Trust, step.Sequence, step.TrustFloor)
		}
	}
}
