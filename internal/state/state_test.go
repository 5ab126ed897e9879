package state_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func id(s string) content.ID {
	return content.ID{Size: int64(len(s)), SHA256: sha256.Sum256([]byte(s))}
}

func newHome(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "theseus") // in memory where that is possible: nothing here pulls a plug
	if err != nil {
		dir = tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, ".app.theseus")
}

func save(tb testing.TB, home string, s *state.State) {
	tb.Helper()
	lock, err := state.TryLock(home)
	must(tb, err)
	must(tb, lock.Save(s))
	must(tb, lock.Unlock())
}

// full is a state that has every member.
func full() *state.State {
	s := state.New()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	s.Installed = &state.File{Version: "1.2.0", ID: id("1.2.0"), Starts: 2, Counted: true}
	s.Previous = &state.File{Version: "1.1.0", ID: id("1.1.0"), Proved: true}
	s.Older = []*state.File{{Version: "1.0.0", ID: id("1.0.0"), Proved: true}}
	s.Journal = &state.Journal{Step: state.Undo, From: *s.Installed, To: *s.Previous, Cause: text.Of("exit status 2"), Started: at}
	s.Failed["1.3.0"] = state.Failure{Reason: text.Of("its probe"), At: at, ByHand: true, Steps: 2, Served: 1, Recent: []time.Time{at},
		Judged: blame.Judgement{Fault: blame.Unknown, Served: true, Wrong: true, Attempts: 3}}
	s.Staged = &state.File{Version: "1.4.0", ID: id("1.4.0")}
	s.Trust = &state.Trust{Version: 3, File: "theseus/trust/v1\n{}\n"}
	s.Floor = at
	s.Channels["stable"] = &state.Channel{Sequence: 42, ID: id("channel"), File: "theseus/channel/v1\n{}\n",
		Signers: []content.Digest{id("key").SHA256}, Threshold: 1, Served: at, Validator: state.Validator{Source: "https://a", ETag: `"x"`}}
	return s
}

func TestSaveAndLoad(t *testing.T) {
	home := newHome(t)
	want := full()
	save(t, home, want)
	got, err := state.Load(home)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v\nsaved %+v", got, want)
	}
	before, err := os.ReadFile(filepath.Join(home, "state"))
	must(t, err)
	save(t, home, got)
	after, err := os.ReadFile(filepath.Join(home, "state"))
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("load and save changed the file")
	}
	if !bytes.Contains(before, []byte("\n  \"installed\": {\n")) {
		t.Errorf("not for people to read:\n%s", before)
	}
}

// fresh asserts a state to go on from.
func fresh(t *testing.T, s *state.State) {
	t.Helper()
	if s == nil || s.Format != state.Format || len(s.Installation) != 32 || s.Failed == nil || s.Channels == nil ||
		s.Installed != nil || s.Journal != nil || len(s.Channels) != 0 || !s.Floor.IsZero() {
		t.Errorf("not a fresh state: %+v", s)
	}
}

func TestF23Corrupt(t *testing.T) {
	home := newHome(t)
	save(t, home, full())
	path := filepath.Join(home, "state")
	good, err := os.ReadFile(path)
	must(t, err)
	corrupt := func(t *testing.T, name string, b []byte) {
		t.Helper()
		must(t, os.WriteFile(path, b, 0o644))
		s, err := state.Load(home)
		if !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
			return
		}
		fresh(t, s)
	}
	t.Run("torn at each byte", func(t *testing.T) {
		for n := range len(good) - 2 { // but for the last brace and line feed it is whole
			corrupt(t, fmt.Sprintf("cut at byte %d", n), good[:n])
		}
	})
	t.Run("zeros at the end, as after a power cut", func(t *testing.T) {
		for n := 0; n < len(good)-2; n += 37 {
			corrupt(t, fmt.Sprintf("zeros from byte %d", n), append(bytes.Clone(good[:n]), make([]byte, len(good)-n)...))
		}
	})
	change := func(old, new string) []byte {
		b := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("%q is not in the state", old)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"zeros":                  make([]byte, 4096),
		"garbage":                []byte("\x00\xff\x17 garbage"),
		"null":                   []byte("null"),
		"a list":                 []byte("[]"),
		"an empty object":        []byte("{}"),
		"a future format":        change(`"format": 1`, `"format": 2`),
		"a format of a string":   change(`"format": 1`, `"format": "1"`),
		"a duplicate member":     change(`"format": 1,`, `"format": 1, "format": 1,`),
		"trailing data":          append(bytes.Clone(good), "{}"...),
		"invalid UTF-8":          change(`its probe`, "its \xff"),
		"a short installation":   change(`"installation": "`, `"installation": "0`),
		"a negative sequence":    change(`"sequence": 42`, `"sequence": -1`),
		"a negative size":        change(`"size": 5`, `"size": -5`),
		"negative starts":        change(`"starts": 2`, `"starts": -2`),
		"a hash too short":       change(`"sha256": "`, `"sha256": "00`),
		"a null file":            change(`"older": [`, `"older": [null,`),
		"trust version 0":        change(`"version": 3`, `"version": 0`),
		"a date that is none":    change(`2026-11-21T09:00:00Z`, `2026-13-41T09:00:00Z`),
		"larger than is allowed": append(bytes.Clone(good), bytes.Repeat([]byte(" "), 5<<20)...),
	} {
		t.Run(name, func(t *testing.T) { corrupt(t, name, b) })
	}
	t.Run("a folder", func(t *testing.T) {
		must(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o755)))
		s, err := state.Load(home)
		if !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("%v", err)
		}
		fresh(t, s)
		must(t, os.Remove(path))
	})
	// It is no crash loop: the next save makes it whole.
	must(t, os.WriteFile(path, []byte("garbage"), 0o644))
	s, _ := state.Load(home)
	save(t, home, s)
	if _, err := state.Load(home); err != nil {
		t.Errorf("after a new save: %v", err)
	}
}

