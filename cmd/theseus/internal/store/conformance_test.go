package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// A kind is one sort of store, for the suite that every sort passes.
type kind struct {
	name string
	make func(t *testing.T) (again func() Opened) // a new empty store; each call of again is one more publisher of it
	one  bool                                     // only one publisher at a time can open it
}

// all are the stores there are. Each test of the suite runs with each of them.
func all() []kind {
	return []kind{
		{name: "folder", make: folderStore, one: true},
		{name: "s3", make: fakeS3},
		{name: "sftp", make: realSFTP},
		{name: "github", make: fakeGitHub("")},
		{name: "github branch", make: fakeGitHub("&files=branch")},
	}
}

func each(t *testing.T, test func(t *testing.T, k kind, again func() Opened)) {
	for _, k := range all() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k, k.make(t))
		})
	}
}

func open(t *testing.T, again func() Opened) Opened {
	t.Helper()
	s := again()
	t.Cleanup(func() { s.Close() })
	return s
}

func folderStore(t *testing.T) func() Opened {
	dir := t.TempDir()
	return func() Opened {
		f, err := OpenFolder(dir)
		if err != nil {
			t.Error(err)
			return nil
		}
		return f
	}
}

func put(ctx context.Context, s Store, name, text string, replaces Version) error {
	return s.Put(ctx, name, strings.NewReader(text), int64(len(text)), replaces)
}

