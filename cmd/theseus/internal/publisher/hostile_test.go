package publisher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// unchanged fails the test if what runs changes the shelf.
func (b *bench) unchanged(run func()) {
	b.t.Helper()
	before := maps.Clone(b.shelf.objects)
	run()
	if !maps.EqualFunc(before, b.shelf.objects, bytes.Equal) {
		b.t.Error("the repository was changed")
	}
}

// forgedTrust is a trust document that only the attacker has signed, and that names the publisher's key beside his own.
func (b *bench) forgedTrust(version int, theirs ...string) []byte {
	b.t.Helper()
	evil := b.keys.signer(b.t, "evil")
	role := b.keys.role(b.t, 1, append([]string{"evil"}, theirs...)...)
	d := verify.TrustDraft{App: "hello", Version: version, Issued: verify.Time{Time: start}, Expires: verify.Time{Time: start.AddDate(5, 0, 0)},
		Trust: b.keys.role(b.t, 1, "evil"), Release: role, Channel: role}
	file, err := d.Sign(evil)
	b.must(err)
	return file
}

func (b *bench) forgedChannel(name string, sequence int64, trust int, signer string) []byte {
	b.t.Helper()
	file, err := release.SignChannel(&release.Channel{App: "hello", Name: name, Sequence: sequence, Trust: trust, Issued: b.now.Add(-time.Minute), Expires: b.now.AddDate(0, 3, 0)},
		b.keys.signer(b.t, signer))
	b.must(err)
	return file
}

// R01: whoever can write the repository gets no signature for a release of his own, by a promotion or by a publish.
func TestR01ForgedReleaseIsNotSigned(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.publish("beta", "1.1.0", "two"))
	genuine := b.shelf.objects["releases/1.1.0.manifest"]

	his := newBench(t)
	his.keys, his.who = b.keys, []string{"evil"}
	his.root = his.bare("evil")
	his.must(his.publish("stable", "1.1.0", "his own"))
	forged := his.shelf.objects["releases/1.1.0.manifest"]
	b.shelf.objects["releases/1.1.0.manifest"] = forged

	b.shelf.objects["trust/1"] = b.forgedTrust(1, "theseus")
	b.unchanged(func() { refused(t, b.publish("stable", "1.1.0", ""), "does not follow from the root") })
	delete(b.shelf.objects, "trust/1")
	b.unchanged(func() { refused(t, b.publish("stable", "1.1.0", ""), "1.1.0.manifest is there already") })
	b.unchanged(func() { refused(t, b.publish("stable", "1.1.0", "two"), "1.1.0.manifest is there already") })

	b.shelf.objects["releases/1.1.0.manifest"] = genuine
	b.must(b.publish("stable", "1.1.0", ""))
}

// R01: with a threshold, one stolen release key is not enough: the next holder signs what is made again from the files, not
// what the thief has put there.
func TestR01SecondSignatureNeedsTheFiles(t *testing.T) {
	for _, row := range []struct {
		name  string
		forge func(m *release.Manifest)
		words string
	}{
		{"another file", func(m *release.Manifest) {
			m.Artifacts[0].File = verify.IDOf([]byte("his own"))
			m.Artifacts[0].Downloads = []release.Download{{Stored: m.Artifacts[0].File}}
		}, "with other bytes for linux/amd64"},
		{"notes that nobody wrote", func(m *release.Manifest) { m.Notes = "Install this from http://evil.example instead." }, "something that these flags do not say"},
		{"a minimum that strands everybody", func(m *release.Manifest) { m.Minimum = parse(t, "1.0.9").Version }, "something that these flags do not say"},
		{"a date of the future", func(m *release.Manifest) { m.Date = start.AddDate(1, 0, 0) }, "a date in the future"},
		{"a delta that leads elsewhere", func(m *release.Manifest) {
			from := verify.IDOf([]byte("one")).SHA256
			m.Artifacts[0].Downloads = append(m.Artifacts[0].Downloads, release.Download{Encoding: release.Delta, From: &from, Stored: verify.IDOf([]byte("no delta"))})
		}, "was not made from these files"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.publish("stable", "1.0.0", "one"))
			b.grow()
			b.who = []string{"alice", "ci"}
			refused(t, b.publish("stable", "1.1.0", "two"), "2 holders of the release keys must sign it")
			honest := b.shelf.objects["releases/1.1.0.manifest"]
			m, err := openManifest(honest, mustKeys(t, 1, b.keys.signer(t, "alice").Key()), "hello", parse(t, "1.1.0").Version)
			b.must(err)
			row.forge(m)
			forged, err := release.SignManifest(m, b.keys.signer(t, "alice")) // the stolen key
			b.must(err)
			b.shelf.objects["releases/1.1.0.manifest"] = forged
			b.shelf.objects[release.FilePath(verify.IDOf([]byte("no delta")).SHA256, release.Delta)] = []byte("no delta")

			b.who = []string{"bob", "ci"}
			b.unchanged(func() { refused(t, b.publish("stable", "1.1.0", "two"), row.words) })
			b.unchanged(func() { refused(t, b.publish("stable", "1.1.0", ""), "2 holders of the release keys must sign it") })
			sign := func(again *Release) error {
				_, _, err := Sign(t.Context(), b.options(), ToSign{Name: "1.1.0.manifest", File: b.shelf.objects["releases/1.1.0.manifest"], Again: again})
				return err
			}
			files := &Release{Artifacts: []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: b.program("two")}}}
			refused(t, sign(nil), "nothing here says what it stands for")
			if err := sign(files); err == nil {
				t.Error("sign --artifact added a signature")
			}
			b.shelf.objects["releases/1.1.0.manifest"] = honest
			b.must(sign(files))
			b.must(b.publish("stable", "1.1.0", "two"))
		})
	}
}

