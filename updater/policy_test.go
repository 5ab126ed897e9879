package updater

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// policed makes content the policy of clients, and returns the file.
func policed(t *testing.T, content string) (file string, edit func(*Options)) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "hello.policy")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(policyVariable, file)
	return file, func(*Options) {}
}

// A policy that cannot be understood holds everything back, and says which line it is.
func TestPolicyThatCannotBeUsed(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for _, row := range []struct{ content, want string }{
		{"updates auto\nupdates off", "hello.policy:2: updates: it stands in line 1 already"},
		{"update off", "hello.policy:1: update: there is no such key"},
		{"Updates off", "there is no such key"},
		{"updates", "hello.policy:1: updates: it has no value"},
		{"updates maybe", "it is off, check or auto"},
		{"\n\n# a comment\npin ~1.4", "hello.policy:4: pin: \"~1.4\""},
		{"pin 1.4.x", "it takes a version"},
		{"pin 01.4", "it takes a version"},
		{"pin 1.2.3.4", "it takes a version"},
		{"skip newest", "hello.policy:1: skip"},
		{"window at night", "hello.policy:1: window"},
		{"window 02:00-04:00 Mars/Olympus", "time zone"},
		{"min-age 3 weeks", "it takes a time, such as 90s, 36h or 3d"},
		{"min-age -1h", "it takes a time"},
		{"min-age 9999d", "it takes a time from"},
		{"inhibit-file busy", "a path from the root"},
		{"critical later", "it is now or wait"},
		{"manual no", "it is now or wait"},
		{"stall 0s", "it takes a time from 1s"},
		{"space much", "it takes a number of bytes"},
		{"space -1", "it takes a number of bytes"},
		{"space 9000000000TB", "it takes a number of bytes"},
		{"fleet https://fleet.example.com", "cannot be told about a fleet"},
		{"group canary", "cannot be told about a fleet"},
		{"updates auto" + strings.Repeat("\n#", 64<<10), "larger than 64 KiB"},
		{"\x1b[2Jevil\x00 \xff", "there is no such key"},
	} {
		file, edit := policed(t, row.content)
		c := install(t, repo, "1.0.0", edit)
		for what, update := range map[string]func() error{
			"the interval": func() error { _, err := c.poll(t.Context()); return err },
			"a person":     func() error { _, err := c.update(); return err },
		} {
			err := update()
			if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "nothing is installed until that is corrected") {
				t.Errorf("%q: %s: %v, want %q", row.content, what, err, row.want)
			}
			if err != nil && (strings.ContainsAny(err.Error(), "\x1b\x00") || !utf8.ValidString(err.Error())) {
				t.Errorf("%q: the error is not fit for a terminal: %q", row.content, err)
			}
		}
		c.holds("1.0.0")
		if n := len(c.events.of(EventPolicy)); n != 1 {
			t.Errorf("%q: %d events", row.content, n)
		}
		if code, out, _ := c.run("--doctor"); code == ExitOK || !strings.Contains(out, row.want) {
			t.Errorf("%q: the doctor does not say it: exit code %d\n%s", row.content, code, out)
		}
		// Once it is corrected, the next check goes on.
		if err := os.WriteFile(file, []byte("updates auto\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		c.mustUpdate("1.1.0")
	}
}

// What the environment names has to be there, and be a file; the usual place may be empty.
func TestPolicyThatIsNotThere(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for _, file := range []string{filepath.Join(t.TempDir(), "missing"), t.TempDir(), os.DevNull, "\x00"} {
		if p := readPolicy(file, true); p == nil || p.wrong == nil || !strings.Contains(p.wrong.Error(), policyVariable) {
			t.Errorf("%q: %+v", file, p)
		}
	}
	c := install(t, repo, "1.0.0")
	c.policyFile, c.policyRequired = filepath.Join(t.TempDir(), "missing"), false
	c.mustUpdate("1.1.0")
	if file, required := policyFile("hello"); os.Getenv(policyVariable) == "" && required {
		t.Errorf("%s has to be there", file)
	}
}

// What each line does to the interval, and to a person. "" is: held back.
func TestPolicyHoldsBack(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	repo.Publish("1.1.1", program("1.1.1"), testrelease.Zstd())
	repo.Publish("1.2.0", program("1.2.0"), testrelease.Zstd())
	repo.Publish("2.0.0", program("2.0.0"), testrelease.Zstd())
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	for _, row := range []struct{ content, kind, interval, person string }{
		{"", "", "2.0.0", "2.0.0"},
		{"updates auto # as ever", "", "2.0.0", "2.0.0"},
		{"updates check", "updates", "", "2.0.0"},
		{"pin 1", "", "1.2.0", "1.2.0"},
		{"pin 1.1", "", "1.1.1", "1.1.1"},
		{"pin 1.1.0", "", "1.1.0", "1.1.0"},
		{"pin 1.0", "pin", "", ""},
		{"skip 2.0.0\nskip 1.2.0", "", "1.1.1", "1.1.1"},
		{"pin 1\nskip 1.2.0", "", "1.1.1", "1.1.1"},
		{"window 02:00-04:00 UTC", "window", "", "2.0.0"},
		{"window 02:00-04:00 UTC\nwindow 11:00-13:00 UTC", "", "2.0.0", "2.0.0"},
		{"window 02:00-04:00 UTC\nmanual wait", "window", "", ""},
		{"min-age 3d", "age", "", "2.0.0"},
		{"min-age 3d\nmanual wait", "age", "", ""},
		{"min-age 0s", "", "2.0.0", "2.0.0"},
		{"space 1000000TB", "space", "", ""},
		{"space 1", "", "2.0.0", "2.0.0"},
	} {
		_, edit := policed(t, row.content+"\n")
		for who, want := range map[string]string{"the interval": row.interval, "a person": row.person} {
			c := install(t, repo, "1.0.0", edit)
			c.now = func() time.Time { return noon }
			update := c.update
			if who == "the interval" {
				update = func() (Result, error) { return c.poll(t.Context()) }
			}
			r, err := update()
			held := (*Held)(nil)
			if errors.As(err, &held) != (want == "") || r.Installed != want || held != nil && held.Kind != row.kind {
				t.Errorf("%q: %s got %q (%v), want %q", row.content, who, r.Installed, err, want)
			}
			if s := c.Status(); (s.Held != nil) != (want == "") {
				t.Errorf("%q: %s: the status says %+v", row.content, who, s.Held)
			}
		}
	}
}

// A critical release passes windows and ages, unless the policy says otherwise, and no pin.
func TestPolicyAndCriticalReleases(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	repo.Resign(func(ch *release.Channel) { ch.Entries[0].Critical = ch.Entries[0].Version })
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	for content, held := range map[string]bool{
		"window 02:00-04:00 UTC\nmin-age 3d":               false,
		"window 02:00-04:00 UTC\nmin-age 3d\ncritical now": false,
		"window 02:00-04:00 UTC\ncritical wait":            true,
		"min-age 3d\ncritical wait":                        true,
		"pin 1.0":                                          true,
		"updates check":                                    true,
	} {
		_, edit := policed(t, content)
		c := install(t, repo, "1.0.0", edit)
		c.now = func() time.Time { return noon }
		if _, err := c.poll(t.Context()); errors.Is(err, ErrHeld) != held || err != nil && !held {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// The policy can only hold back: what the program holds back stays held.
func TestPolicyWidensNothing(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	_, edit := policed(t, "updates auto\npin 1.1\nwindow 00:00-24:00 UTC\nmin-age 0s\ncritical now\nmanual now\nspace 0\nstall 1h\n")
	for name, program := range map[string]func(*Options){
		"a window":    gated(Windows("02:00-04:00 UTC")),
		"an age":      gated(MinAge(time.Hour)),
		"notify only": func(o *Options) { o.NotifyOnly = true },
		"a gate":      gated(&counter{enter: no("not now")}),
	} {
		c := install(t, repo, "1.0.0", edit, program)
		c.now = func() time.Time { return noon }
		if _, err := c.poll(t.Context()); !errors.Is(err, ErrHeld) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, edit = policed(t, "pin 2.0\n")
	c := install(t, repo, "1.0.0", edit)
	if _, err := c.Update(t.Context(), "1.1.0"); !errors.Is(err, ErrHeld) {
		t.Errorf("a version that is named goes past a pin: %v", err)
	}
}

// Where updates are off, the interval asks nobody, and a person is told why nothing is installed.
func TestPolicyOff(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	file, edit := policed(t, "updates off\n")
	c := install(t, repo, "1.0.0", edit)
	if _, err := c.poll(t.Context()); err != nil || len(repo.Requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(repo.Requests()))
	}
	if _, err := c.update(); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), file+":1") {
		t.Errorf("%v", err)
	}
	if code, out, _ := c.run("--doctor"); !strings.Contains(out, "updates are off") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	c.holds("1.0.0")
}

// How long a source may take is the operator's to say.
func TestPolicyStall(t *testing.T) {
	repo := published(t, "1.0.0")
	_, edit := policed(t, "stall 2m")
	c := install(t, repo, "1.0.0", edit)
	j := c.job(nil, request{})
	if j.source.Stall != 2*time.Minute || c.opts.network.Stall != 2*time.Second {
		t.Errorf("%v, %v", j.source.Stall, c.opts.network.Stall)
	}
	if _, err := j.look(t.Context()); err != nil {
		t.Error(err)
	}
}

// --explain has a line for each line, whatever is on offer.
func TestExplainPolicy(t *testing.T) {
	lines := []string{"updates auto", "pin 1.1", "skip 1.1.9", "window 02:00-04:00 UTC", "min-age 3d", "inhibit-file /nowhere/busy", "critical wait", "manual wait", "stall 1m", "space 1MB"}
	for _, versions := range [][]string{{"1.0.0"}, {"1.0.0", "1.1.0"}, {"1.0.0", "1.1.0", "1.2.0"}} {
		repo := published(t, versions...)
		_, edit := policed(t, strings.Join(lines, "\n"))
		c := install(t, repo, "1.0.0", edit)
		c.now = func() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) }
		code, out, stderr := c.run("--check", "--explain")
		for _, line := range lines {
			key, _, _ := strings.Cut(line, " ")
			if !strings.Contains(out, " "+key+" ") && !(key == "min-age" && strings.Contains(out, " age ")) {
				t.Errorf("%v: %s is not explained: exit code %d\n%s%s", versions, key, code, out, stderr)
			}
		}
		fmt.Fprintln(t.Output(), out)
	}
}

// A program that only notifies says once that a release is there, and downloads nothing; a person may install it.
func TestNotifyOnly(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) { o.NotifyOnly = true })
	for range 3 {
		held := (*Held)(nil)
		if _, err := c.poll(t.Context()); !errors.As(err, &held) || held.Kind != "updates" {
			t.Errorf("%v", err)
		}
	}
	if n := repo.Requested("files/"); n != 0 || len(c.events.of(EventHeld)) != 1 || c.events.of(EventHeld)[0].Version != "1.1.0" {
		t.Errorf("%d downloads, %+v", n, c.events.of(EventHeld))
	}
	c.mustUpdate("1.1.0")
}
