package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Each error belongs to one row, by itself and wrapped with its sentinel as callers meet it.
func TestOutcomeOf(t *testing.T) {
	lagging := errors.Join(release.ErrRollback, catalog.ErrLagging)
	for _, row := range []struct {
		err  error
		name string
		code int
	}{
		{nil, "ok", 0},
		{&release.Nothing{Rule: "paused", Version: semver.MustParse("1.1.0"), Reason: "paused"}, "nothing", 3},
		{&classified{errors.New("managed"), ErrNothing}, "nothing", 3},
		{state.ErrBusy, "busy", 7},
		{context.Canceled, "called off", 1},
		{&classified{context.Canceled, ErrUndone}, "undone", 8},
		{&swap.Error{Kind: swap.ErrReadOnly}, "no permission", 6},
		{fs.ErrPermission, "no permission", 6},
		{lagging, "stale source", 4},
		{release.ErrRollback, "rollback", 4},
		{release.ErrExpired, "expired", 4},
		{verify.ErrSignature, "refused", 4},
		{release.ErrTrust, "refused", 4},
		{fetch.ErrHash, "refused", 4},
		{swap.ErrChanged, "refused", 4},
		{catalog.ErrRoot, "refused", 4},
		{ErrRefused, "refused", 4},
		{&classified{errors.New("it crashed"), ErrUndone}, "undone", 8},
		{&swap.Error{Kind: swap.ErrNoSpace}, "failed", 1},
		{errors.New("anything"), "failed", 1},
	} {
		for _, err := range []error{row.err, fail(StepChecking, "1.0.0", row.err), fmt.Errorf("wrapped: %w", fail(StepChecking, "", row.err))} {
			if row.err == nil {
				err = nil
			}
			if o := outcomeOf(err); o.name != row.name || o.code != row.code || exitCode(err) != row.code {
				t.Errorf("%v: %s, exit code %d; want %s, %d", err, o.name, o.code, row.name, row.code)
			}
		}
	}
}

// doc/recovery.md lists the outcomes with their codes, sentinels and events.
func TestOutcomesAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../doc/recovery.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range append([]outcome{succeeded, failed}, outcomes...) {
		_, row, found := strings.Cut(string(b), fmt.Sprintf("\n| %s | %d | ", o.name, o.code))
		row, _, _ = strings.Cut(row, "\n")
		if !found || !strings.Contains(row, string(o.blame)) || !strings.Contains(row, string(o.event)) {
			t.Errorf("no row for %s, exit code %d, blame %q, event %q", o.name, o.code, o.blame, o.event)
		}
		if soon := strings.Contains(row, "| soon"); soon != o.soon {
			t.Errorf("%s: is it tried again soon? The document says %v", o.name, soon)
		}
	}
}

// What is remembered comes back from the state file as it was, and what is only served again is not worth a write.
func TestMemoryComesBack(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	m := catalog.Memory{
		Trust: catalog.Trust{Version: 3, File: "signed"}, Floor: now,
		Channel: &catalog.Channel{
			Seen: release.Seen{Sequence: 42, ID: verify.IDOf([]byte("channel")), Signers: []verify.Digest{{1}}, Threshold: 1, Trust: 2},
			File: "channel", Served: now, Validator: fetch.Validator{Source: "https://a", ETag: `"x"`},
		},
	}
	st := state.New()
	record(st, "stable", m)
	if back := remembered(st, "stable"); !reflect.DeepEqual(back, m) {
		t.Errorf("%+v\nbecame %+v", m, back)
	}
	before := st.Clone()
	again := *m.Channel
	again.Served = now.Add(time.Minute)
	record(st, "stable", catalog.Memory{Trust: m.Trust, Floor: m.Floor, Channel: &again})
	if !st.Equal(before) {
		t.Error("an idle poll would write")
	}
	again.Served = now.Add(2 * time.Hour)
	record(st, "stable", catalog.Memory{Trust: m.Trust, Floor: m.Floor, Channel: &again})
	if st.Equal(before) {
		t.Error("that it is served still is never written")
	}
}

// A file that is not the signed one is told like a document that is refused, once, and is over with the next good
// update.
func TestRefusedDownloadIsAnEvent(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	files := map[string][]byte{}
	for _, path := range storedFiles(repo) {
		files[path] = repo.Get(path)
		repo.Put(path, program("9.9.9")) // of the same size
	}
	for range 2 {
		if _, err := c.update(); !errors.Is(err, ErrRefused) {
			t.Fatalf("error %v", err)
		}
	}
	if o := c.Status().Outcome; o.Name != "refused" || o.Code != ExitRefused || o.Blame != BlameSource || o.Step != StepDownloading {
		t.Errorf("%+v", o)
	}
	if n := len(c.events.of(EventRefused)); n != 1 {
		t.Errorf("%d events", n)
	}
	for path, b := range files {
		repo.Put(path, b)
	}
	c.mustUpdate("1.1.0")
	if ev := c.events.of(EventRefused); len(ev) != 2 || !ev[1].Ended {
		t.Errorf("%v", ev)
	}
	if o := c.Status().Outcome; o.Name != "ok" || o.Code != 0 || o.Blame != BlameNobody {
		t.Errorf("%+v", o)
	}
}
