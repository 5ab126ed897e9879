package store

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// A fakeHub keeps the rules of GitHub's API that a store depends on: a branch moves only forward, the name of an asset is given
// once, a draft is in the list and has no tag, lists have pages, and who makes much is told to wait.
type fakeHub struct {
	mu       sync.Mutex
	url      string
	refs     map[string]string            // commit by name
	commits  map[string]fakeCommit        // by hash
	trees    map[string]map[string]string // blob by path, by hash
	blobs    map[string][]byte
	releases []*fakeRelease
	assets   int // numbers given
	limited  int // so many requests that make something are told to wait
	forbid   bool
	look     func(channelMoves bool, drafts int) // nil: nobody
}

type fakeCommit struct {
	tree    string
	parents []string
}

type fakeRelease struct {
	ID      int64        `json:"id"`
	Tag     string       `json:"tag_name"`
	Draft   bool         `json:"draft"`
	Upload  string       `json:"upload_url"`
	Created string       `json:"created_at"`
	assets  []*fakeAsset // oldest first
}

type fakeAsset struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Size  int    `json:"size"`
	State string `json:"state"`
	body  []byte
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{refs: map[string]string{}, commits: map[string]fakeCommit{}, trees: map[string]map[string]string{}, blobs: map[string][]byte{}}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

func (h *fakeHub) address(options string) string {
	return "github:acme/hello?api=" + h.url + options
}

func (h *fakeHub) hash(kind string, b []byte) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(b), b))
	return hex.EncodeToString(sum[:])
}

func (h *fakeHub) refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": message})
}

