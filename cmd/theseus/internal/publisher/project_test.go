package publisher

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Two publishers of one folder, each with a repository of its own, write into one lock.
func TestLockOfTwoRepositories(t *testing.T) {
	t.Chdir(t.TempDir())
	const saves = 50
	var wg sync.WaitGroup
	for _, repo := range []string{"one", "two", "three"} {
		wg.Go(func() {
			p, err := LoadProject(".")
			if err != nil {
				t.Error(err)
				return
			}
			m, err := p.Memory(t.Context(), repo)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range saves {
				m.channel("stable").Sequence = int64(i + 1)
				if err := m.keep(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := readLock(LockFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"one", "two", "three"} {
		if m := all.Repositories[repo]; m == nil || m.Channels["stable"].Sequence != saves {
			t.Errorf("%s: %+v: a save was lost", repo, m)
		}
	}
}

// A repository has one entry in the lock, whatever path leads to it: otherwise another spelling is a way around it.
func TestLockKnowsARepositoryThroughLinks(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, err := range []error{os.Mkdir("dl", 0o755), os.Symlink("dl", "link")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := LoadProject(".")
	if err != nil {
		t.Fatal(err)
	}
	for i, repo := range []string{"dl", "link", "./dl/", "link/."} {
		m, err := p.Memory(t.Context(), repo)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.channel("stable").Sequence; got != int64(i) {
			t.Errorf("%s: sequence %d is known, want %d", repo, got, i)
		}
		m.channel("stable").Sequence = int64(i + 1)
		if err := m.keep(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readLock(LockFile)
	if err != nil || len(all.Repositories) != 1 || all.Repositories["dl"] == nil {
		t.Errorf("%+v, %v: want one entry, dl", all, err)
	}
}

// What people write into a project file besides stays where it is when the tool moves the root.
func TestMoveRootKeepsWhatPeopleWrote(t *testing.T) {
	b := newBench(t)
	b.must(b.publish("stable", "1.0.0", "one"))
	b.grow()
	t.Chdir(t.TempDir())
	before := "# Ask Alice before you change this.\napp: hello\nroot: theseus.pub # the key of 2026\nrepo: dl\nrefresh-within: 30d\n"
	b.must(os.WriteFile(ProjectFile, []byte(before), 0o644))
	p, err := LoadProject(".")
	b.must(err)
	b.must(p.MoveRoot(b.root, "new.key"))
	got, err := os.ReadFile(ProjectFile)
	b.must(err)
	want := strings.Replace(before, "root: theseus.pub", "root: theseus.root", 1) + "key: new.key\n"
	if string(got) != want {
		t.Errorf("it says now\n%s, want\n%s", got, want)
	}
	again, err := LoadProject(".")
	b.must(err)
	if root, err := again.Trust(); err != nil || root.ID() != b.root.ID() {
		t.Errorf("the root is %v, %v", root, err)
	}
}

// A lock that does not say what a lock says is no reason to forget: it is refused.
func TestLockIsReadStrictly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, LockFile)
	good := "repositories:\n  dl:\n    app: hello\n    channels:\n      stable:\n        sequence: 7\n        sha256: " + strings.Repeat("ab", 32) + "\n"
	for name, text := range map[string]string{
		"empty":               "",
		"a conflict":          "<<<<<<< ours\n" + good,
		"a member of nobody":  good + "        sequenz: 8\n",
		"a member twice":      good + "        sequence: 8\n",
		"no hash":             strings.Replace(good, strings.Repeat("ab", 32), "ab", 1),
		"below nothing":       strings.Replace(good, ": 7", ": -7", 1),
		"beyond all":          strings.Replace(good, ": 7", ": 9007199254740993", 1),
		"no document":         strings.Replace(good, ": 7", ": 0", 1),
		"a channel of nobody": strings.Replace(good, "stable", "../x", 1),
		"two documents":       good + "---\n" + good,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readLock(path); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
	if err := os.WriteFile(path, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := readLock(path)
	if err != nil || all.Repositories["dl"].Channels["stable"].Sequence != 7 {
		t.Errorf("%+v, %v", all, err)
	}
}
