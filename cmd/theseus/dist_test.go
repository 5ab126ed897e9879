package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// goreleased lays out what GoReleaser v2.16.0 has left of a project (testdata/goreleaser), as it would have of another
// version, with programs that say their version. They are scripts, also where they stand for Windows.
func goreleased(t *testing.T, dir, version string) {
	t.Helper()
	dist := filepath.Join(dir, "dist")
	if err := os.RemoveAll(dist); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dist, os.DirFS(filepath.Join("testdata", "goreleaser"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"artifacts.json", "metadata.json"} {
		text := strings.ReplaceAll(string(read(t, filepath.Join(dist, name))), "1.1.0", version)
		write(t, filepath.Join(dist, name), []byte(text))
	}
	path := filepath.Join(dist, "artifacts.json")
	var all []map[string]any
	if err := json.Unmarshal(read(t, path), &all); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		extra, _ := a["extra"].(map[string]any)
		if a["type"] != "Binary" && a["type"] != "SBOM" {
			continue
		}
		target, _ := a["target"].(string)
		text := fmt.Appendf(nil, "#!/bin/sh\n# %s %s\necho hello %s\n", a["type"], target, version)
		file := filepath.Join(dir, filepath.FromSlash(a["path"].(string)))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, file, text)
		if _, ok := extra["Checksum"]; ok {
			sum := sha256.Sum256(text)
			extra["Checksum"] = "sha256:" + hex.EncodeToString(sum[:])
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, b)
}

// allowScripts is what must be said because the programs of goreleased are scripts.
var allowScripts = []string{"--allow", "other-platform"}

// What GoReleaser has built is published without typing anything of it again.
func TestPublishDist(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	goreleased(t, dir, "1.0.0")
	first := append([]string{"publish", "--dist", "dist", "--repo", "dl", "--channel", "stable", "--key", "theseus.key"}, allowScripts...)

	// What would be signed, before there is anything.
	empty := tree(dir)
	dry := mustTheseus(t, dir, append(slices.Clone(first), "--dry-run")...)
	for _, want := range []string{"Would sign hello 1.0.0 and offer it in channel stable:", "linux/amd64/v3", "linux/arm/v7", "dist/hello_linux_arm_6/hello", "hello: a comment that says nothing"} {
		if !strings.Contains(dry, want) {
			t.Errorf("a dry run does not say %q:\n%s", want, dry)
		}
	}
	if after := tree(dir); after != empty {
		t.Errorf("a dry run has written something:\n%s", after)
	}
	said := mustTheseus(t, dir, first...)
	for _, platform := range []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/amd64/v3", "linux/arm", "linux/arm/v7", "linux/arm64", "windows/amd64"} {
		if !strings.Contains(said, "  "+platform+" ") {
			t.Errorf("nothing was published for %s:\n%s", platform, said)
		}
	}
	if mustTheseus(t, dir, first...); !strings.Contains(mustTheseus(t, dir, "inspect", "dl/releases/1.0.0.manifest"), "hello: a comment that says nothing") {
		t.Error("the notes are not there")
	}

	if said := mustTheseus(t, dir, "attachments"); strings.Count(said, "application/spdx+json") != 9 {
		t.Errorf("the bills of materials are not attached:\n%s", said)
	}

	// The next one needs nothing but the folder.
	goreleased(t, dir, "1.1.0")
	before := tree(dir)
	dry = mustTheseus(t, dir, append([]string{"publish", "--dist", "dist", "--dry-run", "--key", "not-there"}, allowScripts...)...)
	if !strings.Contains(dry, "deltas from 1.0.0") {
		t.Errorf("a dry run speaks of no deltas:\n%s", dry)
	}
	if tree(dir) != before {
		t.Error("a dry run has changed something")
	}
	mustTheseus(t, dir, append([]string{"publish", "--dist", "dist"}, allowScripts...)...)
	if said := mustTheseus(t, dir, "publish", "--dist", "dist", "--dry-run"); !strings.Contains(said, "1.1.0 is in channel stable already: nothing would be done") {
		t.Errorf("it says %s", said)
	}

	// It goes on to another channel without any file.
	if said := mustTheseus(t, dir, "publish", "--version", "1.1.0", "--channel", "beta", "--allow", "new-channel", "--dry-run"); !strings.Contains(said, "Would offer hello 1.1.0, which is signed already, in channel beta") {
		t.Errorf("it says %s", said)
	}
	mustTheseus(t, dir, "publish", "--version", "1.1.0", "--channel", "beta", "--allow", "new-channel")
}

// A dry run says all that is wrong, and why nothing would be signed, and ends with the code of the refusal.
func TestDryRunSaysWhyNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	goreleased(t, dir, "1.0.0")
	mustTheseus(t, dir, append([]string{"publish", "--dist", "dist", "--repo", "dl", "--channel", "stable", "--key", "theseus.key"}, allowScripts...)...)
	goreleased(t, dir, "1.1.0")
	list := filepath.Join(dir, "dist", "artifacts.json") // as of a project that uploads no program as it is
	write(t, list, []byte(strings.ReplaceAll(string(read(t, list)), `"Checksum"`, `"Other"`)))
	write(t, filepath.Join(dir, "dist", "hello_linux_arm64_v8.0", "hello"), []byte("\x1f\x8b an archive"))
	before := tree(dir)
	code, said := theseus(t, dir, "publish", "--dist", "dist", "--dry-run", "--channel", "stabel")
	if code != ui.ExitError || !strings.Contains(said, "hello is a gzip archive") || !strings.Contains(said, "(not-a-program)") ||
		!strings.Contains(said, "which windows does not run") || !strings.Contains(said, "there is no channel stabel yet") || tree(dir) != before {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// A program that is not what GoReleaser has written down was exchanged after the build.
func TestPublishDistThatWasChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	goreleased(t, dir, "1.0.0")
	write(t, filepath.Join(dir, "dist", "hello_linux_arm_6", "hello"), []byte("#!/bin/sh\necho hello 1.0.0 # and more\n"))
	says(t, dir, ui.ExitError, "hello is not what was built", append([]string{"publish", "--dist", "dist", "--repo", "dl", "--channel", "stable", "--key", "theseus.key"}, allowScripts...)...)
	if names := tree(dir); strings.Contains(names, ".manifest") || strings.Contains(names, "theseus.yaml") {
		t.Errorf("something was published:\n%s", names)
	}
}

func TestPublishDistUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustTheseus(t, dir, "keygen")
	goreleased(t, dir, "1.0.0")
	common := []string{"publish", "--repo", "dl", "--channel", "stable", "--key", "theseus.key"}
	for _, row := range []struct {
		says string
		args []string
	}{
		{"--version says 2.0.0, and dist was built as 1.0.0", []string{"--dist", "dist", "--version", "2.0.0"}},
		{"give one of them", []string{"--dist", "dist", "--artifact", "linux/amd64=x"}},
		{"name the dist folder of GoReleaser after it has run", []string{"--dist", "."}},
		{"--build helo: dist has the builds hello", []string{"--dist", "dist", "--build", "helo"}},
		{"none is called other: say which build", []string{"--dist", "dist", "--app", "other"}},
	} {
		says(t, dir, ui.ExitUsage, row.says, append(slices.Clone(common), row.args...)...)
	}
}