func mustKeys(t testing.TB, threshold int, keys ...verify.Key) verify.Keys {
	k, err := verify.NewKeys(threshold, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// grow makes 2 of 3 out of one key, as doc/operations.md does.
func (b *bench) grow() {
	b.t.Helper()
	file := b.trust(func(d *verify.TrustDraft) {
		d.Trust = b.keys.role(b.t, 2, "alice", "bob", "carol")
		d.Release = b.keys.role(b.t, 2, "alice", "bob", "carol")
		d.Channel = b.keys.role(b.t, 1, "ci")
	}, "theseus", "alice", "bob")
	b.countersign("alice", "bob")
	b.who = []string{"ci"}
	b.must(b.publishTrust(file))
	b.who = []string{"alice", "bob", "ci"}
}

// countersign is what holders do before a change of release keys: theseus sign dl/releases/*.manifest.
func (b *bench) countersign(who ...string) {
	b.t.Helper()
	for name, file := range b.shelf.objects {
		if strings.HasPrefix(name, "releases/") {
			o := b.options()
			o.Signers = nil
			for _, w := range who {
				o.Signers = append(o.Signers, b.keys.signer(b.t, w))
			}
			signed, _, err := Sign(b.t.Context(), o, ToSign{Name: name, File: file})
			b.must(err)
			b.shelf.objects[name] = signed
		}
	}
}

// R02: a channel that names a trust document which nobody can fetch is not signed anew.
func TestR02ChannelOfAMissingTrustDocument(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.memory = NewMemory() // a machine that knows nothing but the root
	b.shelf.objects["stable"] = b.forgedChannel("stable", secondsAt(b.now), 1, "theseus")
	b.unchanged(func() {
		refused(t, b.refresh(), "names trust document 1, and the last one that follows from the root is 0")
	})
	b.adopt = true
	b.unchanged(func() { refused(t, b.refresh(), "names trust document 1") })
}

// R03: a rotation is built on what follows from the root, whatever lies in the repository while it goes on.
func TestR03RotationOnAForgedBase(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.grow()
	genuine := b.shelf.objects["trust/1"]
	b.shelf.objects["trust/1"] = b.forgedTrust(1, "alice", "bob", "carol")
	if _, err := Newest(t.Context(), b.options()); err == nil {
		t.Error("a draft would be built on the forged document")
	}
	forged := b.forgedTrust(2, "alice", "bob", "carol")
	sign := func(root *verify.Trust, file []byte, first bool) error {
		o := b.options()
		o.Root, o.Store, o.Memory = root, nil, nil // the holder has documents alone
		_, _, err := Sign(t.Context(), o, ToSign{Name: "trust-2", File: file, First: first})
		return err
	}
	refused(t, sign(nil, forged, false), "nothing says whose signatures to believe")
	refused(t, sign(b.root, b.forgedTrust(1, "alice"), false), "the one that follows from the root is another")
	refused(t, sign(b.root, b.forgedTrust(3, "alice"), false), "version 3, and version 2 follows")
	refused(t, sign(b.bare("theseus"), forged, false), "version 2, and version 1 follows")
	b.must(sign(nil, genuine, true))
	b.must(sign(b.root, genuine, false))
	b.unchanged(func() { refused(t, b.publishTrust(forged), "trust/1 is not the document that was followed before") })

	b.shelf.objects["trust/1"] = genuine
	b.unchanged(func() { refused(t, b.publishTrust(forged), "is not signed by all who must") })
	b.who = []string{"ci-new"}
	b.must(b.publishTrust(b.trust(func(d *verify.TrustDraft) { d.Channel = b.keys.role(t, 1, "ci-new") }, "alice", "bob")))
	b.who = []string{"ci"}
	refused(t, b.refresh(), "the channel needs 1 signature")
}

// R03: what is checked before it is signed shows every role whole, and keys by fingerprint.
func TestR03CheckShowsEveryRoleWhole(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.grow()
	file := b.trust(func(d *verify.TrustDraft) {
		d.Trust.Keys[2] = verify.NamedKey{Key: b.keys.signer(t, "evil").Key(), Name: "carol"} // by the name of the one who goes
	}, "alice")
	r, err := CompareTrust(b.root, file, "trust-2", b.now)
	b.must(err)
	var text bytes.Buffer
	r.Print(&text)
	for _, who := range []string{"alice", "bob", "carol", "evil", "ci"} {
		if !strings.Contains(text.String(), b.keys.signer(t, who).Key().Fingerprint().String()) {
			t.Errorf("the key of %s is not shown by its fingerprint:\n%s", who, &text)
		}
	}
	if got := r.Roles[0].Keys; len(got) != 4 || got[2].Change != "new" || got[3].Change != "gone" || got[0].Change != "" {
		t.Errorf("the trust role: %+v", got)
	}
}

// R08: an old channel that is replayed, also one that has expired, is not signed anew: what was withdrawn since would come
// back.
func TestR08ReplayIsNotRefreshed(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.publish("stable", "1.1.0", "two"))
	old := b.shelf.objects["stable"]
	lost := committed(t, b.memory)
	b.must(b.yank("stable", "1.1.0"))
	newest := b.shelf.objects["stable"]
	b.shelf.objects["stable"] = old
	for _, row := range []struct {
		name string
		run  func() error
	}{
		{"refresh", func() error { return b.refresh() }},
		{"publish", func() error { return b.publish("stable", "1.2.0", "three") }},
		{"pause", func() error { return b.amend("stable", "1.0.0", func(e *release.Entry) { e.Paused = "wait" }) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			channel := b.shelf.objects["stable"]
			refused(t, row.run(), "this looks like a replay")
			if !bytes.Equal(channel, b.shelf.objects["stable"]) {
				t.Error("the channel was signed anew")
			}
		})
	}
	b.now = b.now.Add(DefaultLifetime)
	refused(t, b.refresh(), "this looks like a replay")

	t.Run("with a lock that is lost", func(t *testing.T) {
		b.memory = NewMemory()
		refused(t, b.refresh(), "expired on")
	})
	t.Run("with an old lock and refresh-within", func(t *testing.T) {
		b.memory, b.within = committed(t, lost), 30*24*time.Hour
		refused(t, b.refresh(), "refresh-within is 30 days")
		b.within = 0
	})
	t.Run("a person vouches for it", func(t *testing.T) {
		b.memory, b.adopt = committed(t, lost), true
		clone := b.shelf.clone()
		b.must(b.refresh())
		b.shelf.objects, b.adopt = clone.objects, false
	})
	b.memory = committed(t, lost)
	b.shelf.objects["stable"] = newest
	b.now = b.now.Add(-DefaultLifetime)
	b.must(b.refresh())
	if e := b.channel("stable").Entry(parse(t, "1.1.0").Version); e == nil || e.Yanked == nil {
		t.Error("the withdrawal is gone")
	}
}

// R08: what is newer than the lock must still have all that the lock knows.
func TestR08NothingKnownGetsLost(t *testing.T) {
	for _, row := range []struct {
		name, words  string
		mark, unmark func(*release.Entry)
	}{
		{"a withdrawal", "the withdrawal of 1.0.0", func(e *release.Entry) { e.Yanked = &release.Yank{Reason: "bad", Action: "stay"} }, func(e *release.Entry) { e.Yanked = nil }},
		{"a step", "the step at 1.0.0", func(e *release.Entry) { e.Floor = true }, func(e *release.Entry) { e.Floor = false }},
		{"a critical mark", "the critical mark of 1.0.0", func(e *release.Entry) { e.Critical = e.Version }, func(e *release.Entry) { e.Critical = nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.publish("stable", "1.0.0", "one"))
			b.must(b.publish("stable", "1.1.0", "two"))
			b.must(b.amend("stable", "1.0.0", row.mark))
			here := committed(t, b.memory)
			b.must(b.amend("stable", "1.0.0", row.unmark)) // on another machine, or with a stolen key
			b.memory = here
			b.unchanged(func() { refused(t, b.refresh(), "says nothing any more of "+row.words) })
			b.adopt = true
			b.must(b.refresh())
		})
	}
}

