package updater

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// bundled writes a whole repository as a bundle.
func bundled(t *testing.T, repo *testrelease.Repo) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello 1.1.bundle")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bundle.NewWriter(f)
	for _, name := range repo.Files() {
		b := repo.Get(name)
		if err := w.Add(name, int64(len(b)), strings.NewReader(string(b))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// storedFiles are the paths of what can be downloaded.
func storedFiles(repo *testrelease.Repo) (paths []string) {
	for _, path := range repo.Files() {
		if strings.HasPrefix(path, "files/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// A bundle is installed by the same checks, and the network is not asked.
func TestCommandFrom(t *testing.T) {
	zstd := func(t *testing.T) *testrelease.Repo {
		repo := published(t, "1.0.0")
		repo.Publish("1.1.0", program("1.1.0"), testrelease.Zstd())
		return repo
	}
	plain := func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0", "1.1.0") }
	for _, row := range []struct {
		name   string
		repo   func(*testing.T) *testrelease.Repo
		spoil  func(*testing.T, *testrelease.Repo)
		file   func(t *testing.T, path string) string // what is given instead of the bundle at path
		args   string
		code   int
		stdout string
		stderr string
		now    string
	}{
		{name: "installs", repo: plain, code: ExitOK, stdout: "hello 1.1.0 is installed (was 1.0.0).\n", now: "1.1.0"},
		{name: "installs what is compressed", repo: zstd, code: ExitOK, stdout: "is installed", now: "1.1.0"},
		{name: "a folder", repo: plain, code: ExitOK, stdout: "is installed", now: "1.1.0", file: func(t *testing.T, path string) string {
			dir := t.TempDir()
			repo := plain(t)
			repo.WriteTo(dir)
			return dir
		}},
		{name: "check", repo: plain, args: "--check", code: ExitFound, stdout: "is available"},
		{name: "a version", repo: func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0", "1.1.0", "1.2.0") }, args: "--version 1.1.0", code: ExitOK, stdout: "hello 1.1.0 is installed", now: "1.1.0"},
		{name: "nothing newer", repo: func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0") }, code: ExitOK, stdout: "is current"},
		{name: "no rollback from it", repo: plain, args: "--rollback", code: ExitUsage, stderr: "--from"},
		{name: "no name", repo: plain, file: func(*testing.T, string) string { return "" }, code: ExitUsage, stderr: "name a bundle"},
		{name: "no such file", repo: plain, file: func(_ *testing.T, path string) string { return path + "x" }, code: ExitUnreachable, stderr: "no such folder or bundle"},
		{name: "made for another platform", repo: func(t *testing.T) *testrelease.Repo {
			repo := published(t, "1.0.0", "1.1.0")
			for _, path := range storedFiles(repo) {
				repo.Remove(path)
			}
			return repo
		}, code: ExitUnreachable, stderr: "the bundle does not hold it"},
		{name: "P19 no bundle", repo: plain, file: func(t *testing.T, path string) string {
			if err := os.WriteFile(path, program("6.6.6"), 0o644); err != nil {
				t.Fatal(err)
			}
			return path
		}, code: ExitRefused, stderr: "cut short"},
		{name: "A10 short body: half a bundle", repo: plain, file: func(t *testing.T, path string) string {
			if err := os.Truncate(path, 2048); err != nil {
				t.Fatal(err)
			}
			return path
		}, code: ExitRefused, stderr: "cut short"},
		{name: "A01 arbitrary install", repo: plain, spoil: func(t *testing.T, repo *testrelease.Repo) {
			evil := testrelease.NewKey(t, "evil")
			repo.ReleaseKeys, repo.ChannelKeys = []*testrelease.Key{evil}, []*testrelease.Key{evil}
			repo.Publish("1.2.0", program("1.2.0"))
		}, code: ExitRefused, stderr: "sign"},
		{name: "A02 artifact swapped", repo: plain, spoil: func(_ *testing.T, repo *testrelease.Repo) {
			for _, path := range storedFiles(repo) {
				repo.Put(path, testrelease.Flip(repo.Get(path), 10))
			}
		}, code: ExitRefused, stderr: "SHA-256"},
		{name: "A06 freeze: a bundle past its date", repo: plain, spoil: func(_ *testing.T, repo *testrelease.Repo) {
			repo.Resign(func(c *release.Channel) {
				c.Issued, c.Expires = repo.Now.AddDate(0, -3, 0), repo.Now.Add(-time.Hour)
			})
		}, code: ExitRefused, stderr: "expired"},
		{name: "A13 wrong app", repo: plain, spoil: func(t *testing.T, repo *testrelease.Repo) {
			other := testrelease.New(t)
			other.App = "other"
			other.Publish("2.0.0", program("2.0.0"))
			repo.Put("stable", other.Get("stable"))
		}, code: ExitRefused, stderr: "other"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			repo := row.repo(t)
			key := repo.Key()
			if row.spoil != nil {
				row.spoil(t, repo)
			}
			path := bundled(t, repo)
			if row.file != nil {
				path = row.file(t, path)
			}
			server := published(t, "1.0.0", "1.0.1", "1.0.2", "1.0.3", "9.9.9") // its sequence is higher
			c := install(t, server, "1.0.0", func(o *Options) { o.Key = key; o.Mirrors = []string{repo.URL()} })
			code, stdout, stderr := c.run(append([]string{"--from", path}, strings.Fields(row.args)...)...)
			if code != row.code || !strings.Contains(stdout, row.stdout) || !strings.Contains(stderr, row.stderr) || row.stderr == "" && stderr != "" {
				t.Errorf("exit code %d, want %d\nstandard output: %q, want %q\nstandard error: %q, want %q", code, row.code, stdout, row.stdout, stderr, row.stderr)
			}
			if strings.Count(strings.TrimSpace(stderr), "\n") > 1 {
				t.Errorf("an error of more than one sentence: %q", stderr)
			}
			if row.now == "" {
				row.now = "1.0.0"
			}
			c.holds(row.now)
			if n := len(server.Requests()) + len(repo.Requests()); n != 0 {
				t.Errorf("the network was asked %d times", n)
			}
			if names := c.beside(); len(names) > 2 { // the program, and at most one partial download
				t.Errorf("left behind: %v", names)
			}
			// The network is as good as before.
			if row.code != ExitOK {
				again(t, server, c.path, "1.0.0", func(o *Options) { o.Key = key }).mustUpdate("9.9.9")
			}
		})
	}
}

// What a bundle brought is remembered: an older bundle is a rollback, by whatever way it comes. A relative path is
// one of the working directory.
func TestA03RollbackFromABundle(t *testing.T) {
	repo := published(t, "1.0.0")
	old := bundled(t, repo)
	repo.Publish("1.1.0", program("1.1.0"))
	c := install(t, repo, "1.0.0", func(o *Options) { o.Source = "https://dl.example.invalid/hello" })
	t.Chdir(filepath.Dir(bundled(t, repo)))
	if code, _, stderr := c.run("--from", "hello 1.1.bundle", "--check"); code != ExitFound {
		t.Fatalf("%d %s", code, stderr)
	}
	before := c.snapshot()
	if code, _, stderr := c.run("--from", old); code != ExitRefused || !strings.Contains(stderr, "older than what was accepted before") {
		t.Errorf("%d %s", code, stderr)
	}
	c.unchanged(before, false, false)
	if code, _, stderr := c.run("--from", "./hello 1.1.bundle"); code != ExitOK {
		t.Errorf("%d %s", code, stderr)
	}
	c.holds("1.1.0")
}
