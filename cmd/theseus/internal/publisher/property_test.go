package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

var (
	sequences = flag.Int("sequences", testenv.Pick(60, 500, 10000), "how many random sequences of verbs and attacks TestHostileRepository plays")
	seed      = flag.Uint64("seed", 0, "play this one sequence of TestHostileRepository")
)

// Carry is what goes between the folder and a remote; a test outside of this package fills it in.
var Carry struct {
	Push  func(ctx context.Context, o Options, to Store, restore bool) error
	Pull  func(ctx context.Context, o Options, from store.Opened, documents bool) error
	Prune func(ctx context.Context, o Options, after time.Duration) error
}

// TestHostileRepository plays random days of a publisher whose repository somebody else can write too, between any two
// steps of any verb: documents are replayed, forged, exchanged, damaged and removed. He writes the remote too, to which the
// folder is pushed and from which a timer on another machine pulls. Whatever happens, no signature is given to anything that
// the pinned root and local files do not account for, nothing that was withdrawn comes back, nothing that is needed is
// pruned, and when the attacker is gone, the publisher's backup and the ordinary commands bring every client to the newest
// state.
//
//	go test ./cmd/theseus/internal/publisher -run HostileRepository -sequences 10000
func TestHostileRepository(t *testing.T) {
	if *seed != 0 {
		newWorld(t, *seed).play()
		return
	}
	first := uint64(time.Now().UnixNano())
	t.Logf("seeds from %d on", first)
	var ran, refused, attacks int
	for i := range uint64(*sequences) {
		w := newWorld(t, first+i)
		w.play()
		ran, refused, attacks = ran+w.ran, refused+w.refused, attacks+w.attacks
		if t.Failed() {
			t.Fatalf("again: go test ./cmd/theseus/internal/publisher -run HostileRepository -seed %d\n%s", first+i, strings.Join(w.story, "\n"))
		}
	}
	t.Logf("%d sequences: %d verbs ran, %d were refused, %d attacks", *sequences, ran, refused, attacks)
	if *sequences >= 50 && (ran < *sequences || refused < *sequences/10 || attacks < *sequences) {
		t.Error("that was too quiet to prove anything")
	}
}

// A world is one sequence.
type world struct {
	*bench
	r      *rand.Rand
	backup *shelf              // what the publisher wrote, and nobody else
	remote *shelf              // where it is pushed to
	seen   map[string][][]byte // every document that was ever served, by name: what an attacker has copies of

	yanked    map[string]map[string]bool // what was withdrawn, by channel
	manifests map[verify.Digest]bool     // of releases that were made here
	versions  int                        // made so far
	honest    []string                   // names of the publisher's keys
	unsettled []byte                     // a trust document whose publication was refused on the way
	holding   []verify.NamedKey          // of the release role in the newest trust document that was made
	clients   []*testClient
	quiet     bool      // the attacker rests
	commits   []*Memory // every state of the lock

	story                 []string
	ran, refused, attacks int
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{bench: newBench(t), r: rand.New(rand.NewPCG(seed, 1)), backup: newShelf(), seen: map[string][][]byte{},
		yanked: map[string]map[string]bool{"stable": {}, "beta": {}}, manifests: map[verify.Digest]bool{}, honest: []string{"theseus"}}
	w.shelf.put = func(name string, b []byte) {
		w.backup.objects[name] = b
		w.seen[name] = append(w.seen[name], b)
	}
	w.shelf.before = func(op, name string) {
		if op == "delete" {
			w.mayGo(name)
		}
		// Files go several at once, and a sequence is to be the same each time.
		if !w.quiet && !strings.HasPrefix(name, "files") && w.r.IntN(40) == 0 {
			w.attack()
		}
	}
	w.remote = newShelf()
	w.remote.mu, w.remote.before = w.shelf.mu, w.shelf.before
	w.remote.put = func(name string, b []byte) { w.seen[name] = append(w.seen[name], b) }
	for _, c := range []string{"stable", "beta"} {
		w.clients = append(w.clients, w.client(c, w.root), w.client(c, w.root))
		far := w.client(c, w.root)
		far.from = w.remote
		w.clients = append(w.clients, far)
	}
	return w
}

// mayGo is the judgement on what is pruned: none of it is offered.
func (w *world) mayGo(name string) {
	for _, channel := range []string{"stable", "beta"} {
		for _, v := range offered(w.backup.objects[channel]) {
			if name == release.ManifestPath(v) {
				w.t.Errorf("%s was pruned, and %s offers it", name, channel)
			}
		}
	}
}