// R09: a sequence near the end of all numbers is never built upon, whoever signed it, and an honest one stays far below.
func TestR09SequenceNearTheEnd(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	good := b.shelf.objects["stable"]
	for _, signer := range []string{"evil", "theseus"} { // a forgery, and a key that leaked
		b.shelf.objects["stable"] = b.forgedChannel("stable", release.MaxSequence-1, 0, signer)
		for _, adopt := range []bool{false, true} {
			b.adopt = adopt
			b.unchanged(func() {
				if err := b.refresh(); err == nil {
					t.Errorf("signed by %s: it was signed anew", signer)
				}
			})
		}
	}
	b.adopt = false
	b.shelf.objects["stable"] = good
	b.must(b.refresh())
	if c := b.channel("stable"); c.Sequence != secondsAt(c.Issued) {
		t.Errorf("sequence %d, issued %v", c.Sequence, c.Issued)
	}
	for range 5 { // within one second
		b.now = b.now.Add(-time.Minute)
		before := b.channel("stable").Sequence
		b.must(b.refresh())
		if after := b.channel("stable").Sequence; after != before+1 {
			t.Errorf("from %d to %d", before, after)
		}
	}
}

// R10: a channel that was removed is not begun again at a number that clients refuse, nor without its withdrawals.
func TestR10RemovedChannelDoesNotBeginAgain(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.yank("stable", "1.0.0"))
	before := b.channel("stable").Sequence
	delete(b.shelf.objects, "stable")
	refused(t, b.publish("stable", "1.1.0", "two"), "stable was removed")
	refused(t, b.refresh(), "stable was removed")
	refused(t, b.refresh("stable"), "stable was removed")
	if b.shelf.objects["stable"] != nil {
		t.Fatal("it began again")
	}
	b.memory.Channels["stable"].Sequence += 1000 // the clock of the machine that signed last was ahead
	b.adopt = true
	b.must(b.publish("stable", "1.1.0", "two"))
	if after := b.channel("stable").Sequence; after <= before+1000 {
		t.Errorf("sequence %d after %d: clients refuse that", after, before+1000)
	}

	t.Run("with a lock that is lost", func(t *testing.T) {
		before := b.channel("stable").Sequence
		delete(b.shelf.objects, "stable")
		b.memory, b.adopt, b.now = NewMemory(), false, b.now.Add(time.Hour)
		b.must(b.publish("stable", "1.2.0", "three"))
		if after := b.channel("stable").Sequence; after <= before {
			t.Errorf("sequence %d after %d: clients refuse that", after, before)
		}
	})
}

