package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/testattack"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// maxResident is what a service may ever occupy, whatever it is served, in KiB.
const maxResident = 64 << 10

// resident is the most memory that a process has occupied so far (proc(5), VmHWM), in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) < 2 || fields[1] != "kB" {
		t.Fatalf("no VmHWM in\n%s", b)
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// manyArtifacts writes the beginning of a manifest and n artifacts of it.
func manyArtifacts(w *bytes.Buffer, n int) {
	for i := range n {
		if i > 0 {
			w.WriteByte(',')
		}
		fmt.Fprintf(w, `{"os":"os%d","arch":"a","size":1,"sha256":"%064x","downloads":[]}`, i, i)
	}
}

const manifestHead = "theseus/manifest/v1\n{\"app\":\"hello\",\"version\":\"1.2.0\",\"date\":\"2026-11-21T09:00:00Z\",\"artifacts\":["

// signedManifest publishes 1.2.0 with a manifest that holds up to what the signature and the size cap say, and no further.
func signedManifest(repo *testrelease.Repo, body string) {
	signed := repo.SignText(body, repo.ReleaseKeys...)
	repo.Put("releases/1.2.0.manifest", signed)
	repo.Resign(func(c *release.Channel) {
		c.Entries = append(c.Entries, release.Entry{Version: semver.MustParse("1.2.0"), Manifest: verify.IDOf([]byte(body))})
	})
}

// A service that serves while whoever answers for updates sends too much of everything.
func TestMemoryUnderAttack(t *testing.T) {
	t.Parallel()
	for _, a := range []struct {
		name string
		do   func(t *testing.T, repo *testrelease.Repo)
		code int
	}{
		{"A08 endless channel document", func(_ *testing.T, repo *testrelease.Repo) {
			repo.Hook("stable", testrelease.Endless())
		}, 4},
		{"A08 endless manifest", func(_ *testing.T, repo *testrelease.Repo) {
			repo.Hook("releases/1.1.0.manifest", testrelease.Endless())
		}, 4},
		{"A09 endless artifact", func(_ *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.2.0", make([]byte, 48<<20))
			repo.Hook(repo.FilePath("1.2.0"), testrelease.Endless())
		}, 4},
		{"P18 decompression bomb, 1 MB to 10 GiB", func(_ *testing.T, repo *testrelease.Repo) { testattack.Bomb(repo) }, 4},
		{"P07 a manifest of a million artifacts", func(_ *testing.T, repo *testrelease.Repo) {
			repo.Hook("releases/1.1.0.manifest", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				var b bytes.Buffer
				b.WriteString(manifestHead)
				for range 1000 { // a million, until the client goes away
					manyArtifacts(&b, 1000)
					if _, err := b.WriteTo(w); err != nil {
						return
					}
				}
			})
		}, 4},
		{"P07 a signed manifest of as many artifacts as fit", func(_ *testing.T, repo *testrelease.Repo) {
			var b bytes.Buffer
			b.WriteString(manifestHead)
			manyArtifacts(&b, 7500)
			b.WriteString("]}\n")
			if b.Len() > 1<<20 {
				panic(b.Len())
			}
			signedManifest(repo, b.String())
		}, 4},
		{"P07 a signed manifest of 100,000 nested arrays", func(_ *testing.T, repo *testrelease.Repo) {
			signedManifest(repo, manifestHead+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"]}\n")
		}, 4},
		{"P07 a signed manifest of 500,000 values", func(_ *testing.T, repo *testrelease.Repo) {
			signedManifest(repo, manifestHead+"],\"x\":["+strings.Repeat("1,", 500_000)+"1]}\n")
		}, 4},
	} {
		t.Run(a.name, func(t *testing.T) {
			i, repo := offered(t)
			a.do(t, repo)
			s := i.start(append(i.flags(repo), "--interval", "1h")...)
			before := resident(t, s.cmd.Process.Pid)
			s.post()
			var st status
			s.await("an outcome", func() bool {
				st = s.status()
				return st.State == "idle" && st.Outcome != nil
			})
			after := resident(t, s.cmd.Process.Pid)
			if st.Outcome.Code != a.code {
				t.Errorf("outcome %+v, want code %d", st.Outcome, a.code)
			}
			if after > maxResident {
				t.Errorf("%d KiB were resident, %d may be", after, maxResident)
			}
			t.Logf("resident: %d KiB when it serves, %d KiB at most: %s", before, after, st.Outcome.Error)
			s.serves("1.0.0")
		})
	}
}
