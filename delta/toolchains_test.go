package delta

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/testprogram"
	"github.com/theseus-go/theseus/internal/testenv"
)

// Programs as the Go command makes them, with debugging information, for each kind of
// file: it is unpacked, and what changed takes a small part of it.
func TestProgramsWithDebuggingInformation(t *testing.T) {
	targets := testenv.Pick([]string{"linux/amd64"}, []string{"linux/amd64", "linux/arm", "windows/amd64", "darwin/arm64"}, nil)
	if targets == nil {
		targets = []string{"linux/amd64", "linux/arm64", "linux/arm", "linux/386", "linux/s390x", "windows/amd64", "windows/386", "darwin/arm64", "darwin/amd64"}
	}
	for _, target := range targets {
		old, new := testprogram.BuildBy(t, "", target, "")
		patch := makePatch(t, old, new, Go)
		h, err := ReadHeader(bytes.NewReader(patch))
		if err != nil {
			t.Fatal(err)
		}
		if h.Unpacked == 0 {
			t.Errorf("%s: nothing is unpacked", target)
		}
		most := len(new) / 100
		if slices.Contains(halfRead, target) {
			most *= 2
		}
		if len(patch) > most {
			t.Errorf("%s: %d bytes of patch for %d, want at most %d", target, len(patch), len(new), most)
		}
		var got bytes.Buffer
		if _, err := Apply(t.Context(), bytes.NewReader(old), bytes.NewReader(patch), &got, Limits{}); err != nil || !bytes.Equal(got.Bytes(), new) {
			t.Errorf("%s: another file: %v", target, err)
		}
	}
}

// Which Go release linked a program, and which one built the client that applies its
// patch, is all the same: what Apply makes hangs on no compressor of the library's.
func TestToolchains(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long)
	testenv.Need(t, "go")
	local, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	linkers := []string{"go1.24.0", "go1.24.11", "go1.25.5", "go1.26.0", strings.TrimSpace(string(local)), "go1.27.3"}
	builders := []string{"go1.26.0", strings.TrimSpace(string(local)), "go1.27.3"}
	dir := t.TempDir()

	clients := map[string]string{}
	for _, toolchain := range builders {
		if !hasToolchain(toolchain) {
			testenv.Skip(t, "the toolchain "+toolchain, "let the Go command download it, with GOPROXY")
		}
		exe := filepath.Join(dir, "apply-"+toolchain)
		build := exec.Command("go", "build", "-o", exe, "./testdata/apply")
		build.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOWORK=off", "GOFLAGS=")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", toolchain, err, out)
		}
		clients[toolchain] = exe
	}
	for _, toolchain := range linkers {
		if !hasToolchain(toolchain) {
			testenv.Skip(t, "the toolchain "+toolchain, "let the Go command download it, with GOPROXY")
		}
		old, new := testprogram.BuildBy(t, toolchain, "linux/amd64", "")
		patch := makePatch(t, old, new, Go)
		files := map[string][]byte{"old": old, "patch": patch}
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h, err := ReadHeader(bytes.NewReader(patch))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("linked by %s: %d bytes of patch for %d, %d unpacked", toolchain, len(patch), len(new), h.Unpacked)
		if h.Unpacked == 0 {
			t.Error("nothing is unpacked")
		}
		for _, builder := range slices.Compact(builders) {
			made := filepath.Join(dir, "new")
			out, err := exec.Command(clients[builder], filepath.Join(dir, "old"), filepath.Join(dir, "patch"), made).CombinedOutput()
			if err != nil {
				t.Errorf("linked by %s, client by %s: %v\n%s", toolchain, builder, err, out)
				continue
			}
			if got, err := os.ReadFile(made); err != nil || !bytes.Equal(got, new) {
				t.Errorf("linked by %s, client by %s: another file (%v)", toolchain, builder, err)
			}
		}
	}
}

// hasToolchain reports whether the Go command has the toolchain or can get it.
func hasToolchain(toolchain string) bool {
	cmd := exec.Command("go", "version")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain)
	return cmd.Run() == nil
}