// A chain of trust that became shorter would revive the keys that the last document took away.
func TestRemovedTrustDocument(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	first := b.shelf.objects["stable"]
	theseus := b.root
	b.grow()
	away, now, followed := b.shelf.objects["trust/1"], b.shelf.objects["stable"], b.root
	delete(b.shelf.objects, "trust/1")
	b.shelf.objects["stable"] = first
	b.root, b.who = theseus, []string{"theseus"}
	b.unchanged(func() { refused(t, b.refresh(), "trust/1 was removed") })

	b.root = followed // holds the document itself, so it is put back
	refused(t, b.refresh(), "was not signed by a key that may sign it now")
	if !bytes.Equal(b.shelf.objects["trust/1"], away) || !bytes.Equal(b.shelf.objects["stable"], first) {
		t.Error("the root was not put back, or something else was")
	}
	b.shelf.objects["stable"], b.who = now, []string{"ci"}
	b.must(b.refresh())
}

// A rotation by itself hands a channel that the leaked key signed to nobody.
func TestRotationDoesNotTakeOverWhatALeakedKeySigned(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.grow()
	good := b.shelf.objects["stable"]
	b.now = b.now.Add(time.Hour)
	b.shelf.objects["stable"] = b.forgedChannel("stable", secondsAt(b.now), 1, "ci") // offers nothing any more
	file := b.trust(func(d *verify.TrustDraft) { d.Channel = b.keys.role(t, 1, "ci-new") }, "alice", "bob")
	b.who = []string{"ci-new"}
	b.unchanged(func() { refused(t, b.publishTrust(file), "by a key that may be the one you replace") })
	b.shelf.objects["stable"] = good
	b.must(b.publishTrust(file))
	if c := b.channel("stable"); c.Trust != 2 || len(c.Entries) != 1 {
		t.Errorf("%+v", c)
	}
}

