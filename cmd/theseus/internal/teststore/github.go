package teststore

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Hub is a server that keeps the rules of GitHub's API that a store depends on: a branch moves only forward, the name of an asset is given
// once, a draft is in the list and has no tag, lists have pages, and a client that makes too many requests is told to wait.
type Hub struct {
	mu      sync.Mutex
	url     string
	refs    map[string]string            // commit by name
	commits map[string]commit            // by hash
	trees   map[string]map[string]string // blob by path, by hash
	blobs   map[string][]byte
	assets  int // numbers given

	// For tests, to be set while nothing is under way.
	Releases []*Release
	Limited  int                                 // so many requests that make something are told to wait
	Forbid   bool                                // as to a token that may do nothing
	Look     func(channelMoves bool, drafts int) // called with the server still when a branch is about to move; nil: nobody
	Hook     Hook
}

type commit struct {
	tree    string
	parents []string
}

type Release struct {
	ID      int64    `json:"id"`
	Tag     string   `json:"tag_name"`
	Draft   bool     `json:"draft"`
	Upload  string   `json:"upload_url"`
	Created string   `json:"created_at"`
	Assets  []*Asset `json:"-"` // oldest first
}

type Asset struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Size  int    `json:"size"`
	State string `json:"state"`
	Body  []byte `json:"-"`
}

func NewHub(t *testing.T) *Hub {
	t.Helper()
	h := &Hub{refs: map[string]string{}, commits: map[string]commit{}, trees: map[string]map[string]string{}, blobs: map[string][]byte{}}
	s := httptest.NewServer(h.Hook.wrap(h))
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

// Address is that of a store on it.
func (h *Hub) Address(options string) string {
	return "github:acme/hello?api=" + h.url + options
}

// Source and Files are where a client reads: the branch, and what was published of the releases.
func (h *Hub) Source() string { return h.url + "/raw" }
func (h *Hub) Files() string  { return h.url + "/web/v{version}/{name}" }

// Count counts the drafts and the published releases.
func (h *Hub) Count() (drafts, published int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.Releases {
		if r.Draft {
			drafts++
		} else {
			published++
		}
	}
	return drafts, published
}

// Exchange is a commit of somebody else who can push to the branch.
func (h *Hub) Exchange(name string, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	head := h.refs["releases"]
	next := maps.Clone(h.trees[h.commits[head].tree])
	blob := h.hash("blob", b)
	h.blobs[blob], next[name] = b, blob
	tree := h.hash("tree", []byte(fmt.Sprint(next)))
	h.trees[tree] = next
	sha := h.hash("commit", fmt.Append(nil, tree, head))
	h.commits[sha], h.refs["releases"] = commit{tree, []string{head}}, sha
}

// serve answers what the web would.
func (h *Hub) serve(w http.ResponseWriter, r *http.Request) (known bool) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/raw/"); ok {
		if blob, ok := h.trees[h.commits[h.refs["releases"]].tree][name]; ok {
			w.Write(h.blobs[blob])
			return true
		}
		http.NotFound(w, r)
		return true
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/web/")
	if !ok {
		return false
	}
	tag, name, _ := strings.Cut(path, "/")
	for _, rel := range h.Releases {
		for _, a := range rel.Assets {
			if rel.Tag == tag && !rel.Draft && a.Name == name {
				w.Write(a.Body)
				return true
			}
		}
	}
	http.NotFound(w, r)
	return true
}

func (h *Hub) hash(kind string, b []byte) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(b), b))
	return hex.EncodeToString(sum[:])
}

func (h *Hub) refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": message})
}

func page[T any](r *http.Request, all []T) []T {
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	from := min(max(n-1, 0)*per, len(all))
	return append([]T{}, all[from:min(from+per, len(all))]...)
}

func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.serve(w, r) {
		return
	}
	say := func(status int, v any) { w.WriteHeader(status); json.NewEncoder(w).Encode(v) }
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v3/repos/acme/hello/")
	if !ok {
		path, ok = strings.CutPrefix(r.URL.Path, "/api/uploads/repos/acme/hello/")
	}
	if !ok || h.Forbid {
		h.refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if r.Method != http.MethodGet && h.Limited > 0 {
		h.Limited--
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
		if h.Look != nil {
			now, next := h.trees[h.commits[h.refs[name]].tree], h.trees[h.commits[in.SHA].tree]
			drafts := 0
			for _, r := range h.Releases {
				if r.Draft {
					drafts++
				}
			}
			h.Look(now["stable"] != next["stable"], drafts)
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
		h.commits[sha] = commit{in.Tree, in.Parents}
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
			newest := slices.Clone(h.Releases)
			slices.Reverse(newest)
			say(200, page(r, newest))
			return
		}
		rel := &Release{ID: int64(len(h.Releases) + 1), Tag: in.Tag, Draft: in.Draft != nil && *in.Draft, Created: "2026-11-29T00:00:00Z"}
		rel.Upload = fmt.Sprintf("%s/api/uploads/repos/acme/hello/releases/%d/assets{?name,label}", h.url, rel.ID)
		h.Releases = append(h.Releases, rel)
		say(201, rel)
	case what == "GET releases/assets" || what == "DELETE releases/assets":
		for _, rel := range h.Releases {
			for i, a := range rel.Assets {
				if strconv.FormatInt(a.ID, 10) != parts[2] {
					continue
				}
				if r.Method == http.MethodDelete {
					rel.Assets = slices.Delete(rel.Assets, i, i+1)
					w.WriteHeader(204)
					return
				}
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Write(a.Body)
				return
			}
		}
		h.refuse(w, http.StatusNotFound, "Not Found")
	case parts[0] == "releases":
		id, _ := strconv.Atoi(parts[1])
		rel := h.Releases[id-1]
		switch {
		case r.Method == http.MethodPatch:
			rel.Draft = in.Draft != nil && *in.Draft
			say(200, rel)
		case r.Method == http.MethodGet:
			say(200, page(r, rel.Assets))
		default:
			name := r.URL.Query().Get("name")
			if slices.ContainsFunc(rel.Assets, func(a *Asset) bool { return a.Name == name }) {
				h.refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
				return
			}
			h.assets++
			a := &Asset{int64(h.assets), name, len(body), "uploaded", body}
			if r.ContentLength != int64(len(body)) {
				a.State = "starter" // broke off
			}
			rel.Assets = append(rel.Assets, a)
			say(201, a)
		}
	default:
		h.refuse(w, http.StatusNotFound, what)
	}
}
