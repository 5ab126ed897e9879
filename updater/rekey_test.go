package updater

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// R11: one of two channel keys leaks and is replaced. The network shows the new trust document, and beside it an old channel
// that the key which stays has signed, which offers a release that was withdrawn since. Nothing is installed, in this process
// and the next, until the publisher's own channel arrives.
func TestR11ReplayAfterAKeyIsReplaced(t *testing.T) {
	r := begin(t)
	r.ChannelKeys = r.of("new ci")
	r.Trust(verify.TrustDraft{Version: 1, Channel: r.role(1, "ci new ci")}, r.of("publisher")...)
	r.Channel.Trust = 1
	r.Publish("1.1.0", program("1.1.0"))
	old := r.Get("stable") // signed by "new ci" alone, offers 1.1.0
	r.ChannelKeys = r.of("ci")
	r.Publish("1.2.0", program("1.2.0"))
	r.Resign(func(c *release.Channel) {
		for i := range c.Entries {
			if v := c.Entries[i].Version.String(); v == "1.1.0" || v == "1.2.0" {
				c.Entries[i].Yanked = &release.Yank{Reason: "remote hole", Action: "stay"}
			}
		}
	})
	c := r.installed()
	c.follows(1)

	r.ChannelKeys = r.of("new ci")
	r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(1, "publisher"), Channel: r.role(1, "new ci")}, r.of("publisher")...)
	r.Channel.Trust = 2
	r.Publish("1.3.0", program("1.3.0"))
	honest := r.Get("stable")
	r.Put("stable", old)
	for range 2 { // the second one knows only what is on disk
		c = r.again(c)
		if res, err := c.update(); res.Installed != "" || !errors.Is(err, release.ErrRollback) || !errors.Is(err, ErrRefused) {
			t.Fatalf("installed %q, %v", res.Installed, err)
		}
		c.trusts(2)
		if ch := c.state().Channels["stable"]; ch == nil || ch.Trust != 2 || ch.Sequence != 0 {
			t.Fatalf("remembered: %+v", ch)
		}
	}
	r.Put("stable", honest)
	c.mustUpdate("1.3.0")
	r.Put("stable", old)
	if _, err := r.again(c).Check(t.Context()); !errors.Is(err, release.ErrRollback) {
		t.Errorf("after an honest update: %v", err)
	}
}

// R02: the trust document that a channel names is withheld, whose predecessor names a stolen release key.
func TestR02WithheldTrust(t *testing.T) {
	r := begin(t)
	r.Trust(verify.TrustDraft{Version: 1}, r.of("publisher")...)
	r.Channel.Trust = 1
	r.Resign(nil)
	c := r.installed()
	c.follows(1)
	r.Trust(verify.TrustDraft{Version: 2, Release: r.role(1, "alice"), Trust: r.role(1, "publisher"), Channel: r.role(1, "publisher")}, r.of("publisher")...)
	second := r.Get("trust/2")
	r.Remove("trust/2")
	r.Channel.Trust = 2
	r.Publish("1.1.0", program("1.1.0")) // by the key that was taken away
	c.refuses(release.ErrTrust)
	r.Put("trust/2", second)
	if _, err := c.update(); !errors.Is(err, verify.ErrSignature) {
		t.Errorf("a release by the key that was taken away: %v", err)
	}
	c.holds("1.0.0")
	r.ReleaseKeys = r.of("alice")
	r.Publish("1.2.0", program("1.2.0"))
	c.mustUpdate("1.2.0")
}

// R04: a header that no file of text can keep makes nobody forget that keys were replaced.
func TestR04HeaderUndoesNoRotation(t *testing.T) {
	r := begin(t)
	r.Trust(verify.TrustDraft{Version: 1, Release: r.role(1, "carol")}, r.of("publisher")...)
	r.Channel.Trust = 1
	r.Resign(func(c *release.Channel) { c.Entries = nil })
	c := r.installed()
	r.Hook("stable", hostileTag(r.Repo))
	c.follows(1)
	r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(1, "publisher"), Release: r.role(1, "alice")}, r.of("publisher")...)
	r.Channel.Trust = 2
	r.Resign(nil)
	c.follows(2)
	r.Remove("trust/2")
	c = r.again(c)
	c.trusts(2)
	if got := c.Status().Trust; got != 0 && got != 2 {
		t.Errorf("a new process starts from trust %d", got)
	}
}

// R04: the same header does not keep a healthy release from being recorded as proved, so that its third start does not take
// it away.
func TestR04HeaderKeepsNoProofFromBeingRemembered(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	repo.Hook("stable", hostileTag(repo))
	for range 4 {
		next := again(t, repo, c.path, "1.1.0")
		next.proveAfter = time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		proved := make(chan struct{})
		go func() {
			defer close(proved)
			for ctx.Err() == nil {
				if st := next.state(); st.Installed != nil && st.Installed.Proved {
					cancel()
				}
			}
		}()
		err := next.Run(ctx)
		cancel()
		<-proved
		if err != nil {
			t.Fatal(err)
		}
		if st := next.state(); !st.Installed.Proved || len(st.Failed) != 0 {
			t.Fatalf("%+v, failed %v", st.Installed, st.Failed)
		}
	}
	c.holds("1.1.0")
}

func hostileTag(repo *testrelease.Repo) testrelease.Hook {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		w.Header()["ETag"] = []string{"\"\xff\""}
		w.Write(repo.Get("stable"))
	}
}