// A lock that knows nothing of a channel vouches for none: the leaked key may have made it, or the lock is lost.
func TestRotationNeedsALockThatKnowsTheChannel(t *testing.T) {
	for _, row := range []struct {
		name   string
		happen func(b *bench)
	}{
		{"the thief begins a channel", func(b *bench) {
			b.now = b.now.Add(time.Hour)
			b.shelf.objects["beta"] = b.forgedChannel("beta", secondsAt(b.now), 1, "ci")
		}},
		{"the lock is lost", func(b *bench) { b.memory = NewMemory() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.publish("stable", "1.0.0", "one"))
			b.grow()
			file := b.trust(func(d *verify.TrustDraft) { d.Channel = b.keys.role(t, 1, "ci-new") }, "alice", "bob")
			row.happen(b)
			b.who = []string{"ci-new"}
			b.unchanged(func() { refused(t, b.publishTrust(file), "theseus.lock knows nothing of it") })
			b.adopt = true
			b.must(b.publishTrust(file))
		})
	}
}

// A thief of the only key puts releases and channels of his own into the repository. A rotation that goes through gives
// none of them the new key's signature, and one that is refused gives it to nothing.
func TestRotationCountersignsOnlyWhatIsOnOffer(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	genuine := b.shelf.objects["stable"]
	his := newBench(t) // with the key that leaked
	his.keys, his.root = b.keys, b.root
	his.now = b.now.Add(time.Hour)
	his.must(his.publish("stable", "6.6.6", "his own"))
	const loot, ours = "releases/6.6.6.manifest", "releases/1.0.0.manifest"
	b.shelf.objects[loot] = his.shelf.objects[loot]
	b.now = his.now.Add(time.Hour)

	kept := map[int][]byte{}
	r := Rotation{To: b.keys.role(t, 1, "new").Keys[0], Holds: 365 * 24 * time.Hour, Keep: func(version int, made []byte) ([]byte, error) {
		if kept[version] == nil {
			kept[version] = made
		}
		return kept[version], nil
	}}
	b.who = []string{"theseus", "new"}
	rotate := func() error {
		b.now = b.now.Add(time.Minute)
		_, err := Rotate(t.Context(), b.options(), r, 0)
		return err
	}
	b.shelf.objects["stable"] = his.shelf.objects["stable"]
	b.unchanged(func() { refused(t, rotate(), "stable (sequence") }) // says nothing any more of 1.0.0

	b.shelf.objects["stable"] = genuine
	b.must(rotate())
	isSigned := func(name string) bool {
		progress, err := mustKeys(t, 1, b.keys.signer(t, "new").Key()).Progress(b.shelf.objects[name])
		b.must(err)
		return len(progress.Signed) > 0
	}
	if isSigned(loot) {
		t.Error("the new key has signed the thief's release")
	}
	if !isSigned(ours) {
		t.Error("the new key has not signed what is on offer")
	}
	if want := "dl/" + ours + " is on offer, and signed by the new key too"; !slices.Contains(b.said, want) {
		t.Errorf("it said %q, and not %q", b.said, want)
	}
}

func TestRotate(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.publish("beta", "1.1.0", "two"))
	client := b.client("stable", b.root)
	b.must(client.look())
	kept := map[int][]byte{}
	r := Rotation{To: b.keys.role(t, 1, "new").Keys[0], Holds: 365 * 24 * time.Hour, Keep: func(version int, made []byte) ([]byte, error) {
		if kept[version] == nil && made == nil {
			return nil, errors.New("none")
		}
		if kept[version] == nil {
			kept[version] = made
		}
		return kept[version], nil
	}}
	rotate := func() error {
		b.now = b.now.Add(time.Minute)
		done, err := Rotate(t.Context(), b.options(), r, 0)
		if err == nil {
			b.root = done.Trust
		}
		return err
	}
	b.unchanged(func() { refused(t, rotate(), "still needed are 1 of its own trust keys") })
	b.who = []string{"theseus", "new"}
	clear(kept)
	b.must(rotate())
	b.unchanged(func() { b.must(rotate()) }) // again
	b.who = []string{"new"}
	b.must(b.refresh())
	b.must(b.publish("stable", "1.1.0", ""))
	b.must(client.look())
	b.who = []string{"theseus"}
	refused(t, b.refresh(), "the channel needs 1 signature")
}

// A client of the library, which looks through whatever is served.
type testClient struct {
	catalog.Client
	b      *bench
	memory catalog.Memory
	seen   *release.Channel
	from   *shelf // nil: the folder
}

func (b *bench) client(channel string, root *verify.Trust) *testClient {
	return &testClient{Client: catalog.Client{App: "hello", Channel: channel, Root: root}, b: b}
}

func (c *testClient) look() error {
	shelf := cmp.Or(c.from, c.b.shelf).clone() // of this moment; the attacker has done what he does already
	v, err := c.Look(context.Background(), repository{shelf}.source(), c.memory, c.b.now.Add(25*time.Hour))
	c.memory = v.Memory
	if err == nil {
		c.seen = v.Channel
		for _, e := range v.Channel.Entries {
			if _, err := v.Manifest(context.Background(), e); err != nil && e.Yanked == nil {
				return err
			}
		}
	}
	return err
}

