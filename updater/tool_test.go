package updater

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// tool is a command-line tool that nobody runs as a service, as it is run next: what is at the path.
func tool(t *testing.T, repo *testrelease.Repo, path string, args ...string) (code int, out string) {
	t.Helper()
	version := "1.0.0"
	for _, e := range repo.Channel.Entries {
		if string(program(e.Version.String())) == string(read(t, path)) {
			version = e.Version.String()
		}
	}
	code, stdout, stderr := again(t, repo, path, version).run(args...)
	return code, stdout + stderr
}

// A tool goes back to the version before this one, each time; and what a rescue shell undoes, too.
func TestToolGoesBackOneByOne(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	update := func(version string) {
		t.Helper()
		if code, out := tool(t, repo, c.path, "self-update"); code != ExitOK || !strings.Contains(out, version+" is installed") || strings.Contains(out, "SIGHUP") {
			t.Fatalf("%d %s", code, out)
		}
		c.holds(version)
	}
	update("1.1.0")
	repo.Publish("1.2.0", program("1.2.0"))
	update("1.2.0")
	for range 4 {
		if _, err := Recover(t.Context(), c.path, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.holds("1.1.0")
	if code, out := tool(t, repo, c.path, "--version", "1.2.0"); code != ExitOK {
		t.Fatalf("%d %s", code, out)
	}
	for _, back := range []string{"1.1.0", "1.0.0"} {
		if code, out := tool(t, repo, c.path, "--rollback"); code != ExitOK || !strings.Contains(out, "is back at "+back) || strings.Contains(out, "SIGHUP") {
			t.Fatalf("%d %s", code, out)
		}
		c.holds(back)
	}
	if code, out := tool(t, repo, c.path, "--rollback"); code != ExitNothing || !strings.Contains(out, "--allow-downgrade") {
		t.Errorf("with nothing kept: %d %s", code, out)
	}
	if code, out := tool(t, repo, c.path); code != ExitNothing || !strings.Contains(out, "left by hand") {
		t.Errorf("what was left comes back: %d %s", code, out)
	}
}

// A file that a service has started, or runs, is proved by the service alone.
func TestServiceIsNotProvedByACommand(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	c.remembers(func(st *state.State) { st.Installed.Starts = 1 })
	repo.Publish("1.2.0", program("1.2.0"))
	again(t, repo, c.path, "1.1.0").mustUpdate("1.2.0")
	if st := c.state(); st.Previous == nil || st.Previous.Version != "1.0.0" {
		t.Errorf("previous is recorded as %+v", st.Previous)
	}
}

// To name an earlier version that is kept is to go back to it, without the network and whoever names it; what lies between
// is left too.
func TestNamedEarlierVersionIsARollback(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	tool(t, repo, c.path)
	repo.Publish("1.2.0", program("1.2.0"))
	tool(t, repo, c.path)
	c.holds("1.2.0")
	if code, out := tool(t, repo, c.path, "--check", "--version", "1.0.0"); code != ExitFound || !strings.Contains(out, "1.0.0 is available") {
		t.Errorf("--check: %d %s", code, out)
	}
	if code, out := tool(t, repo, c.path, "--dry-run", "1.0.0"); code != ExitOK || !strings.Contains(out, "1.2.0 would be replaced by 1.0.0") {
		t.Errorf("--dry-run: %d %s", code, out)
	}
	c.holds("1.2.0")
	repo.Forget()
	if code, out := tool(t, repo, c.path, "self-update", "v1.0.0"); code != ExitOK || !strings.Contains(out, "is back at 1.0.0") || len(repo.Requests()) != 0 {
		t.Errorf("%d %s, %v", code, out, repo.Requests())
	}
	c.holds("1.0.0")
	d := again(t, repo, c.path, "1.0.0")
	if r, err := d.poll(t.Context()); !errors.Is(err, ErrNothing) || r.Installed != "" {
		t.Errorf("the interval goes up again: %+v, %v", r, err)
	}
	d.mustUpdateTo("1.1.0")
}

func (c *client) mustUpdateTo(version string) {
	c.t.Helper()
	if r, err := c.Update(c.t.Context(), version); err != nil || r.Installed != version {
		c.t.Fatalf("%+v, %v", r, err)
	}
}

// An earlier version that is not kept takes the publisher's signed permission and the word of a person.
func TestDowngradeNeedsThePublisherAndAPerson(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0", "1.2.0")
	c := install(t, repo, "1.2.0")
	if code, out := tool(t, repo, c.path, "--version", "1.0.0", "--allow-downgrade"); code != ExitNothing || !strings.Contains(out, "the publisher lets nobody go back to it") {
		t.Errorf("without permission: %d %s", code, out)
	}
	repo.Resign(func(ch *release.Channel) {
		for i := range ch.Entries {
			ch.Entries[i].Return = ch.Entries[i].Version.String() == "1.0.0"
		}
	})
	if code, out := tool(t, repo, c.path, "1.0.0"); code != ExitNothing || !strings.Contains(out, "ask for a downgrade") {
		t.Errorf("not asked for: %d %s", code, out)
	}
	c.holds("1.2.0")
	if code, out := tool(t, repo, c.path, "1.0.0", "--allow-downgrade"); code != ExitOK || !strings.Contains(out, "is back at 1.0.0") {
		t.Errorf("%d %s", code, out)
	}
	c.holds("1.0.0")
	if r, err := again(t, repo, c.path, "1.0.0").poll(t.Context()); !errors.Is(err, ErrNothing) || r.Installed != "" {
		t.Errorf("the interval goes up again: %+v, %v", r, err)
	}
}

func TestCommandVersionsAsPeopleTypeThem(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for _, row := range []struct {
		args []string
		code int
	}{
		{[]string{"self-update", "1.1.0"}, ExitFound},
		{[]string{"self-update", "v1.1.0"}, ExitFound},
		{[]string{"self-update", "1.1.0", "--json"}, ExitFound},
		{[]string{"--version", "v1.1.0"}, ExitFound},
		{[]string{"--version", ""}, ExitUsage},
		{[]string{"--version", "1.1.0", "1.1.0"}, ExitUsage},
		{[]string{"1.1.0", "1.0.0"}, ExitUsage},
		{[]string{"now"}, ExitUsage},
		{[]string{"--allow-downgrade"}, ExitUsage},
	} {
		c := install(t, repo, "1.0.0")
		if code, out, stderr := c.run(append(row.args, "--check")...); code != row.code {
			t.Errorf("%q: %d %s%s", row.args, code, out, stderr)
		}
	}
}

// A beta installation is offered the newer stable; each channel is remembered on its own, so neither can be replayed; and
// what is withdrawn in one is withdrawn.
func TestChannelThatIncludesAnother(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0-rc.1")
	stable := *repo.Channel
	beta := func(edit func(*release.Channel)) {
		b := stable
		b.Name, b.Includes, b.Sequence = "beta", []string{"stable"}, repo.Channel.Sequence
		b.Entries = []release.Entry{*repo.Entry("1.1.0-rc.1")}
		if edit != nil {
			edit(&b)
		}
		repo.Put("beta", repo.SignChannel(&b, repo.ChannelKeys...))
	}
	beta(nil)
	repo.Resign(func(ch *release.Channel) { ch.Entries = []release.Entry{*repo.Entry("1.0.0")} })
	old := repo.Get("stable")
	follows := func(o *Options) { o.Channel = "beta" }
	c := install(t, repo, "1.0.0", follows)
	c.mustUpdate("1.1.0-rc.1")
	repo.Publish("1.1.0", program("1.1.0"))
	c.mustUpdate("1.1.0")
	if st := c.state(); len(st.Channels) != 2 || st.Channels["stable"].Sequence != repo.Channel.Sequence {
		t.Errorf("remembered: %+v", st.Channels)
	}
	repo.Put("stable", old)
	d := again(t, repo, c.path, "1.1.0", follows)
	if _, err := d.update(); !errors.Is(err, ErrRefused) || !errors.Is(err, release.ErrRollback) || !strings.Contains(err.Error(), "stable") {
		t.Errorf("a replayed stable: %v", err)
	}
	repo.Remove("stable")
	if _, err := d.update(); err == nil {
		t.Error("without stable it is taken")
	}
	repo.Resign(func(ch *release.Channel) {
		ch.Entries[0].Yanked = &release.Yank{Reason: "it loses mail", Action: "stay"}
	})
	if _, err := d.update(); err != nil || !strings.Contains(d.Status().Withdrawn, "it loses mail") {
		t.Errorf("%v, withdrawn: %q", err, d.Status().Withdrawn)
	}
}

// A retired channel is told, with where to go; what it lists stays on offer.
func TestRetiredChannel(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	repo.Resign(func(ch *release.Channel) {
		ch.Retired = &release.Retired{Reason: "all of it is in stable2 now", To: "stable2"}
	})
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	if ev := c.events.of(EventRetired); len(ev) != 1 || !strings.Contains(ev[0].Text, "follow the channel stable2 instead") || c.Status().Retired != ev[0].Text {
		t.Errorf("%+v, %q", ev, c.Status().Retired)
	}
	if _, out, _ := c.run("--doctor"); !strings.Contains(out, "stable2") {
		t.Errorf("--doctor does not say so:\n%s", out)
	}
	repo.Resign(func(ch *release.Channel) { ch.Retired = nil })
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	if ev := c.events.of(EventRetired); len(ev) != 2 || !ev[1].Ended || c.Status().Retired != "" {
		t.Errorf("%+v", ev)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
