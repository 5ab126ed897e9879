package audit

import (
	"bytes"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A delta that is stored as signed and makes another file than it should costs every client a second download.
func TestVerifyAppliesDeltas(t *testing.T) {
	program := func(version string) []byte {
		return []byte(strings.Repeat("the same line of every version\n", 1000) + version + "\n")
	}
	for _, row := range []struct{ name, makes, problem string }{
		{"good", "1.1.0", ""},
		{"another file", "1.2.0", "applying it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			repo := testrelease.New(t)
			repo.Publish("1.0.0", program("1.0.0"), testrelease.Zstd())
			var patch bytes.Buffer
			if _, err := delta.Diff(t.Context(), program("1.0.0"), program(row.makes), &patch, delta.Options{}); err != nil {
				t.Fatal(err)
			}
			repo.Publish("1.1.0", program("1.1.0"), testrelease.Zstd(), testrelease.Manifest(func(m *release.Manifest) {
				d := repo.Store(release.Delta, patch.Bytes())
				from := verify.IDOf(program("1.0.0")).SHA256
				d.From = &from
				m.Artifacts[0].Downloads = append(m.Artifacts[0].Downloads, d)
			}))
			dir := t.TempDir()
			repo.WriteTo(dir)
			root, err := verify.ParseTrust(repo.Key())
			if err != nil {
				t.Fatal(err)
			}
			r, err := Verify(t.Context(), Options{Repo: dir, Root: root})
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			r.Print(&text)
			if r.OK != (row.problem == "") || !strings.Contains(text.String(), row.problem) {
				t.Errorf("ok %v:\n%s", r.OK, &text)
			}
		})
	}
}
