package state_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
)

func read(tb testing.TB, home string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(home, "state"))
	must(tb, err)
	return b
}

// Whatever lies where the state should be: it counts as lost, or it is a state that can be used and saved, and is then
// read as it was.
func FuzzState(f *testing.F) {
	home := newHome(f)
	save(f, home, full())
	whole := read(f, home)
	save(f, home, state.New())
	seeds := map[string][]byte{"whole": whole, "new": read(f, home)}
	for name, change := range map[string][2]string{
		"F33 unknown members":     {`"format": 1,`, `"format": 1, "hologram": {"depth": [1, 2]},`},
		"F33 unknown in a file":   {`"starts": 2`, `"starts": 2, "hologram": 1`},
		"F33 a newer format":      {`"format": 1`, `"format": 2`},
		"F33 an unknown step":     {`"step": "undo"`, `"step": "teleport"`},
		"F23 duplicate":           {`"format": 1,`, `"format": 1, "format": 1,`},
		"F23 other case":          {`"format": 1,`, `"FORMAT": 1,`},
		"F23 null":                {`"sequence": 42`, `"sequence": null`},
		"F23 negative":            {`"sequence": 42`, `"sequence": -1`},
		"F23 beyond 2^63":         {`"sequence": 42`, `"sequence": 9223372036854775808`},
		"F23 lone surrogate":      {`its probe`, `its \ud800`},
		"F23 invalid UTF-8":       {`its probe`, "its \xff"},
		"F23 a null file":         {`"older": [`, `"older": [null,`},
		"F23 a null channel":      {`"channels": {`, `"channels": {"beta": null,`},
		"F23 a year of its own":   {`2026-11-21T09:00:00Z`, `99999-11-21T09:00:00Z`},
		"F23 another time's zone": {`2026-11-21T09:00:00Z`, `2026-11-21T09:00:00+23:59`},
	} {
		b := bytes.Replace(whole, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(b, whole) {
			f.Fatalf("%s: %q is not in the state", name, change[0])
		}
		seeds[name] = b
	}
	for _, n := range []int{0, 1, 2, len(whole) / 2, len(whole) - 3} {
		f.Add(whole[:n])
	}
	for _, b := range seeds {
		f.Add(b)
	}
	if len(seeds) < 15 {
		f.Fatalf("%d seeds, expected at least 15", len(seeds))
	}
	path := filepath.Join(home, "state")
	lock, err := state.TryLock(home)
	must(f, err)
	f.Cleanup(func() { must(f, lock.Unlock()) })

	f.Fuzz(func(t *testing.T, b []byte) {
		must(t, os.WriteFile(path, b, 0o644))
		s, err := state.Load(home)
		if err != nil {
			if !errors.Is(err, state.ErrCorrupt) {
				t.Fatalf("neither lost nor usable: %v", err)
			}
			fresh(t, s)
			must(t, lock.Save(s)) // the way on
			return
		}
		// What callers do without asking.
		if s.Failed == nil || s.Channels == nil || s.Format != state.Format {
			t.Fatalf("not usable: %+v", s)
		}
		s.Failed["1.0.0"] = state.Failure{}
		delete(s.Failed, "1.0.0")
		s.Keep()
		if err := lock.Save(s); err != nil {
			t.Fatalf("what was read cannot be saved: %v\n%s", err, b)
		}
		first := read(t, home)
		again, err := state.Load(home)
		if err != nil {
			t.Fatalf("what was saved cannot be read: %v\n%s", err, first)
		}
		must(t, lock.Save(again))
		if second := read(t, home); !bytes.Equal(first, second) {
			t.Fatalf("not the same after another turn:\n%s\n%s", first, second)
		}
		if s.Installation != again.Installation || !s.Floor.Equal(again.Floor) || len(s.Channels) != len(again.Channels) || len(s.Failed) != len(again.Failed) || !reflect.DeepEqual(s.Installed, again.Installed) {
			t.Fatalf("%+v\nis now %+v", s, again)
		}
		// Settling whatever journal it is leaves a state that can be saved.
		if j := again.Journal; j != nil {
			for _, at := range []state.File{j.From, j.To, {}} {
				copied, err := state.Load(home)
				must(t, err)
				copied.Settle(state.Settle(*j, at.ID, j.Kept().ID), j.Started)
				copied.Trim(1)
				if copied.Journal != nil {
					t.Fatal("the journal is still there")
				}
				if err := lock.Save(copied); err != nil {
					t.Fatalf("settled: %v", err)
				}
				must(t, lock.Save(again))
			}
		}
	})
}
