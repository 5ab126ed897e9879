package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// TestOperations runs the commands of each page of doc/operations.md as they stand there, in an empty folder, and then
// looks at what the page promises.
func TestOperations(t *testing.T) {
	testenv.Need(t, "sh")
	doc, err := os.ReadFile(filepath.Join("..", "..", "doc", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	// What holds at the end of each page: exit code, command.
	promises := map[string][]struct {
		code int
		args string
	}{
		"One key for one new key": {
			{0, "refresh"},
			{1, "refresh --key theseus.key"},
			{0, "publish --version 1.1.0 --artifact linux/amd64=hello --allow other-version"},
			{0, "verify --key theseus.pub --as linux/amd64@1.0.0"},
		},
		"Grow from one key to 2 of 3": {
			{0, "verify --repo dl --key dl/trust/1 --as linux/amd64@1.0.0"},
			{1, "refresh --repo dl --key theseus.key"}, // it has no role any more
			{1, "publish --repo dl --app hello --version 1.2.0 --channel stable --key carol.key --key ci.key --artifact linux/amd64=hello --allow other-version"},
		},
		"A key is lost": {
			{0, "publish --repo dl --app hello --version 1.1.0 --channel stable --key alice.key --key carol-new.key --key ci.key --artifact linux/amd64=hello --allow other-version"},
			{0, "verify --repo dl --key theseus.pub --as linux/amd64@1.0.0"},
		},
		"A key has leaked": {
			{0, "refresh --repo dl --key ci-new.key"},
			{0, "verify --repo dl --key theseus.pub"},
		},
		"Replace all keys": {
			{1, "publish --repo dl --app hello --version 1.1.0 --channel stable --key alice.key --key bob.key --key ci2.key --artifact linux/amd64=hello --allow other-version"},
			{0, "publish --repo dl --app hello --version 1.1.0 --channel stable --key dora.key --key fritz.key --key ci2.key --artifact linux/amd64=hello --allow other-version"},
			{0, "verify --repo dl --key theseus.pub --as linux/amd64@1.0.0"},
		},
	}
	pages := slices.DeleteFunc(strings.Split(string(doc), "\n## ")[1:], func(page string) bool { return !strings.Contains(page, "```sh") })
	if len(pages) != len(promises) {
		t.Errorf("%d pages, and %d of them have promises here", len(pages), len(promises))
	}
	for _, page := range pages {
		title, body, _ := strings.Cut(page, "\n")
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			runBlocks(t, dir, body)
			if len(promises[title]) == 0 {
				t.Error("nothing is promised, so nothing is tested")
			}
			for _, p := range promises[title] {
				if got, said := theseus(t, dir, strings.Fields(p.args)...); got != p.code {
					t.Errorf("theseus %s: exit code %d, want %d: %s", p.args, got, p.code, said)
				}
			}
		})
	}
}

// TestPublishingGuide runs the commands of doc/publishing.md from top to bottom.
func TestPublishingGuide(t *testing.T) {
	testenv.Need(t, "sh")
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "..", "doc", "publishing.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	runBlocks(t, dir, string(doc))
	said := mustTheseus(t, dir, "verify", "--repo", "dl", "--key", "theseus.pub")
	if !strings.Contains(said, "3 releases") {
		t.Errorf("the guide publishes three releases:\n%s", said)
	}
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// runBlocks runs what a page has in blocks of shell commands, as one script that ends at the first failure.
func runBlocks(t *testing.T, dir, page string) {
	t.Helper()
	var script strings.Builder
	blocks := shellBlock.FindAllStringSubmatch(page, -1)
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	if len(blocks) < 2 {
		t.Fatalf("only %d blocks of commands: is the page still there?", len(blocks))
	}
	c := exec.Command("sh", "-e", "-x")
	c.Dir, c.Stdin = dir, strings.NewReader(script.String())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
