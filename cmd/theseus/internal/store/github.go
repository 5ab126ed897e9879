package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/google/go-github/v89/github"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// hub is a store in a GitHub repository: documents on a branch, files as assets of a release for each version, or on the branch
// too. What compares and replaces in one step is a commit: the branch moves to it only from the commit that it was made for.
type hub struct {
	client      *github.Client
	owner, repo string
	folder      string
	branch      string
	onBranch    bool // files too: clients of a private repository read them as they read documents

	mu       sync.Mutex
	commit   string                               // the one that tree is of
	tree     []*github.TreeEntry                  // all files of the branch
	releases map[string]*github.RepositoryRelease // by tag, drafts too; nil: not asked yet
	assets   map[int64]map[string]*github.ReleaseAsset
}

const githubExample = "github:OWNER/REPO[/FOLDER], with ?branch=NAME, ?files=branch, or ?api=URL for a server of your own"

func openGitHub(_ context.Context, address string) (Opened, error) {
	u, q, err := parse("github://"+strings.TrimPrefix(address, "github:"), githubExample, "branch", "files", "api")
	if err != nil {
		return nil, err
	}
	repo, folder, _ := strings.Cut(u.Path, "/")
	if u.Host == "" || repo == "" || u.User != nil {
		return nil, ui.Usage("%s names no repository: want %s", Redacted(address), githubExample)
	}
	if files := q.Get("files"); files != "" && files != "branch" {
		return nil, ui.Usage("%s: files are on the branch (files=branch), or (left out) with their release", Redacted(address))
	}
	var options []github.ClientOptionsFunc
	if token := cmp.Or(os.Getenv("GITHUB_TOKEN"), os.Getenv("GH_TOKEN")); token != "" {
		options = append(options, github.WithAuthToken(token))
	}
	if api := q.Get("api"); api != "" {
		options = append(options, github.WithEnterpriseURLs(api, api))
	}
	client, err := github.NewClient(options...)
	if err != nil {
		return nil, ui.Usage("%s: %w", Redacted(address), err)
	}
	return &hub{client: client, owner: u.Host, repo: repo, folder: folder, branch: cmp.Or(q.Get("branch"), "releases"), onBranch: q.Get("files") != ""}, nil
}

func (h *hub) String() string { return "github:" + join(h.owner+"/"+h.repo, h.folder) }
func (h *hub) Close() error   { return nil }

func (h *hub) key(name string) string { return join(h.folder, name) }

// again asks until the server does not say that it is to be asked later. It counts requests, and content that is made faster.
func again[T any](ctx context.Context, ask func() (T, *github.Response, error)) (T, error) {
	for n := 0; ; n++ {
		got, _, err := ask()
		var wait time.Duration
		var limit *github.RateLimitError
		var abuse *github.AbuseRateLimitError
		switch {
		case errors.As(err, &abuse):
			wait = time.Minute
			if abuse.RetryAfter != nil {
				wait = *abuse.RetryAfter
			}
		case errors.As(err, &limit):
			wait = time.Until(limit.Rate.Reset.Time)
		default:
			return got, err
		}
		if n >= 5 || wait > 5*time.Minute {
			return got, err
		}
		select {
		case <-ctx.Done():
			return got, ctx.Err()
		case <-time.After(wait): // what the server asks for
		}
	}
}

// head returns the newest commit of the branch and all files in it; "" if there is no such branch.
func (h *hub) head(ctx context.Context) (commit string, tree []*github.TreeEntry, err error) {
	ref, err := again(ctx, func() (*github.Reference, *github.Response, error) {
		return h.client.Git.GetRef(ctx, h.owner, h.repo, "heads/"+h.branch)
	})
	if status(err) == http.StatusNotFound || status(err) == http.StatusConflict { // no such branch, or nothing in the repository
		return "", nil, nil
	}
	if err != nil {
		return "", nil, h.explain(ctx, h.branch, err)
	}
	commit = ref.GetObject().GetSHA()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.commit == commit {
		return commit, h.tree, nil
	}
	whole, err := again(ctx, func() (*github.Tree, *github.Response, error) {
		return h.client.Git.GetTree(ctx, h.owner, h.repo, commit, true)
	})
	if err != nil {
		return "", nil, h.explain(ctx, h.branch, err)
	}
	if whole.GetTruncated() {
		return "", nil, ui.Fail(ui.ExitError, "%s has more files on the branch %s than GitHub lists: use a branch for the repository alone", h, h.branch)
	}
	h.commit, h.tree = commit, whole.Entries
	return commit, h.tree, nil
}

// entry is a file in a tree; nil if it is not there.
func entry(tree []*github.TreeEntry, path string) *github.TreeEntry {
	for _, e := range tree {
		if e.GetType() == "blob" && e.GetPath() == path {
			return e
		}
	}
	return nil
}

func (h *hub) Get(ctx context.Context, name string) (io.ReadCloser, Version, error) {
	_, tree, err := h.head(ctx)
	if err != nil {
		return nil, Nothing, err
	}
	e := entry(tree, h.key(name))
	if e == nil {
		return nil, Nothing, &fs.PathError{Op: "get", Path: h.String() + "/" + name, Err: fs.ErrNotExist}
	}
	b, err := again(ctx, func() ([]byte, *github.Response, error) {
		return h.client.Git.GetBlobRaw(ctx, h.owner, h.repo, e.GetSHA())
	})
	return io.NopCloser(bytes.NewReader(b)), Version(e.GetSHA()), h.explain(ctx, name, err)
}