func TestMemoryMerge(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.publish("beta", "1.0.0", ""))
	ours, theirs := committed(t, b.memory), committed(t, b.memory)
	b.memory = ours
	b.must(b.refresh("stable"))
	b.memory = theirs
	b.must(b.refresh("beta"))
	merged := committed(t, ours)
	b.must(merged.Merge(theirs))
	if merged.Channels["stable"].Sequence != ours.Channels["stable"].Sequence || merged.Channels["beta"].Sequence != theirs.Channels["beta"].Sequence {
		t.Errorf("%+v", merged.Channels)
	}
	b.memory = merged
	b.must(b.refresh())

	other := committed(t, merged)
	other.Channels["stable"].SHA256[0] ^= 1
	refused(t, merged.Merge(other), "both have signed a channel stable with sequence")
	other = committed(t, merged)
	other.App = "other"
	refused(t, merged.Merge(other), "not of one repository")
	b.grow()
	other = committed(t, b.memory)
	other.Trust[1] = verify.Digest{}
	refused(t, b.memory.Merge(other), "different trust documents 1")
	if !slices.Contains([]int{1}, b.memory.newestTrust()) {
		t.Error("the trust document is not remembered")
	}
}

// R08: a machine with an older lock signs on from a replayed channel, and the locks are joined: what only the lower entry
// knows to be withdrawn is not forgotten, whether the other document arrived or is pending.
func TestR08MergeForgetsNoWithdrawal(t *testing.T) {
	fork := func(t *testing.T, theirs func(b *bench)) (b *bench, merged *Memory, ours []byte) {
		b = newBench(t)
		b.must(b.publish("stable", "1.0.0", "one"))
		b.must(b.publish("stable", "1.1.0", "two"))
		old, other := b.shelf.objects["stable"], committed(t, b.memory)
		b.must(b.yank("stable", "1.1.0"))
		here := committed(t, b.memory)
		ours = b.shelf.objects["stable"]
		b.shelf.objects["stable"], b.memory = old, other
		theirs(b)
		merged = committed(t, here)
		b.must(merged.Merge(committed(t, b.memory)))
		return b, merged, ours
	}
	yanked := func(b *bench) bool { return b.channel("stable").Entry(parse(b.t, "1.1.0").Version).Yanked != nil }
	killed := func(arrives bool) func(b *bench) {
		return func(b *bench) {
			var lock *Memory
			b.memory.save = func() error {
				if lock == nil { // the first is of what is pending
					lock = committed(b.t, b.memory)
					if arrives {
						return nil
					}
				}
				return errKilled
			}
			if err := b.refresh(); !errors.Is(err, errKilled) {
				b.t.Fatal(err)
			}
			b.memory = lock
		}
	}
	t.Run("their document is served", func(t *testing.T) {
		b, merged, _ := fork(t, func(b *bench) { b.must(b.refresh()) })
		b.memory = merged
		if err := merged.Judge(b.channel("stable")); err == nil {
			t.Error("the served channel is called good")
		}
		b.unchanged(func() { refused(t, b.refresh(), "did not know of the withdrawal of 1.1.0") })
		b.adopt = true
		b.must(b.yank("stable", "1.1.0"))
		b.adopt = false
		b.must(b.refresh())
		if !yanked(b) {
			t.Error("the withdrawal is forgotten")
		}
	})
	t.Run("their document arrived when they were killed", func(t *testing.T) {
		b, merged, _ := fork(t, killed(true))
		b.memory = merged
		b.unchanged(func() { refused(t, b.refresh(), "the withdrawal of 1.1.0") })
	})
	t.Run("their document is pending", func(t *testing.T) {
		b, merged, ours := fork(t, killed(false))
		b.shelf.objects["stable"], b.memory = ours, merged
		b.must(b.refresh())
		if !yanked(b) {
			t.Error("the withdrawal is forgotten")
		}
	})
}