func offered(channel []byte) (versions []*semver.Version) {
	c, err := Peek(channel)
	if err != nil {
		return nil
	}
	var body struct{ Releases []struct{ Version string } }
	json.Unmarshal(c.Body, &body)
	for _, r := range body.Releases {
		if v, err := release.ParseVersion(r.Version); err == nil {
			versions = append(versions, v)
		}
	}
	return versions
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *world) one(of ...string) string { return of[w.r.IntN(len(of))] }

// play is some verbs with attacks between and within them, and then the way out.
func (w *world) play() {
	w.quiet = true
	w.step("publish", func() error { return w.release("stable") })
	w.quiet = false
	verbs := []struct {
		name string
		run  func() error
	}{
		{"publish to beta", func() error { return w.release("beta") }},
		{"publish to stable", func() error { return w.release("stable") }},
		{"promote", func() error { return w.publish("stable", fmt.Sprintf("1.%d.0", w.r.IntN(w.versions)+1), "") }},
		{"yank", w.withdraw},
		{"pause", func() error {
			return w.amend(w.one("stable", "beta"), w.anyVersion(), func(e *release.Entry) { e.Paused = "wait" })
		}},
		{"mark", func() error {
			return w.amend(w.one("stable", "beta"), w.anyVersion(), func(e *release.Entry) { e.Critical, e.Floor = e.Version, true })
		}},
		{"refresh", func() error { return w.refresh() }},
		{"refresh", func() error { return w.refresh() }},
		{"grow", w.growUp},
		{"replace a key", w.replaceKey},
		{"rotate", w.rotate},
		{"publish by one holder after the other", w.oneAfterTheOther},
		{"pull --adopt", w.pullAdopt},
		{"push", func() error { return w.push(false) }},
		{"push", func() error { return w.push(false) }},
		{"push --restore", func() error { return w.push(true) }},
		{"pull", w.pull},
		{"the timer", w.timer},
		{"prune", func() error { return w.prune(w.shelf) }},
		{"prune the remote", func() error { return w.prune(w.remote) }},
		{"refresh on a machine with an old lock", w.oldLock},
		{"refresh with a lock that is lost", w.lostLock},
		{"refresh --adopt", w.adoptAll},
	}
	for range 4 + w.r.IntN(5) {
		v := verbs[w.r.IntN(len(verbs))]
		w.step(v.name, v.run)
		for w.r.IntN(3) == 0 {
			w.attack()
		}
		if w.r.IntN(2) == 0 {
			w.restore() // the operator does what the refusal says
		}
		for _, c := range w.clients {
			if w.r.IntN(2) == 0 {
				c.look()
				w.checkClient(c)
			}
		}
		w.now = w.now.Add(time.Duration(w.r.IntN(72)) * time.Hour)
	}
	w.wayOut()
}

func (w *world) step(name string, run func() error) {
	w.who = w.holders()
	err := run()
	w.tell("%s: %v", name, err)
	if w.ran++; err != nil {
		w.refused++
	}
	w.commits = append(w.commits, committed(w.t, w.memory))
}

// holders are the keys that sign now: all that have a role.
func (w *world) holders() (who []string) {
	for _, n := range w.honest {
		k := w.keys.signer(w.t, n).Key()
		for _, role := range []verify.Keys{w.root.Trust, w.root.Release, w.root.Channel} {
			if slices.ContainsFunc(role.All(), k.Equal) && !slices.Contains(who, n) {
				who = append(who, n)
			}
		}
	}
	return who
}

// options have signers that look at what they are given to sign.
func (w *world) options() Options {
	o := w.bench.options()
	for i, s := range o.Signers {
		o.Signers[i] = witness{s, w}
	}
	return o
}

type witness struct {
	verify.Signer
	w *world
}

func (s witness) Sign(text []byte) ([]byte, error) {
	s.w.account(text)
	return s.Signer.Sign(text)
}