// maxBlob is what GitHub takes for one file of a branch.
const maxBlob = 100 << 20

func (h *hub) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	if size > maxBlob {
		return ui.Fail(ui.ExitError, "%s/%s has %s, and GitHub takes no more than 100 MB for a file of a branch: leave files=branch out, which puts files into releases", h, name, ui.Bytes(size))
	}
	b, err := io.ReadAll(io.LimitReader(body, size+1))
	if err == nil && int64(len(b)) != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	e := &github.TreeEntry{Path: new(h.key(name)), Mode: new("100644"), Type: new("blob")}
	if isFile(name) {
		blob, err := again(ctx, func() (*github.Blob, *github.Response, error) {
			return h.client.Git.CreateBlob(ctx, h.owner, h.repo, github.Blob{Content: new(base64.StdEncoding.EncodeToString(b)), Encoding: new("base64")})
		})
		if err != nil {
			return h.explain(ctx, name, err)
		}
		e.SHA = blob.SHA
	} else {
		e.Content = new(string(b)) // documents are text
	}
	return h.change(ctx, name, e, replaces)
}

// change makes one commit, and moves the branch to it if nobody else has moved it meanwhile. If somebody has and it was for
// another file, it is made again.
func (h *hub) change(ctx context.Context, name string, e *github.TreeEntry, replaces Version) error {
	for range 20 {
		head, tree, err := h.head(ctx)
		if err != nil {
			return err
		}
		if replaces != Anything {
			there := Nothing
			if old := entry(tree, h.key(name)); old != nil {
				there = Version(old.GetSHA())
			}
			if there != replaces {
				return ErrChanged
			}
		} else if old := entry(tree, h.key(name)); old != nil && e.SHA != nil && old.GetSHA() == e.GetSHA() {
			return nil
		}
		made, err := again(ctx, func() (*github.Tree, *github.Response, error) {
			return h.client.Git.CreateTree(ctx, h.owner, h.repo, head, []*github.TreeEntry{e})
		})
		if err != nil {
			return h.explain(ctx, name, err)
		}
		c := github.Commit{Message: new("theseus: " + h.key(name)), Tree: made}
		if head != "" {
			c.Parents = []*github.Commit{{SHA: &head}}
		}
		commit, err := again(ctx, func() (*github.Commit, *github.Response, error) {
			return h.client.Git.CreateCommit(ctx, h.owner, h.repo, c, nil)
		})
		if err != nil {
			return h.explain(ctx, name, err)
		}
		_, err = again(ctx, func() (*github.Reference, *github.Response, error) {
			if head == "" {
				return h.client.Git.CreateRef(ctx, h.owner, h.repo, github.CreateRef{Ref: "refs/heads/" + h.branch, SHA: commit.GetSHA()})
			}
			return h.client.Git.UpdateRef(ctx, h.owner, h.repo, "heads/"+h.branch, github.UpdateRef{SHA: commit.GetSHA(), Force: new(false)})
		})
		switch status(err) {
		case http.StatusUnprocessableEntity, http.StatusConflict: // no fast forward: somebody was faster, perhaps for another file
			continue
		}
		return h.explain(ctx, name, err)
	}
	return ui.Fail(ui.ExitBusy, "%s: others move the branch %s all the time: run this again", h, h.branch)
}

func (h *hub) List(ctx context.Context, folder string) ([]Object, error) {
	_, tree, err := h.head(ctx)
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, e := range tree {
		dir, name := path.Split(e.GetPath())
		if e.GetType() == "blob" && strings.TrimSuffix(dir, "/") == h.key(folder) {
			objects = append(objects, Object{Name: name, Size: int64(e.GetSize())})
		}
	}
	return sorted(objects), nil
}

func (h *hub) Delete(ctx context.Context, name string) error {
	_, tree, err := h.head(ctx)
	if err != nil || entry(tree, h.key(name)) == nil {
		return err
	}
	return h.change(ctx, name, &github.TreeEntry{Path: new(h.key(name)), Mode: new("100644"), Type: new("blob")}, Anything)
}

// status is the HTTP status that an answer came with; 0 if none came.
func status(err error) int {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode
	}
	return 0
}

// explain makes an error one for a person.
func (h *hub) explain(ctx context.Context, name string, err error) error {
	var answer *github.ErrorResponse
	var limit *github.RateLimitError
	var abuse *github.AbuseRateLimitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &limit), errors.As(err, &abuse):
		return ui.Fail(ui.ExitUnreachable, "%s: GitHub takes no more requests for the moment: run this again later, it goes on where it was (with GITHUB_TOKEN set it takes more)", h)
	case !errors.As(err, &answer):
		return ui.Fail(ui.ExitUnreachable, "%s does not answer: %s: check the network, and run this again", h, ui.Clean(err.Error()))
	}
	said := ui.Clean(answer.Message)
	for _, e := range answer.Errors {
		said += " (" + ui.Clean(strings.TrimSpace(e.Field+" "+e.Code+" "+e.Message)) + ")"
	}
	switch code := status(err); {
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound:
		return ui.Fail(ui.ExitPermission, "%s: GitHub says %q of %s: check the name of the repository, and that GITHUB_TOKEN may write its contents", h, said, name)
	case code >= 500:
		return ui.Fail(ui.ExitUnreachable, "%s: GitHub is in trouble (%s): run this again later, it goes on where it was", h, said)
	}
	return fmt.Errorf("%s/%s: GitHub says: %s", h, name, said)
}
