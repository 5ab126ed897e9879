package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/teststore"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func fakeGitHub(options string) func(t *testing.T) func() Opened {
	return func(t *testing.T) func() Opened {
		h := teststore.NewHub(t)
		return func() Opened {
			s, err := Open(t.Context(), h.Address(options))
			if err != nil {
				t.Error(err)
				return nil
			}
			if options == "" { // its files lie with a release
				hub := s.(*hub)
				return closing{hub.Release("1.0.0")}
			}
			return s
		}
	}
}

type closing struct{ Store }

func (closing) Close() error { return nil }

// Files are assets of a draft that nobody sees until all of them are there.
func TestGitHubReleaseIsADraftFirst(t *testing.T) {
	t.Parallel()
	h := teststore.NewHub(t)
	for n := range 120 { // more than a page, all older
		h.Releases = append(h.Releases, &teststore.Release{ID: int64(n + 1), Tag: fmt.Sprint("v0.0.", n), Created: "2026-11-29T00:00:00Z"})
	}
	s, err := Open(t.Context(), h.Address(""))
	must(t, err)
	by := s.(ByRelease)
	name := fileName("x", ".zst")
	must(t, by.Release("1.2.0").Put(t.Context(), name, strings.NewReader("x"), 1, Anything))
	if last := h.Releases[120]; len(h.Releases) != 121 || !last.Draft || last.Tag != "v1.2.0" || len(last.Assets) != 1 {
		t.Fatalf("%d releases, the last is %+v", len(h.Releases), last)
	}
	again, err := Open(t.Context(), h.Address("")) // after an interruption
	must(t, err)
	if list, err := again.(ByRelease).Release("1.2.0").List(t.Context(), "files"); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	must(t, again.(ByRelease).Release("1.2.0").Put(t.Context(), name, strings.NewReader("x"), 1, Anything))
	must(t, again.(ByRelease).Finish(t.Context(), "1.2.0"))
	must(t, again.(ByRelease).Finish(t.Context(), "9.9.9")) // has no files
	if last := h.Releases[120]; len(h.Releases) != 121 || last.Draft || len(last.Assets) != 1 {
		t.Errorf("%d releases, the last is %+v", len(h.Releases), last)
	}
	if list, err := again.(ByRelease).Release("1.1.0").List(t.Context(), "files"); err != nil || len(list) != 0 {
		t.Errorf("of another release: %v, %v", list, err)
	}
}

// An upload that broke off leaves an asset that takes up the name.
func TestGitHubAssetThatDidNotArriveWhole(t *testing.T) {
	t.Parallel()
	h := teststore.NewHub(t)
	name := fileName("whole", "")
	h.Releases = []*teststore.Release{{ID: 1, Tag: "v1.0.0", Draft: true, Created: "2026-11-29T00:00:00Z", Upload: strings.TrimSuffix(h.Source(), "/raw") + "/api/uploads/repos/acme/hello/releases/1/assets",
		Assets: []*teststore.Asset{{ID: 77, Name: strings.TrimPrefix(name, "files/"), Size: 0, State: "starter"}}}}
	s, err := Open(t.Context(), h.Address(""))
	must(t, err)
	r := s.(ByRelease).Release("1.0.0")
	if _, _, err := r.Get(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	must(t, put(t.Context(), r, name, "whole", Anything))
	if got, _ := get(t, r, name); got != "whole" {
		t.Errorf("there is %q", got)
	}
}

// Who makes much is told to wait, and waits.
func TestGitHubSecondaryLimit(t *testing.T) {
	t.Parallel()
	h := teststore.NewHub(t)
	h.Limited = 1
	s, err := Open(t.Context(), h.Address(""))
	must(t, err)
	must(t, put(t.Context(), s, "stable", "one", Nothing))
	if got, _ := get(t, s, "stable"); got != "one" || h.Limited != 0 {
		t.Errorf("there is %q", got)
	}
	h.Forbid = true
	if err := put(t.Context(), s, "stable", "two", Nothing); err != nil && ui.ExitCode(err) != ui.ExitPermission && !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
}

// A commit for another file of the branch is no reason to give up.
func TestGitHubBranchThatOthersMove(t *testing.T) {
	t.Parallel()
	h := teststore.NewHub(t)
	one, err := Open(t.Context(), h.Address(""))
	must(t, err)
	two, err := Open(t.Context(), h.Address(""))
	must(t, err)
	must(t, put(t.Context(), one, "stable", "one", Nothing))
	_, v := get(t, one, "stable")
	must(t, put(t.Context(), two, "beta", "other", Nothing))
	must(t, put(t.Context(), one, "stable", "two", v))
	if err := put(t.Context(), two, "stable", "three", v); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
}
