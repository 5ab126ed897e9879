// Package testfleet holds what every fleet.Store must do, as a test.
package testfleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/theseus-go/theseus/fleet"
)

// Store tests two handles on one empty store.
func Store(t *testing.T, a, b fleet.Store) {
	t.Helper()
	ctx := t.Context()
	must := func(t *testing.T, s fleet.Store, key, value string, revision uint64) uint64 {
		t.Helper()
		next, err := s.CompareAndSwap(ctx, key, []byte(value), revision)
		if err != nil {
			t.Fatal(err)
		}
		if next == 0 || next == revision {
			t.Fatalf("revision %d follows %d", next, revision)
		}
		return next
	}
	holds := func(t *testing.T, s fleet.Store, key, value string, revision uint64) {
		t.Helper()
		got, r, err := s.Get(ctx, key)
		if err != nil || string(got) != value || r != revision {
			t.Fatalf("%s is %.40q of revision %d (%v), want %.40q of %d", key, got, r, err, value, revision)
		}
	}
	t.Run("nothing", func(t *testing.T) {
		if v, r, err := a.Get(ctx, "nothing/here"); v != nil || r != 0 || err != nil {
			t.Fatalf("%q %d %v", v, r, err)
		}
	})
	t.Run("what one writes the other reads", func(t *testing.T) {
		r := must(t, a, "groups/_/web", "one", 0)
		holds(t, b, "groups/_/web", "one", r)
		r = must(t, b, "groups/_/web", "two", r)
		holds(t, a, "groups/_/web", "two", r)
	})
	t.Run("too late", func(t *testing.T) {
		r := must(t, a, "late", "one", 0)
		for _, old := range []uint64{0, r + 1, r - 1} {
			if _, err := b.CompareAndSwap(ctx, "late", []byte("two"), old); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("a swap of revision %d instead of %d: %v", old, r, err)
			}
		}
		holds(t, a, "late", "one", r)
		if _, err := b.CompareAndSwap(ctx, "never", []byte("x"), 7); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("a swap of what is not there: %v", err)
		}
	})
	t.Run("keys are apart", func(t *testing.T) {
		keys := []string{"k/a/b", "k/a.b", "k/a_b", "k/A/b", "k/a-b", "k/a/b/c", "K/a/b", "k/" + strings.Repeat("x", 64) + "/" + strings.Repeat("Y", 64)}
		revisions := map[string]uint64{}
		for _, k := range keys {
			revisions[k] = must(t, a, k, k, 0)
		}
		for _, k := range keys {
			holds(t, b, k, k, revisions[k])
		}
	})
	t.Run("a large document", func(t *testing.T) {
		large := bytes.Repeat([]byte("0123456789abcde\n"), (fleet.MaxDocument-1024)/16)
		r := must(t, a, "large", string(large), 0)
		holds(t, b, "large", string(large), r)
		holds(t, a, "large", string(large), r)
	})
	t.Run("what was given is not what is kept", func(t *testing.T) {
		v := []byte("one")
		r, err := a.CompareAndSwap(ctx, "own", v, 0)
		if err != nil {
			t.Fatal(err)
		}
		v[0] = 'x'
		holds(t, a, "own", "one", r)
	})
	t.Run("an ended context", func(t *testing.T) {
		over, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, err := a.Get(over, "own"); err == nil {
			t.Error("Get answers")
		}
		if _, err := a.CompareAndSwap(over, "over", []byte("x"), 0); err == nil {
			t.Error("CompareAndSwap answers")
		}
	})
	t.Run("a crowd loses nothing", func(t *testing.T) {
		const each = 25
		var wins, conflicts atomic.Int64
		var wg sync.WaitGroup
		for i := range 6 {
			s := []fleet.Store{a, b}[i%2]
			wg.Go(func() {
				for done := 0; done < each; {
					v, r, err := s.Get(ctx, "crowd")
					if err != nil {
						t.Error(err)
						return
					}
					n := 0
					fmt.Sscan(string(v), &n)
					switch _, err = s.CompareAndSwap(ctx, "crowd", fmt.Append(nil, n+1), r); {
					case err == nil:
						done++
						wins.Add(1)
					case errors.Is(err, fleet.ErrConflict):
						conflicts.Add(1)
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if v, _, err := a.Get(ctx, "crowd"); err != nil || string(v) != fmt.Sprint(6*each) || wins.Load() != 6*each {
			t.Errorf("%s after %d changes (%v)", v, wins.Load(), err)
		}
		t.Logf("%d changes, %d conflicts", wins.Load(), conflicts.Load())
	})
}