// account is the judgement: does anything that this publisher meant account for these bytes?
func (w *world) account(text []byte) {
	c, err := PeekText(text)
	if err != nil || c.App != "hello" {
		w.t.Errorf("signed what is no document of hello: %s", text)
		return
	}
	switch c.Type {
	case verify.TypeManifest:
		var m struct {
			Notes     string
			Artifacts []verify.ID
		}
		json.Unmarshal(c.Body, &m)
		version, _ := c.Version.(string)
		if w.manifests[c.ID.SHA256] { // again, by another holder
			return
		}
		if len(m.Artifacts) != 1 || m.Notes != "" || m.Artifacts[0] != verify.IDOf(programText(version)) {
			w.t.Errorf("signed a release that was not made here: %s", text)
		}
		w.manifests[c.ID.SHA256] = true
	case verify.TypeTrust:
		d, err := verify.ParseTrustDraft(text)
		if err != nil {
			w.t.Errorf("signed a trust document that is none: %v", err)
		}
		for _, role := range []verify.Role{d.Trust, d.Release, d.Channel} {
			for _, k := range role.Keys {
				if !slices.ContainsFunc(w.honest, func(n string) bool { return w.keys.signer(w.t, n).Key().Equal(k.Key) }) {
					w.t.Errorf("signed a trust document with a key of somebody else: %s", text)
				}
			}
		}
	case verify.TypeChannel:
		var body struct {
			Channel  string
			Sequence int64
			Issued   time.Time
			Releases []struct {
				Version  string
				Manifest verify.ID
				Yanked   *struct{}
			}
		}
		json.Unmarshal(c.Body, &body)
		yanked := maps.Clone(w.yanked[body.Channel])
		for _, e := range body.Releases {
			if !w.manifests[e.Manifest.SHA256] {
				w.t.Errorf("signed a channel that offers a release which was not made here: %s", text)
			}
			if yanked[e.Version] && e.Yanked == nil {
				w.t.Errorf("signed a channel in which %s is back, and it was withdrawn: %s", e.Version, text)
			}
			delete(yanked, e.Version)
		}
		if len(yanked) > 0 {
			w.t.Errorf("signed a channel that has forgotten what was withdrawn (%v): %s", yanked, text)
		}
		if body.Sequence > secondsAt(body.Issued)+100 {
			w.t.Errorf("signed sequence %d at second %d", body.Sequence, secondsAt(body.Issued))
		}
	default:
		w.t.Errorf("signed a %s", c.Type)
	}
}

func programText(version string) []byte { return []byte("program " + version) }

// The verbs, through options that have witnesses.

func (w *world) do(what func(*Publisher) error) error {
	w.now = w.now.Add(time.Minute)
	p, err := Open(w.t.Context(), w.options())
	if err != nil {
		return err
	}
	return what(p)
}

func (w *world) release(channel string) error {
	w.versions++
	version := fmt.Sprintf("1.%d.0", w.versions)
	return w.publish(channel, version, string(programText(version)))
}

func (w *world) publish(channel, version, text string) error {
	r := &Release{Version: parse(w.t, version).Version, Channel: channel, Keep: 20, Quiet: true, Allow: Checks, Deltas: w.r.IntN(2)}
	if text != "" {
		r.Artifacts = []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: w.program(text)}}
	}
	return w.do(func(p *Publisher) error {
		_, err := p.Publish(w.t.Context(), r)
		return err
	})
}

func (w *world) refresh() error {
	return w.do(func(p *Publisher) error {
		_, err := p.Refresh(w.t.Context(), nil, 0)
		return err
	})
}

func (w *world) amend(channel, version string, change func(*release.Entry)) error {
	return w.do(func(p *Publisher) error {
		_, _, err := p.Amend(w.t.Context(), channel, parse(w.t, version).Version, 0, func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			change(e)
			return "", nil
		})
		return err
	})
}

// oneAfterTheOther is a release as doc/operations.md makes it where two must sign: the first holder publishes, each of the
// others rebuilds the manifest from the same files and signs it, and the holder of the channel key puts it on offer.
func (w *world) oneAfterTheOther() error {
	var holders, others []string
	for _, n := range w.holders() {
		if slices.ContainsFunc(w.root.Release.All(), w.keys.signer(w.t, n).Key().Equal) {
			holders = append(holders, n)
		} else {
			others = append(others, n)
		}
	}
	w.versions++
	version := fmt.Sprintf("1.%d.0", w.versions)
	text := string(programText(version))
	name := release.ManifestPath(parse(w.t, version).Version)
	w.who = holders[:1]
	first := w.publish("stable", version, text)
	for _, n := range holders[1:] {
		there, err := w.read(name)
		if err != nil {
			return errors.Join(first, err)
		}
		w.who = []string{n}
		again := &Release{Artifacts: []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: w.program(text)}}}
		signed, _, err := Sign(w.t.Context(), w.options(), ToSign{Name: name, File: there, Again: again})
		if err != nil {
			return err
		}
		if err := w.shelf.Put(w.t.Context(), name, bytes.NewReader(signed), int64(len(signed)), shelfVersion(there)); err != nil {
			return err
		}
	}
	if w.who = others; len(others) == 0 {
		return first
	}
	return w.publish("stable", version, "")
}

