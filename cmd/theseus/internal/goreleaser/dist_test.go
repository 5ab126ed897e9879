package goreleaser

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
)

// recorded is a copy of what GoReleaser has left, with changes to artifacts.json, in a folder of some name.
func recorded(t *testing.T, name string, change func(all []map[string]any) []map[string]any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "goreleaser"))); err != nil {
		t.Fatal(err)
	}
	if change == nil {
		return dir
	}
	path := filepath.Join(dir, "artifacts.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(change(all)); err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// files lists what a dist gives, as --artifact would have it.
func files(t *testing.T, dir, app, id string) string {
	t.Helper()
	d, err := Read(dir)
	if err != nil {
		return err.Error()
	}
	all, err := d.Artifacts(app, id)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, a := range all {
		rel, err := filepath.Rel(dir, a.Path)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, a.Platform.String()+"="+filepath.ToSlash(rel))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func without(all []map[string]any, drop func(a map[string]any) bool) []map[string]any {
	return slices.DeleteFunc(all, drop)
}

func isBinary(a map[string]any, target string) bool {
	return a["internal_type"] == 4.0 && strings.HasPrefix(a["target"].(string), target)
}

const all = `darwin/amd64=hello_darwin_amd64_v1/hello
darwin/arm64=hello_darwin_arm64_v8.0/hello
linux/amd64/v3=hello_linux_amd64_v3/hello
linux/amd64=hello_linux_amd64_v1/hello
linux/arm/v7=hello_linux_arm_7/hello
linux/arm64=hello_linux_arm64_v8.0/hello
linux/arm=hello_linux_arm_6/hello
windows/amd64=hello_windows_amd64_v1/hello.exe`

// Platforms and variants of what GoReleaser has really written.
func TestDist(t *testing.T) {
	universalOnly := func(all []map[string]any) []map[string]any {
		return without(all, func(a map[string]any) bool { return isBinary(a, "darwin") })
	}
	const universal = "darwin/amd64=hello-universal_darwin_all/hello\ndarwin/arm64=hello-universal_darwin_all/hello\n"
	intel := strings.SplitAfter(all, "\n")[0]
	for _, row := range []struct {
		name, app, build string
		change           func(all []map[string]any) []map[string]any
		want             string
	}{
		{name: "the program that is called as the app is", app: "hello", want: all},
		{name: "a build by its id", app: "other", build: "hello", want: all},
		{name: "another build", app: "hello", build: "helloctl", want: "darwin/amd64=helloctl_darwin_amd64_v1/helloctl\ndarwin/arm64=helloctl_darwin_arm64_v8.0/helloctl\nlinux/amd64=helloctl_linux_amd64_v1/helloctl"},
		{name: "an app that is called otherwise", app: "other", want: "has the programs hello, helloctl, and none is called other: say which build it is with --build, one of hello, helloctl, hello-universal"},
		{name: "a build that is not there", app: "hello", build: "helo", want: "has the builds hello, helloctl, hello-universal"},
		{name: "one program, whatever the app is called", app: "other", want: all, change: func(all []map[string]any) []map[string]any {
			return without(all, func(a map[string]any) bool {
				extra, _ := a["extra"].(map[string]any)
				return extra["Binary"] == "helloctl"
			})
		}},
		{name: "a universal binary in the place of two", app: "hello", change: universalOnly, want: universal + all[strings.Index(all, "linux"):]},
		{name: "also by the id of what it was made of", app: "hello", build: "hello", change: universalOnly, want: universal + all[strings.Index(all, "linux"):]},
		{name: "a universal binary beside one of two", app: "hello", want: intel + universal[strings.Index(universal, "\n")+1:] + all[strings.Index(all, "linux"):], change: func(all []map[string]any) []map[string]any {
			return without(all, func(a map[string]any) bool { return isBinary(a, "darwin_arm64") })
		}},
		{name: "without internal_type, as other versions write it", app: "hello", want: all, change: func(all []map[string]any) []map[string]any {
			for _, a := range all {
				delete(a, "internal_type")
			}
			return all
		}},
		{name: "one level only is for every machine", app: "hello", want: strings.Replace(strings.Replace(all, "hello_linux_arm_6", "hello_linux_arm_7", 1), "linux/arm/v7=hello_linux_arm_7/hello\n", "", 1), change: func(all []map[string]any) []map[string]any {
			return without(all, func(a map[string]any) bool { return isBinary(a, "linux_arm_6") })
		}},
		{name: "two that nothing tells apart", app: "hello", want: "there are two files for linux/arm64", change: func(all []map[string]any) []map[string]any {
			for _, a := range all {
				if isBinary(a, "linux_arm64") {
					twin := map[string]any{}
					for k, v := range a {
						twin[k] = v
					}
					twin["path"], twin["goarm64"], a["goarm64"] = "dist/twin/hello", "", ""
					return append(all, twin)
				}
			}
			return all
		}},
		{name: "nothing built", app: "hello", want: "has no program: GoReleaser has built none", change: func(all []map[string]any) []map[string]any { return all[:0] }},
		{name: "a path out of the project", app: "hello", want: `artifacts.json names "dist/../../hello", which is not below the folder that GoReleaser ran in`, change: func(all []map[string]any) []map[string]any {
			for _, a := range all {
				if isBinary(a, "linux_arm64") {
					a["path"] = "dist/../../hello"
				}
			}
			return all
		}},
		{name: "a program that was built elsewhere", app: "hello", want: strings.Replace(all, "hello_linux_arm64_v8.0/hello", "../prebuilt/hello", 1), change: func(all []map[string]any) []map[string]any {
			for _, a := range all {
				if isBinary(a, "linux_arm64") {
					a["path"] = "prebuilt/hello"
				}
			}
			return all
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := files(t, recorded(t, "dist", row.change), row.app, row.build)
			if got != row.want && (strings.Contains(row.want, "\n") || !strings.Contains(got, row.want)) {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// What another job of a CI has downloaded lies under another name.
func TestDistMayBeMoved(t *testing.T) {
	if got := files(t, recorded(t, "from-the-build-job", nil), "hello", ""); got != all {
		t.Errorf("got\n%s", got)
	}
}

func TestDistSays(t *testing.T) {
	d, err := Read(recorded(t, "dist", nil))
	if err != nil {
		t.Fatal(err)
	}
	if d.Project != "hello" || d.Version != "1.1.0" || d.Notes == nil || !strings.Contains(*d.Notes, "hello: a comment that says nothing") {
		t.Errorf("it says %+v", d)
	}
	all, err := d.Artifacts("hello", "")
	if err != nil {
		t.Fatal(err)
	}
	sums := 0
	for _, a := range all {
		if a.Sum != (publisher.Artifact{}).Sum {
			sums++
		}
	}
	if sums != 8 { // those that are uploaded as they are have a checksum
		t.Errorf("%d checksums", sums)
	}
}

func TestNotADist(t *testing.T) {
	if got := files(t, t.TempDir(), "hello", ""); !strings.Contains(got, "name the dist folder of GoReleaser after it has run") {
		t.Error(got)
	}
	dir := recorded(t, "dist", nil)
	for _, name := range []string{"artifacts.json", "metadata.json"} {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:len(b)/2], 0o644); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir, "hello", ""); !strings.Contains(got, name+" is not what GoReleaser writes") {
			t.Error(got)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