func get(t *testing.T, s Store, name string) (string, Version) {
	t.Helper()
	body, v, err := s.Get(t.Context(), name)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return "", v
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return string(b), v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fileName is where the bytes of a file lie.
func fileName(text, suffix string) string {
	sum := sha256.Sum256([]byte(text))
	return "files/" + hex.EncodeToString(sum[:]) + suffix
}

func TestStoreKeepsWhatIsPut(t *testing.T) {
	each(t, func(t *testing.T, _ kind, again func() Opened) {
		s := open(t, again)
		small, large := "small", strings.Repeat("0123456789abcdef", 20_000)
		objects := map[string]string{
			"stable": "a channel", "trust/1": "a trust document", "releases/1.0.0-rc.1.manifest": "a manifest\nwith ünïcode\n",
			fileName(small, ""): small, fileName(large, ".zst"): large, fileName(small, ".delta"): small,
		}
		for name, text := range objects {
			replaces := Nothing
			if isFile(name) {
				replaces = Anything
			}
			must(t, put(t.Context(), s, name, text, replaces))
		}
		if err := put(t.Context(), s, fileName(small, ""), small, Anything); err != nil {
			t.Errorf("what is named by its content cannot be written twice: %v", err)
		}
		for name, text := range objects {
			if got, _ := get(t, s, name); got != text {
				t.Errorf("%s: %d bytes came back instead of %d", name, len(got), len(text))
			}
		}
		for folder, want := range map[string][]string{"": {"stable"}, "trust": {"1"}, "releases": {"1.0.0-rc.1.manifest"}, "nowhere": nil} {
			if got, err := s.List(t.Context(), folder); err != nil || !slices.Equal(Names(got), want) {
				t.Errorf("%q has %q, %v, want %q", folder, Names(got), err, want)
			}
		}
		files, err := s.List(t.Context(), "files")
		if err != nil || len(files) != 3 || !slices.IsSortedFunc(files, func(a, b Object) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%v, %v", files, err)
		}
		for _, f := range files {
			if want := len(objects["files/"+f.Name]); f.Size != int64(want) {
				t.Errorf("%s: listed with %d bytes, has %d", f.Name, f.Size, want)
			}
		}
	})
}

func TestStoreSaysWhatIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, _ kind, again func() Opened) {
		s := open(t, again)
		for _, name := range []string{"stable", "trust/1", fileName("x", "")} {
			if _, _, err := s.Get(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v, want fs.ErrNotExist", name, err)
			}
			must(t, s.Delete(t.Context(), name))
		}
		must(t, put(t.Context(), s, "stable", "one", Nothing))
		must(t, put(t.Context(), s, fileName("x", ""), "x", Anything))
		for _, name := range []string{"stable", fileName("x", "")} {
			must(t, s.Delete(t.Context(), name))
			if _, _, err := s.Get(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, deleted: %v, want fs.ErrNotExist", name, err)
			}
		}
		if got, err := s.List(t.Context(), ""); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestStoreReplacesWhatWasRead(t *testing.T) {
	each(t, func(t *testing.T, _ kind, again func() Opened) {
		s := open(t, again)
		lost := func(what string, err error, still string) {
			t.Helper()
			if !errors.Is(err, ErrChanged) {
				t.Errorf("%s: %v, want ErrChanged", what, err)
			}
			if got, _ := get(t, s, "stable"); got != still {
				t.Errorf("%s: there is %q now, want %q", what, got, still)
			}
		}
		must(t, put(t.Context(), s, "stable", "one", Nothing))
		lost("created twice", put(t.Context(), s, "stable", "other", Nothing), "one")
		_, first := get(t, s, "stable")
		if _, v := get(t, s, "stable"); v != first || v == Nothing || v == Anything {
			t.Errorf("the version of the same bytes is %q and then %q", first, v)
		}
		must(t, put(t.Context(), s, "stable", "two", first))
		lost("an old version replaced", put(t.Context(), s, "stable", "other", first), "two")
		_, second := get(t, s, "stable")
		must(t, put(t.Context(), s, "stable", "three", second))
		if got, _ := get(t, s, "stable"); got != "three" {
			t.Errorf("there is %q", got)
		}
		must(t, s.Delete(t.Context(), "stable"))
		if err := put(t.Context(), s, "stable", "other", second); !errors.Is(err, ErrChanged) {
			t.Errorf("what was deleted replaced: %v, want ErrChanged", err)
		}
		must(t, put(t.Context(), s, "stable", "anew", Nothing))
	})
}

// Too few or too many bytes, or a body that breaks off, leave what was there.
func TestStoreTakesWholeBodiesOnly(t *testing.T) {
	each(t, func(t *testing.T, _ kind, again func() Opened) {
		s := open(t, again)
		must(t, put(t.Context(), s, "stable", "one", Nothing))
		_, v := get(t, s, "stable")
		broken := errors.New("broken")
		for what, body := range map[string]io.Reader{
			"short": strings.NewReader("tw"), "long": strings.NewReader("twofold"), "broken": io.MultiReader(strings.NewReader("tw"), failing{broken}),
		} {
			if err := s.Put(t.Context(), "stable", body, 3, v); err == nil || what == "broken" && !errors.Is(err, broken) {
				t.Errorf("%s: %v", what, err)
			}
			if got, _ := get(t, s, "stable"); got != "one" {
				t.Errorf("%s: there is %q", what, got)
			}
		}
		name := fileName("never", "")
		for what, body := range map[string]io.Reader{"short": strings.NewReader("ne"), "broken": io.MultiReader(strings.NewReader("ne"), failing{broken})} {
			if err := s.Put(t.Context(), name, body, 5, Anything); err == nil {
				t.Errorf("file, %s: no error", what)
			}
			if _, _, err := s.Get(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("file, %s: %v", what, err)
			}
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestStoreEndsWithTheContext(t *testing.T) {
	each(t, func(t *testing.T, k kind, again func() Opened) {
		if k.name == "folder" {
			return // does not wait for anybody
		}
		s := open(t, again)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := put(ctx, s, "stable", "one", Nothing); !errors.Is(err, context.Canceled) {
			t.Errorf("Put: %v", err)
		}
		if _, err := s.List(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("List: %v", err)
		}
		if _, err := s.List(t.Context(), ""); err != nil {
			t.Error(err)
		}
	})
}

// Two publishers replace the same document, again and again: one of them does each time, and the other is told.
func TestStoreRace(t *testing.T) {
	each(t, func(t *testing.T, k kind, again func() Opened) {
		publishers := []Opened{open(t, again)}
		if k.one { // the second cannot even open it; within one process the lock is the same
			publishers = append(publishers, publishers[0])
		} else {
			publishers = append(publishers, open(t, again))
		}
		before, v := "", Nothing
		for round := range testenv.Pick(5, 50, 50) {
			if round > 0 && before != "" {
				_, v = get(t, publishers[0], "stable")
			}
			var won [2]bool
			var wg sync.WaitGroup
			start := make(chan struct{})
			var mu sync.Mutex
			for i, s := range publishers {
				wg.Go(func() {
					<-start
					if k.one { // the lock of the folder
						mu.Lock()
						defer mu.Unlock()
					}
					err := put(t.Context(), s, "stable", fmt.Sprint("round ", round, " publisher ", i), v)
					if won[i] = err == nil; err != nil && !errors.Is(err, ErrChanged) {
						t.Errorf("round %d, publisher %d: %v", round, i, err)
					}
				})
			}
			close(start)
			wg.Wait()
			text, _ := get(t, publishers[0], "stable")
			winner := slices.Index(won[:], true)
			if winner < 0 || won[0] && won[1] || text != fmt.Sprint("round ", round, " publisher ", winner) {
				t.Fatalf("round %d: %v won, and there is %q after %q", round, won, text, before)
			}
			before = text
		}
	})
}

// Whoever reads while somebody writes sees a whole old or a whole new document.
func TestStoreIsReadWhole(t *testing.T) {
	each(t, func(t *testing.T, k kind, again func() Opened) {
		s := open(t, again)
		reader := s
		if !k.one {
			reader = open(t, again)
		}
		document := func(n int) string { return strings.Repeat(fmt.Sprintf("%08d", n), 2000) }
		must(t, put(t.Context(), s, "stable", document(0), Nothing))
		var written atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := 1; n <= 10; n++ {
				_, v := get(t, s, "stable")
				if err := put(t.Context(), s, "stable", document(n), v); err != nil {
					t.Error(err)
					return
				}
				written.Store(int64(n))
			}
		}()
		for reads := 0; ; reads++ {
			least := written.Load()
			text, _ := get(t, reader, "stable")
			var n int
			if _, err := fmt.Sscanf(text[:min(8, len(text))], "%d", &n); err != nil || text != document(n) || int64(n) < least {
				t.Fatalf("read %d: torn or older than what was written: %d bytes of %d, at least %d", reads, len(text), n, least)
			}
			select {
			case <-done:
				if reads == 0 {
					t.Error("nothing was read meanwhile")
				}
				return
			default:
			}
		}
	})
}

// A large file that does not fit into one request comes back as it was.
func TestStoreKeepsLargeFiles(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long)
	each(t, func(t *testing.T, _ kind, again func() Opened) {
		s := open(t, again)
		r := rand.NewChaCha8([32]byte{})
		b := make([]byte, 40<<20)
		r.Read(b)
		name := fileName(string(b), ".zst")
		must(t, s.Put(t.Context(), name, bytes.NewReader(b), int64(len(b)), Anything))
		if got, _ := get(t, s, name); got != string(b) {
			t.Errorf("%d bytes came back", len(got))
		}
	})
}