// pullAdopt is a pull by an operator who has checked that what is served is really his own.
func (w *world) pullAdopt() error {
	return w.inPeace(func() error {
		if err := w.cleanRemote(); err != nil {
			return err
		}
		w.adopt = true
		defer func() { w.adopt = false }()
		return w.pull()
	})
}

// cleanRemote is the way out at the remote, as the refusals say it.
func (w *world) cleanRemote() error {
	for name := range w.remote.objects {
		if strings.HasPrefix(name, "trust/") && w.backup.objects[name] == nil {
			delete(w.remote.objects, name)
		}
	}
	err := w.push(true)
	if ui.ExitCode(err) == ui.ExitBusy { // the timer has published meanwhile
		err = errors.Join(w.pull(), w.push(true))
	}
	return err
}

// push goes between the folder and the remote as it is, and so do the others.
func (w *world) push(restore bool) error {
	return Carry.Push(w.t.Context(), w.bench.options(), w.remote, restore)
}

func (w *world) pull() error { return Carry.Pull(w.t.Context(), w.bench.options(), w.remote, false) }

func (w *world) prune(s *shelf) error {
	o := w.bench.options()
	o.Store = s
	return Carry.Prune(w.t.Context(), o, time.Duration(w.r.IntN(3))*24*time.Hour)
}

// timer is a machine that begins with what is committed each time: theseus pull --documents && theseus refresh && theseus push.
func (w *world) timer() error {
	o := w.options()
	o.Store, o.Memory = newShelf(), committed(w.t, w.memory)
	if err := Carry.Pull(w.t.Context(), o, w.remote, true); err != nil {
		return err
	}
	w.now = w.now.Add(time.Minute)
	o.Now = w.now
	p, err := Open(w.t.Context(), o)
	if err != nil {
		return err
	}
	if _, err := p.Refresh(w.t.Context(), nil, 0); err != nil {
		return err
	}
	return Carry.Push(w.t.Context(), o, w.remote, false)
}

// What is known of a lock that is old or lost is too little to see a replay by, so the operator looks first: these go
// through.

func (w *world) inPeace(run func() error) error {
	defer func(was bool) { w.quiet = was }(w.quiet)
	w.quiet = true
	w.restore()
	if w.unsettled != nil { // a change of trust under way asks for its own end
		return nil
	}
	err := run()
	if err != nil {
		w.t.Errorf("what an operator has looked at is refused: %v", err)
	}
	return err
}

func (w *world) oldLock() error {
	return w.inPeace(func() error {
		here := w.memory
		w.memory = committed(w.t, w.commits[w.r.IntN(len(w.commits))])
		err := w.refresh()
		there := committed(w.t, w.memory)
		w.memory = here
		return errors.Join(err, w.memory.Merge(there)) // theseus lock merge
	})
}

func (w *world) lostLock() error {
	return w.inPeace(func() error {
		w.memory = NewMemory()
		return w.refresh()
	})
}

func (w *world) adoptAll() error {
	return w.inPeace(func() error {
		w.adopt = true
		defer func() { w.adopt = false }()
		return w.refresh()
	})
}

func (w *world) anyVersion() string { return fmt.Sprintf("1.%d.0", w.r.IntN(w.versions)+1) }

func (w *world) withdraw() error {
	channel, version := w.one("stable", "beta"), w.anyVersion()
	err := w.amend(channel, version, func(e *release.Entry) { e.Yanked = &release.Yank{Reason: "bad", Action: "stay"} })
	if err == nil {
		w.yanked[channel][version] = true
	}
	return err
}

// ceremony makes, signs and publishes a trust document, as doc/operations.md says.
func (w *world) ceremony(fresh []string, change func(*verify.TrustDraft)) error {
	newest, err := Newest(w.t.Context(), w.options()) // trust init
	if err != nil {
		return err
	}
	d := newest.Draft()
	d.App, d.Issued, d.Expires = "hello", verify.Time{Time: w.now}, verify.Time{Time: w.now.AddDate(1, 0, 0)}
	w.honest = append(w.honest, fresh...)
	change(&d)
	w.holding = d.Release.Keys
	draft, err := json.Marshal(d)
	if err != nil {
		return err
	}
	o := w.options()
	o.Signers = nil
	for _, n := range append(w.holders(), fresh...) {
		o.Signers = append(o.Signers, witness{w.keys.signer(w.t, n), w})
	}
	file, _, err := Sign(w.t.Context(), o, ToSign{Name: "trust-N", File: draft})
	if err != nil {
		return err
	}
	w.unsettled = file
	return w.settle(o)
}