// To offer a lower version takes higher ones off the list, but never a withdrawal: clients that have the withdrawn release
// would stay on it, and the lock would forget that it was bad. Steps and critical marks are not dropped unsaid either.
func TestDowngradeKeepsWithdrawals(t *testing.T) {
	downgrade := func(b *bench) error {
		r := &Release{Version: parse(t, "1.0.1").Version, Channel: "stable", Keep: 20, Quiet: true, Allow: Checks, AllowDowngrade: true,
			Artifacts: []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: b.program("fix")}}}
		return b.do(func(p *Publisher) error {
			_, err := p.Publish(t.Context(), r)
			return err
		})
	}
	three := func(t *testing.T) *bench {
		b := newBench(t)
		for _, v := range []string{"1.0.0", "1.1.0", "1.2.0"} {
			b.must(b.publish("stable", v, v))
		}
		return b
	}
	t.Run("a withdrawal", func(t *testing.T) {
		b := three(t)
		b.must(b.yank("stable", "1.1.0"))
		b.must(downgrade(b))
		c := b.channel("stable")
		if got := strings.Join(Versions(c), " "); got != "1.1.0 1.0.1 1.0.0" || c.Entries[0].Yanked == nil {
			t.Errorf("the channel lists %s", got)
		}
		if !slices.Contains(b.memory.Channels["stable"].Yanked, "1.1.0") {
			t.Error("the lock has forgotten the withdrawal")
		}
	})
	for _, row := range []struct {
		name, version, words string
		mark                 func(*release.Entry)
	}{
		{"a step", "1.1.0", "is a step", func(e *release.Entry) { e.Floor = true }},
		{"a critical mark", "1.1.0", "is critical", func(e *release.Entry) { e.Critical = e.Version }},
		{"where a withdrawal goes back to", "1.2.0", "is what a withdrawn release goes back to", func(e *release.Entry) {
			e.Yanked = &release.Yank{Reason: "bad", Action: "back", To: parse(t, "1.1.0").Version}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := three(t)
			b.must(b.amend("stable", row.version, row.mark))
			b.unchanged(func() { refused(t, downgrade(b), "take 1.1.0 off channel stable, and it "+row.words) })
			b.must(b.yank("stable", "1.2.0"))
			b.must(b.yank("stable", "1.1.0"))
			b.must(downgrade(b))
		})
	}
}

// A refresh that does nothing would look like one that has worked, until clients refuse what has expired.
func TestRefreshOfNothingIsAnError(t *testing.T) {
	b := newBench(t)
	refused(t, b.refresh(), "has no channel to refresh")
	b.must(b.publish("stable", "1.0.0", "one"))
	delete(b.shelf.objects, "stable")
	b.memory = NewMemory()
	refused(t, b.refresh(), "has no channel to refresh")
}

// One channel that is refused keeps none of the others from being signed again, and the error is not forgotten.
func TestBadChannelStopsNoOther(t *testing.T) {
	b := newBench(t)
	for _, c := range []string{"alpha", "beta", "stable"} {
		b.must(b.publish(c, "1.0.0", map[bool]string{true: "one"}[c == "alpha"]))
	}
	before := b.channel("stable").Sequence
	delete(b.shelf.objects, "alpha")
	b.shelf.objects["beta"] = b.forgedChannel("beta", before+1000, 0, "evil")
	refused(t, b.refresh(), "alpha was removed")
	if b.channel("stable").Sequence <= before {
		t.Error("stable was not refreshed")
	}
	if said := strings.Join(b.said, "\n"); !strings.Contains(said, "not refreshed: dl/beta") {
		t.Errorf("of beta nothing is said: %s", said)
	}
}

// A withdrawal that is undone on purpose stays undone, also if the run was killed before the document arrived.
func TestUndoIsFinishedByTheNextRun(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.yank("stable", "1.0.0"))
	undo := func() error { return b.amend("stable", "1.0.0", func(e *release.Entry) { e.Yanked = nil }) }
	b.shelf.before = func(op, name string) {
		if op == "put" {
			panic(errKilled)
		}
	}
	func() {
		defer func() { recover() }()
		undo()
	}()
	b.shelf.before, b.memory = nil, committed(t, b.memory)
	b.must(b.refresh())
	if b.channel("stable").Entry(parse(t, "1.0.0").Version).Yanked != nil {
		t.Error("the undo was not finished")
	}
}

// R08: the replay of a channel from before a rotation is told from the newest one even by a lock that knows nothing.
func TestR08ReplayFromBeforeARotation(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.grow()
	old := b.shelf.objects["stable"]
	b.must(b.yank("stable", "1.0.0"))
	b.must(b.publishTrust(b.trust(func(d *verify.TrustDraft) { d.Trust = b.keys.role(t, 2, "alice", "bob", "dora") }, "alice", "bob", "dora")))
	newest := b.shelf.objects["stable"]
	b.shelf.objects["stable"], b.memory = old, NewMemory()
	b.unchanged(func() { refused(t, b.refresh(), "was signed under trust document 1, and 2 is in force") })
	b.shelf.objects["stable"] = newest
	b.must(b.refresh())
}

// Two documents of one sequence look like an attack to clients, so somebody has to find out whose the other one is.
func TestAnotherDocumentOfTheSameSequence(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.shelf.objects["stable"] = b.forgedChannel("stable", b.channel("stable").Sequence, 0, "theseus")
	b.unchanged(func() { refused(t, b.refresh(), "another publisher has your key, or a lock was copied") })
}