func TestF24Missing(t *testing.T) {
	home := newHome(t)
	for _, what := range []string{"no folder", "an empty folder"} {
		s, err := state.Load(home)
		if !errors.Is(err, state.ErrNone) || errors.Is(err, state.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		fresh(t, s)
		if what == "no folder" {
			if _, err := os.Stat(home); !errors.Is(err, fs.ErrNotExist) {
				t.Error("Load made something")
			}
			must(t, os.Mkdir(home, 0o755))
		}
	}
	// Deleted under whoever works there: the update ends with an error, the next one starts anew.
	lock, err := state.TryLock(home)
	must(t, err)
	must(t, os.RemoveAll(home))
	if err := lock.Save(full()); !errors.Is(err, state.ErrBusy) {
		t.Errorf("saved in a deleted folder: %v", err)
	}
	must(t, lock.Unlock())
	save(t, home, full())
}

// What a newer version wrote is read by an older one after an undo, and everything that it does not know comes back out as
// it was, at every level.
func TestF33UnknownMembersSurvive(t *testing.T) {
	home := newHome(t)
	save(t, home, full())
	path := filepath.Join(home, "state")
	good, err := os.ReadFile(path)
	must(t, err)
	var doc map[string]any
	must(t, json.Unmarshal(good, &doc))
	levels := 0
	for name, level := range map[string]map[string]any{
		"state":        doc,
		"installed":    doc["installed"].(map[string]any),
		"previous":     doc["previous"].(map[string]any),
		"older":        doc["older"].([]any)[0].(map[string]any),
		"journal":      doc["journal"].(map[string]any),
		"journal from": doc["journal"].(map[string]any)["from"].(map[string]any),
		"failed":       doc["failed"].(map[string]any)["1.3.0"].(map[string]any),
		"trust":        doc["trust"].(map[string]any),
		"channel":      doc["channels"].(map[string]any)["stable"].(map[string]any),
	} {
		level["from the future"] = map[string]any{"level": name, "big": json.Number("12345678901234567890123"), "list": []any{nil, true, "é\u2028"}}
		level["Format"] = "other letters, another member"
		levels++
	}
	newer, err := json.Marshal(doc)
	must(t, err)
	must(t, os.WriteFile(path, newer, 0o644))

	s, err := state.Load(home)
	must(t, err)
	s.Failed["9.9.9"] = state.Failure{Reason: text.Of("something this version did"), At: time.Unix(0, 0).UTC()}
	save(t, home, s)
	after, err := os.ReadFile(path)
	must(t, err)
	if n := bytes.Count(after, []byte("12345678901234567890123")); n != levels {
		t.Errorf("%d of %d unknown members survived:\n%s", n, levels, after)
	}
	decode := func(b []byte) (v map[string]any) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		must(t, d.Decode(&v))
		return v
	}
	want, got := decode(newer), decode(after)
	delete(got["failed"].(map[string]any), "9.9.9")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read and written by an older version:\n%v\nwas\n%v", got, want)
	}
}

func TestSaveRefuses(t *testing.T) {
	home := newHome(t)
	save(t, home, full())
	lock, err := state.TryLock(home)
	must(t, err)
	big := full()
	big.Trust.File = strings.Repeat("x", 5<<20)
	if err := lock.Save(big); err == nil {
		t.Error("saved more than Load reads")
	}
	bad := full()
	bad.Installation = "me"
	if err := lock.Save(bad); err == nil {
		t.Error("saved what Load refuses")
	}
	must(t, lock.Unlock())
	if err := lock.Save(full()); err == nil {
		t.Error("saved without the lock")
	}
	if err := lock.Unlock(); err == nil {
		t.Error("unlocked twice")
	}
	if _, err := state.Load(home); err != nil {
		t.Errorf("a refused save changed the file: %v", err)
	}
}

func TestLock(t *testing.T) {
	home := newHome(t)
	lock, err := state.TryLock(home)
	must(t, err)
	if _, err := state.TryLock(home); !errors.Is(err, state.ErrBusy) || runtime.GOOS == "linux" && !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := state.WaitLock(ctx, home); !errors.Is(err, state.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited in vain: %v", err)
	}
	got := make(chan error)
	go func() {
		second, err := state.WaitLock(t.Context(), home)
		if err == nil {
			err = second.Unlock()
		}
		got <- err
	}()
	must(t, lock.Unlock())
	must(t, <-got)
}

// Somebody removes the lock file of the one who works: the next one may not believe that he is alone, nor the first.
func TestLockFileRemoved(t *testing.T) {
	home := newHome(t)
	first, err := state.TryLock(home)
	must(t, err)
	must(t, os.Remove(filepath.Join(home, "lock")))
	if err := first.Save(full()); !errors.Is(err, state.ErrBusy) {
		t.Errorf("saved under a lock that others cannot see: %v", err)
	}
	second, err := state.TryLock(home)
	must(t, err)
	must(t, second.Save(full()))
	if err := first.Save(full()); !errors.Is(err, state.ErrBusy) {
		t.Errorf("two hold the lock: %v", err)
	}
	must(t, errors.Join(first.Unlock(), second.Unlock()))
}