// countersign has the holders of the new release keys sign. Keys that were replaced long ago would only fill up the sixteen
// signatures that a document may have.
func (w *world) countersign(o Options) error {
	o.Signers = slices.DeleteFunc(slices.Clone(o.Signers), func(s verify.Signer) bool {
		return !slices.ContainsFunc(w.holding, func(k verify.NamedKey) bool { return k.Key.Equal(s.Key()) })
	})
	for name := range maps.Clone(w.backup.objects) { // theseus sign dl/releases/*.manifest
		if !strings.HasPrefix(name, "releases/") {
			continue
		}
		there, err := w.read(name)
		if err != nil {
			return err
		}
		signed, _, err := Sign(w.t.Context(), o, ToSign{Name: name, File: there})
		if err != nil {
			continue // if it is on offer, trust publish says so
		}
		if err := w.shelf.Put(w.t.Context(), name, bytes.NewReader(signed), int64(len(signed)), shelfVersion(there)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) read(name string) ([]byte, error) {
	b, _, err := repository{w.shelf}.read(w.t.Context(), name, verify.TypeManifest)
	return b, err
}

// settle has the holders sign what is on offer, and publishes the trust document.
func (w *world) settle(o Options) error {
	if err := w.countersign(o); err != nil {
		return err
	}
	w.now = w.now.Add(time.Minute)
	o.Now = w.now
	done, err := PublishTrust(w.t.Context(), o, w.unsettled, "trust-N", 0)
	if err == nil {
		err = errors.Join(done.Failed...)
	}
	if err == nil {
		w.root, w.unsettled = done.Trust, nil
	}
	return err
}

func (w *world) freshKeys(names ...string) []string {
	var fresh []string
	for _, n := range names {
		fresh = append(fresh, fmt.Sprintf("%s-%d", n, len(w.keys)))
		w.keys.signer(w.t, fresh[len(fresh)-1])
	}
	return fresh
}

func (w *world) growUp() error {
	if w.unsettled != nil {
		return w.settle(w.withAll())
	}
	k := w.freshKeys("alice", "bob", "carol", "ci")
	return w.ceremony(k, func(d *verify.TrustDraft) {
		d.Trust, d.Release, d.Channel = w.keys.role(w.t, 2, k[:3]...), w.keys.role(w.t, 2, k[:3]...), w.keys.role(w.t, 1, k[3])
	})
}

func (w *world) replaceKey() error {
	if w.unsettled != nil {
		return w.settle(w.withAll())
	}
	k := w.freshKeys("ci")
	return w.ceremony(k, func(d *verify.TrustDraft) { d.Channel = w.keys.role(w.t, 1, k[0]) })
}

func (w *world) rotate() error {
	if w.unsettled != nil {
		return w.settle(w.withAll())
	}
	if w.root.Version == 0 || !only(w.root, w.root.Trust.All()[0]) {
		if w.root.Version > 0 {
			return nil
		}
	}
	k := w.freshKeys("theseus")
	w.honest = append(w.honest, k...)
	w.holding = w.keys.role(w.t, 1, k[0]).Keys
	o := w.withAll()
	w.now = w.now.Add(time.Minute)
	done, err := Rotate(w.t.Context(), o, Rotation{To: w.keys.role(w.t, 1, k[0]).Keys[0], Holds: 365 * 24 * time.Hour, Keep: func(_ int, made []byte) ([]byte, error) {
		if made == nil {
			return nil, errors.New("none")
		}
		w.unsettled = made
		return made, nil
	}}, 0)
	if err == nil {
		err = errors.Join(done.Failed...)
	}
	if err == nil {
		w.root, w.unsettled = done.Trust, nil
	}
	return err
}

// withAll has every key of the publisher, as a ceremony has.
func (w *world) withAll() Options {
	o := w.options()
	o.Signers = nil
	for _, n := range w.honest {
		o.Signers = append(o.Signers, witness{w.keys.signer(w.t, n), w})
	}
	return o
}

// attack does one thing to the repository.
func (w *world) attack() {
	w.attacks++
	names := slices.Sorted(maps.Keys(w.seen))
	name := names[w.r.IntN(len(names))]
	if w.r.IntN(2) == 0 {
		name = w.one("stable", "beta", "trust/1", "trust/2", "trust/3")
	}
	history := w.seen[name]
	at, where := w.shelf, ""
	if w.r.IntN(3) == 0 {
		at, where = w.remote, "at the remote, "
	}
	put := func(how string, b []byte) {
		w.tell("  attack: %s%s: %s", where, name, how)
		at.objects[name] = b
	}
	switch w.r.IntN(9) {
	case 0, 1, 2:
		if len(history) > 0 {
			put("replayed", history[w.r.IntN(len(history))])
		}
	case 3:
		w.tell("  attack: %s%s: removed", where, name)
		delete(at.objects, name)
	case 4:
		other := names[w.r.IntN(len(names))]
		put("exchanged for "+other, w.seen[other][w.r.IntN(len(w.seen[other]))])
	case 5:
		if b := bytes.Clone(at.objects[name]); len(b) > 0 {
			b[w.r.IntN(len(b))] ^= 1
			put("damaged", b)
		}
	case 6:
		theirs := slices.Clone(w.honest)
		version := w.r.IntN(3) + 1
		name = release.TrustPath(version)
		put("forged", w.forgedTrust(version, theirs[max(0, len(theirs)-3):]...))
	case 7:
		name = w.one("stable", "beta")
		put("forged", w.forgedChannel(name, w.one2(release.MaxSequence-1, secondsAt(w.now), 1), w.r.IntN(3), "evil"))
	case 8:
		evil := newBench(w.t)
		evil.keys, evil.who, evil.shelf.objects = w.keys, []string{"evil"}, map[string][]byte{}
		evil.root = evil.bare("evil")
		if evil.publish("stable", w.anyVersion(), "his own") == nil {
			for n, b := range evil.shelf.objects {
				w.tell("  attack: %s%s: forged", where, n)
				at.objects[n] = b
			}
		}
	}
}

func (w *world) one2(of ...int64) int64 { return of[w.r.IntN(len(of))] }

// restore brings the publisher's own backup into the repository: what the tool asks for when it refuses.
func (w *world) restore() {
	w.tell("  the backup is restored")
	w.shelf.objects = maps.Clone(w.backup.objects)
}

func (w *world) checkClient(c *testClient) {
	if c.seen == nil {
		return
	}
	for _, e := range c.seen.Entries {
		if !w.manifests[e.Manifest.SHA256] {
			w.t.Errorf("a client took a channel with a release that was not made here")
		}
	}
}

// wayOut checks that once the attacker is gone, a restored backup and the ordinary commands bring every client to the newest
// state.
func (w *world) wayOut() {
	w.quiet = true
	w.tell("the attacker is gone")
	w.restore()
	if w.unsettled != nil {
		w.who = w.holders()
		err := w.settle(w.withAll())
		w.tell("trust publish again: %v", err)
		if err != nil {
			w.t.Errorf("the trust document that was interrupted cannot be published: %v", err)
			return
		}
	}
	w.who = w.holders()
	if err := w.refresh(); err != nil {
		w.tell("refresh: %v", err)
		w.t.Errorf("the publisher is stuck: %v", err)
		return
	}
	if err := w.release("stable"); err != nil {
		w.t.Errorf("the publisher is stuck: %v", err)
		return
	}
	if err := w.cleanRemote(); err != nil {
		w.t.Errorf("the publisher cannot push: %v", err)
		return
	}
	fresh := newShelf()
	o := w.bench.options()
	o.Store, o.Memory = fresh, committed(w.t, w.memory)
	if err := Carry.Pull(w.t.Context(), o, w.remote, false); err != nil {
		w.t.Errorf("another machine cannot pull: %v", err)
	}
	for i, c := range w.clients {
		if w.shelf.objects[c.Channel] == nil {
			continue
		}
		if err := c.look(); err != nil {
			w.t.Errorf("client %d of %s is stuck: %v", i, c.Channel, err)
			continue
		}
		if want := w.bench.channel(c.Channel); c.seen.ID != want.ID {
			w.t.Errorf("client %d of %s does not see the newest", i, c.Channel)
		}
		for v := range w.yanked[c.Channel] {
			if e := c.seen.Entry(parse(w.t, v).Version); e != nil && e.Yanked == nil {
				w.t.Errorf("client %d is offered %s again, which was withdrawn", i, v)
			}
		}
	}
}
