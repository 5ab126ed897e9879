package publisher

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the project file says of where files are built finds each of them, and nothing else.
func TestPatternsFindWhatWasBuilt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"build/linux-amd64/hello", "build/windows-amd64/hello.exe", "build/darwin-all/hello", "build/linux-amd64/hello.sha256", "build/notes.txt",
		"flat/hello_1.1.0_linux_arm64", "flat/hello_1.1.0_linux_arm_v6", "flat/hello_1.0.0_linux_arm64", "flat/hello_1.1.0_linux_arm64.sbom.json", "flat/hello_1x1.0_linux_s390x",
		"both/linux/hello-linux-amd64", "both/linux/hello-darwin-amd64", "one/hello", "folder/linux-amd64/hello/readme",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ patterns, want string }{
		{"build/{os}-{arch}/hello", "darwin/amd64=build/darwin-all/hello darwin/arm64=build/darwin-all/hello linux/amd64=build/linux-amd64/hello windows/amd64=build/windows-amd64/hello.exe"},
		{"flat/hello_{version}_{os}_{arch}", "linux/arm64=flat/hello_1.1.0_linux_arm64"},
		{"flat/hello_{version}_{os}_{arch} flat/hello_{version}_{os}_{arch}_{variant}", "linux/arm/v6=flat/hello_1.1.0_linux_arm_v6 linux/arm64=flat/hello_1.1.0_linux_arm64"},
		{"both/{os}/hello-{os}-{arch}", "linux/amd64=both/linux/hello-linux-amd64"},
		{"linux/amd64=one/hello", "linux/amd64=one/hello"},
		{"linux/arm64=flat/hello_{version}_linux_arm64", "linux/arm64=flat/hello_1.1.0_linux_arm64"},
		{filepath.ToSlash(dir) + "/build/{os}-{arch}/hello linux/arm64=one/hello", "darwin/amd64=build/darwin-all/hello darwin/arm64=build/darwin-all/hello linux/amd64=build/linux-amd64/hello linux/arm64=one/hello windows/amd64=build/windows-amd64/hello.exe"},
		{"build/{os}-{arch}/hello linux/amd64=one/hello", "there are two files for linux/amd64"},
		{"missing/{os}-{arch}/hello", "nothing fits missing/{os}-{arch}/hello"},
		{"folder/{os}-{arch}/hello", "nothing fits"},
		{"build/notes.txt/{os}-{arch}", "nothing fits"},
	} {
		p := &Project{dir: dir, Artifacts: strings.Fields(row.patterns)}
		for _, pattern := range p.Artifacts {
			if err := checkPattern(pattern); err != nil {
				t.Error(err)
			}
		}
		files, err := p.Built("1.1.0")
		if err != nil {
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v", row.patterns, err)
			}
			continue
		}
		var got []string
		for _, f := range files {
			rel, err := filepath.Rel(dir, f.Path)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, f.Platform.String()+"="+filepath.ToSlash(rel))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != row.want {
			t.Errorf("%s: %q", row.patterns, got)
		}
	}
}

func TestPatternsThatFindNothingEver(t *testing.T) {
	for _, pattern := range []string{"", "hello", "build/hello", "linux=hello", "build/{os}/hello", "build/{arch}/hello", "{os}{arch}", "{os}/{arch}/{libc}", "{OS}/{arch}/hello", "linux/{arch}=hello"} {
		if err := checkPattern(pattern); err == nil {
			t.Errorf("%q is taken", pattern)
		}
	}
}