func page[T any](r *http.Request, all []T) []T {
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	from := min(max(n-1, 0)*per, len(all))
	return append([]T{}, all[from:min(from+per, len(all))]...)
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	say := func(status int, v any) { w.WriteHeader(status); json.NewEncoder(w).Encode(v) }
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v3/repos/acme/hello/")
	if !ok {
		path, ok = strings.CutPrefix(r.URL.Path, "/api/uploads/repos/acme/hello/")
	}
	if !ok || h.forbid {
		h.refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if r.Method != http.MethodGet && h.limited > 0 {
		h.limited--
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(map[string]string{"message": "You have exceeded a secondary rate limit", "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"})
		return
	}
	var in struct {
		Ref, SHA, Tree, Content, Encoding string
		Base                              string `json:"base_tree"`
		Tag                               string `json:"tag_name"`
		Force                             *bool
		Draft                             *bool
		Parents                           []string
	}
	var tree struct {
		Tree []struct {
			Path         string
			SHA, Content *string
		}
	}
	if r.Method != http.MethodGet && strings.HasPrefix(path, "git/trees") {
		json.Unmarshal(body, &tree)
		var only struct {
			Base string `json:"base_tree"`
		}
		json.Unmarshal(body, &only)
		in.Base = only.Base
	} else {
		json.Unmarshal(body, &in)
	}
	parts := strings.Split(path, "/")
	what := r.Method + " " + strings.Join(parts[:min(2, len(parts))], "/")
	switch {
	case what == "GET git/ref":
		sha := h.refs[strings.Join(parts[3:], "/")]
		if sha == "" {
			h.refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		say(200, map[string]any{"ref": "x", "object": map[string]string{"sha": sha, "type": "commit"}})
	case what == "POST git/refs":
		name := strings.TrimPrefix(in.Ref, "refs/heads/")
		if h.refs[name] != "" {
			h.refuse(w, http.StatusUnprocessableEntity, "Reference already exists")
			return
		}
		h.refs[name] = in.SHA
		say(201, map[string]any{"ref": in.Ref, "object": map[string]string{"sha": in.SHA}})
	case what == "PATCH git/refs":
		name := strings.Join(parts[3:], "/")
		if in.Force == nil || *in.Force || !slices.Contains(h.commits[in.SHA].parents, h.refs[name]) {
			h.refuse(w, http.StatusUnprocessableEntity, "Update is not a fast forward")
			return
		}
		if h.look != nil {
			now, next := h.trees[h.commits[h.refs[name]].tree], h.trees[h.commits[in.SHA].tree]
			drafts := 0
			for _, r := range h.releases {
				if r.Draft {
					drafts++
				}
			}
			h.look(now["stable"] != next["stable"], drafts)
		}
		h.refs[name] = in.SHA
		say(200, map[string]any{"ref": name, "object": map[string]string{"sha": in.SHA}})
	case what == "GET git/trees":
		at := h.trees[h.commits[parts[2]].tree]
		list := []map[string]any{}
		for p, blob := range at {
			list = append(list, map[string]any{"path": p, "type": "blob", "mode": "100644", "sha": blob, "size": len(h.blobs[blob])})
		}
		say(200, map[string]any{"sha": parts[2], "tree": list})
	case what == "POST git/trees":
		next := map[string]string{}
		if in.Base != "" {
			maps.Copy(next, h.trees[h.commits[in.Base].tree])
		}
		for _, e := range tree.Tree {
			switch {
			case e.Content != nil:
				blob := h.hash("blob", []byte(*e.Content))
				h.blobs[blob], next[e.Path] = []byte(*e.Content), blob
			case e.SHA != nil:
				next[e.Path] = *e.SHA
			default:
				delete(next, e.Path)
			}
		}
		text := fmt.Sprint(next)
		sha := h.hash("tree", []byte(text))
		h.trees[sha] = next
		say(201, map[string]any{"sha": sha})
	case what == "POST git/commits":
		sha := h.hash("commit", fmt.Append(body, len(h.commits)))
		h.commits[sha] = fakeCommit{in.Tree, in.Parents}
		say(201, map[string]any{"sha": sha})
	case what == "POST git/blobs":
		b, _ := base64.StdEncoding.DecodeString(in.Content)
		sha := h.hash("blob", b)
		h.blobs[sha] = b
		say(201, map[string]any{"sha": sha})
	case what == "GET git/blobs":
		w.Write(h.blobs[parts[2]])
	case what == "GET releases" || what == "POST releases" && len(parts) == 1:
		if r.Method == http.MethodGet {
			newest := slices.Clone(h.releases)
			slices.Reverse(newest)
			say(200, page(r, newest))
			return
		}
		rel := &fakeRelease{ID: int64(len(h.releases) + 1), Tag: in.Tag, Draft: in.Draft != nil && *in.Draft, Created: "2026-11-29T00:00:00Z"}
		rel.Upload = fmt.Sprintf("%s/api/uploads/repos/acme/hello/releases/%d/assets{?name,label}", h.url, rel.ID)
		h.releases = append(h.releases, rel)
		say(201, rel)
	case what == "GET releases/assets" || what == "DELETE releases/assets":
		for _, rel := range h.releases {
			for i, a := range rel.assets {
				if strconv.FormatInt(a.ID, 10) != parts[2] {
					continue
				}
				if r.Method == http.MethodDelete {
					rel.assets = slices.Delete(rel.assets, i, i+1)
					w.WriteHeader(204)
					return
				}
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Write(a.body)
				return
			}
		}
		h.refuse(w, http.StatusNotFound, "Not Found")
	case parts[0] == "releases":
		id, _ := strconv.Atoi(parts[1])
		rel := h.releases[id-1]
		switch {
		case r.Method == http.MethodPatch:
			rel.Draft = in.Draft != nil && *in.Draft
			say(200, rel)
		case r.Method == http.MethodGet:
			say(200, page(r, rel.assets))
		default:
			name := r.URL.Query().Get("name")
			if slices.ContainsFunc(rel.assets, func(a *fakeAsset) bool { return a.Name == name }) {
				h.refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
				return
			}
			h.assets++
			a := &fakeAsset{int64(h.assets), name, len(body), "uploaded", body}
			if r.ContentLength != int64(len(body)) {
				a.State = "starter" // broke off
			}
			rel.assets = append(rel.assets, a)
			say(201, a)
		}
	default:
		h.refuse(w, http.StatusNotFound, what)
	}
}

func fakeGitHub(options string) func(t *testing.T) func() Opened {
	return func(t *testing.T) func() Opened {
		h := newFakeHub(t)
		return func() Opened {
			s, err := Open(t.Context(), h.address(options))
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
	h := newFakeHub(t)
	for n := range 120 { // more than a page, all older
		h.releases = append(h.releases, &fakeRelease{ID: int64(n + 1), Tag: fmt.Sprint("v0.0.", n), Created: "2026-11-29T00:00:00Z"})
	}
	s, err := Open(t.Context(), h.address(""))
	must(t, err)
	by := s.(ByRelease)
	name := fileName("x", ".zst")
	must(t, by.Release("1.2.0").Put(t.Context(), name, strings.NewReader("x"), 1, Anything))
	if last := h.releases[120]; len(h.releases) != 121 || !last.Draft || last.Tag != "v1.2.0" || len(last.assets) != 1 {
		t.Fatalf("%d releases, the last is %+v", len(h.releases), last)
	}
	again, err := Open(t.Context(), h.address("")) // after an interruption
	must(t, err)
	if list, err := again.(ByRelease).Release("1.2.0").List(t.Context(), "files"); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	must(t, again.(ByRelease).Release("1.2.0").Put(t.Context(), name, strings.NewReader("x"), 1, Anything))
	must(t, again.(ByRelease).Finish(t.Context(), "1.2.0"))
	must(t, again.(ByRelease).Finish(t.Context(), "9.9.9")) // has no files
	if last := h.releases[120]; len(h.releases) != 121 || last.Draft || len(last.assets) != 1 {
		t.Errorf("%d releases, the last is %+v", len(h.releases), last)
	}
	if list, err := again.(ByRelease).Release("1.1.0").List(t.Context(), "files"); err != nil || len(list) != 0 {
		t.Errorf("of another release: %v, %v", list, err)
	}
}

// An upload that broke off leaves an asset that takes up the name.
func TestGitHubAssetThatDidNotArriveWhole(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	name := fileName("whole", "")
	h.releases = []*fakeRelease{{ID: 1, Tag: "v1.0.0", Draft: true, Created: "2026-11-29T00:00:00Z", Upload: h.url + "/api/uploads/repos/acme/hello/releases/1/assets",
		assets: []*fakeAsset{{ID: 77, Name: strings.TrimPrefix(name, "files/"), Size: 0, State: "starter"}}}}
	s, err := Open(t.Context(), h.address(""))
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
	h := newFakeHub(t)
	h.limited = 1
	s, err := Open(t.Context(), h.address(""))
	must(t, err)
	must(t, put(t.Context(), s, "stable", "one", Nothing))
	if got, _ := get(t, s, "stable"); got != "one" || h.limited != 0 {
		t.Errorf("there is %q", got)
	}
	h.forbid = true
	if err := put(t.Context(), s, "stable", "two", Nothing); err != nil && ui.ExitCode(err) != ui.ExitPermission && !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
}

// A commit for another file of the branch is no reason to give up.
func TestGitHubBranchThatOthersMove(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	one, err := Open(t.Context(), h.address(""))
	must(t, err)
	two, err := Open(t.Context(), h.address(""))
	must(t, err)
	must(t, put(t.Context(), one, "stable", "one", Nothing))
	_, v := get(t, one, "stable")
	must(t, put(t.Context(), two, "beta", "other", Nothing))
	must(t, put(t.Context(), one, "stable", "two", v))
	if err := put(t.Context(), two, "stable", "three", v); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
}