// A run was killed when its document had arrived, or just before, and nobody knows which. Whatever the host puts there
// then, the withdrawal that the run was about is not forgotten.
func TestKilledUploadIsNotForgotten(t *testing.T) {
	for _, row := range []struct {
		name    string
		arrived bool
	}{{"it had arrived, and the host took it away", true}, {"it had not arrived", false}} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.publish("stable", "1.0.0", "one"))
			before := b.shelf.objects["stable"]
			var lock *Memory // as it is on disk
			b.memory.save = func() error {
				if lock != nil { // the first is of what is pending
					return errKilled
				}
				lock = committed(t, b.memory)
				return nil
			}
			client := b.client("stable", b.root)
			if row.arrived {
				if err := b.yank("stable", "1.0.0"); !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				b.must(client.look())
				b.shelf.objects["stable"] = before
			} else {
				b.shelf.before = func(op, name string) {
					if op == "put" {
						panic(errKilled)
					}
				}
				func() {
					defer func() { recover() }()
					b.yank("stable", "1.0.0")
				}()
				b.shelf.before = nil
			}
			b.memory = lock
			b.must(b.refresh())
			if e := b.channel("stable").Entry(parse(t, "1.0.0").Version); e.Yanked == nil {
				t.Error("the withdrawal is forgotten")
			}
			b.must(client.look())
		})
	}
}

// A lock that is lost knows no trust document before the root. What leads to the root shows by itself that it does, so that
// older programs are not left behind by the next push.
func TestLostLockLearnsWhatLeadsToTheRoot(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.grow()
	b.who = []string{"ci-2"}
	b.must(b.publishTrust(b.trust(func(d *verify.TrustDraft) { d.Channel = b.keys.role(t, 1, "ci-2") }, "alice", "bob")))
	known := committed(t, b.memory).Trust
	first := b.shelf.objects["trust/1"]

	b.memory = NewMemory()
	view, err := Look(t.Context(), b.options())
	b.must(err)
	files, err := view.TrustFiles(t.Context())
	b.must(err)
	if !bytes.Equal(files[1], first) || len(files) != 2 {
		t.Errorf("it goes up: %v", slices.Sorted(maps.Keys(files)))
	}
	b.must(b.refresh())
	if !maps.Equal(b.memory.Trust, known) {
		t.Errorf("the new lock knows %v, and the lost one knew %v", b.memory.Trust, known)
	}

	b.memory = NewMemory()
	b.shelf.objects["trust/1"] = b.forgedTrust(1, "alice", "bob", "carol")
	b.must(b.refresh())
	if b.memory.Trust[1] != (verify.Digest{}) {
		t.Error("a document that does not lead to the root was written down")
	}
}

// Any file may lie at a remote. One that was never a channel of ours keeps none of them from being fetched.
func TestForgedChannelAtTheRemoteStopsNoOther(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	there, here := newShelf(), newShelf()
	b.must(Carry.Push(t.Context(), b.options(), there, false))
	there.objects["nightly"] = b.forgedChannel("nightly", secondsAt(b.now), 0, "evil")
	o := b.options()
	o.Store = here
	b.must(Carry.Pull(t.Context(), o, there, false))
	if here.objects["stable"] == nil || here.objects["nightly"] != nil {
		t.Errorf("it has fetched %v", slices.Sorted(maps.Keys(here.objects)))
	}
	if said := strings.Join(b.said, "\n"); !strings.Contains(said, "nightly is left alone") {
		t.Errorf("it said %q", said)
	}
	there.objects["stable"] = there.objects["nightly"]
	refused(t, Carry.Pull(t.Context(), o, there, false), "nothing of it was taken")
	o.Store = newShelf() // known by the lock alone
	refused(t, Carry.Pull(t.Context(), o, there, false), "nothing of it was taken")
}

// A channel that nobody remembers is removed between the list and the look.
func TestChannelRemovedMeanwhile(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.must(b.publish("beta", "1.0.0", ""))
	good := maps.Clone(b.shelf.objects)
	for name, run := range map[string]func() error{
		"push":  func() error { return Carry.Push(t.Context(), b.options(), newShelf(), false) },
		"prune": func() error { return Carry.Prune(t.Context(), b.options(), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			b.shelf.objects, b.memory = maps.Clone(good), NewMemory()
			b.shelf.before = func(op, name string) {
				if op == "get" && name == "beta" {
					delete(b.shelf.objects, "beta")
				}
			}
			defer func() { b.shelf.before = nil }()
			refused(t, run(), "beta was removed while this ran")
		})
	}
}
