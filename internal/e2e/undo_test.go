//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
)

// A release that passes its probe and fails when it serves is undone: the old process serves on, the old file is back, the
// version is remembered, and the next good release is installed.
func TestUndo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault string
		flags []string
	}{
		{"crash", nil},
		{"hang", []string{"--startup", "4s"}},
		{"crash-after-ready", []string{"--probation", "3s"}},
	} {
		for _, trigger := range []string{"POST", "SIGHUP"} {
			t.Run(c.fault+" by "+trigger, func(t *testing.T) {
				t.Parallel()
				i := install(t, build(t, "1.0.0"))
				i.env = []string{"HELLO_FAULT=" + c.fault} // 1.0.0 was built without faults
				repo := testrelease.New(t)
				i.trusts(repo)
				repo.Publish("1.1.0", bytesOf(t, "1.1.0", "faults"))
				s := i.start(append(i.flags(repo), c.flags...)...)
				pid := s.serves("1.0.0")
				before := i.look()
				load := s.load()

				switch trigger {
				case "POST":
					s.post()
					// 3 is the outcome of a check that came between: what failed is held back.
					if st := s.failed("1.1.0"); st.Outcome.Code != 8 && st.Outcome.Code != 3 {
						t.Errorf("the outcome is %+v", st.Outcome)
					}
				case "SIGHUP":
					if r := i.run(append(i.flags(repo), "--self-update")...); r.code != 0 || i.version() != "1.1.0" {
						t.Fatalf("%v", r)
					}
					repo.Hook("stable", testrelease.Status(503)) // a check would hand over again, and undo
					if err := s.cmd.Process.Signal(signals["SIGHUP"]); err != nil {
						t.Fatal(err)
					}
					s.await("1.1.0 is undone", func() bool { return i.version() == "1.0.0" })
				}
				s.await("1.1.0 is remembered", func() bool { return strings.Contains(string(i.memory().Failed), "1.1.0") })
				time.Sleep(100 * time.Millisecond) // for a wrong second thought; there is no event for its absence
				if sent, failed := load(); len(failed) != 0 && c.fault != "crash-after-ready" {
					t.Errorf("%d of %d requests failed: %v", len(failed), sent, failed[0])
				}
				if now := s.serves("1.0.0"); now != pid {
					t.Errorf("process %d serves, was %d", now, pid)
				}
				s.pidFileSays(pid)
				after := i.look()
				if after.sum != before.sum || after.info.Mode() != before.info.Mode() {
					t.Errorf("the file that was put back is not the old one")
				}
				i.tidy()
				if st := s.status(); st.Failed["1.1.0"] == "" || st.Installed != "1.0.0" {
					t.Errorf("the status after the undo: %+v", st)
				}

				repo.Hook("stable", nil)
				repo.Publish("1.2.0", bytesOf(t, "1.2.0"))
				s.post()
				s.awaitVersion("1.2.0")
			})
		}
	}
}

// A fault build acts only in the server: its probe passes, or none of this would be tested.
func TestFaultsAreOnlyInFaultBuilds(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	i.env = []string{"HELLO_FAULT=crash"}
	i.start().serves("1.0.0")

	f := install(t, build(t, "1.1.0", "faults"))
	f.env = []string{"HELLO_FAULT=crash"}
	if v := f.version(); v != "1.1.0" {
		t.Errorf("--version of a fault build says %q", v)
	}
	if r := f.run("--listen", "unix:"+f.side+"/p"); r.code != 2 {
		t.Errorf("a fault build told to crash: %v", r)
	}
}
