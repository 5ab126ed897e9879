package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/google/go-github/v89/github"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// Release is the store as it is for one version: its files are the assets of the release with the tag vVERSION, which is a draft
// until all of them are there.
func (h *hub) Release(version string) Store {
	if h.onBranch {
		return h
	}
	return &hubRelease{h, "v" + version}
}

// Finish publishes the draft of a version.
func (h *hub) Finish(ctx context.Context, version string) error {
	if h.onBranch {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r, err := h.find(ctx, "v"+version)
	if err != nil || r == nil || !r.Draft {
		return err
	}
	published, err := again(ctx, func() (*github.RepositoryRelease, *github.Response, error) {
		return h.client.Repositories.UpdateRelease(ctx, h.owner, h.repo, r.ID, github.UpdateReleaseRequest{Draft: new(false)})
	})
	if err != nil {
		return h.explain(ctx, "release v"+version, err)
	}
	h.releases["v"+version] = published
	return nil
}

// hubRelease is the release of one version.
type hubRelease struct {
	*hub
	tag string
}

// find returns the release with a tag; nil if there is none. A draft is in the list of all and nowhere else; of several with one
// tag the oldest counts for everybody. h.mu is locked.
func (h *hub) find(ctx context.Context, tag string) (*github.RepositoryRelease, error) {
	if h.releases == nil {
		found := map[string]*github.RepositoryRelease{}
		for page := 1; ; page++ {
			list, err := again(ctx, func() ([]*github.RepositoryRelease, *github.Response, error) {
				return h.client.Repositories.ListReleases(ctx, h.owner, h.repo, &github.ListOptions{Page: page, PerPage: 100})
			})
			if err != nil {
				return nil, h.explain(ctx, "releases", err)
			}
			for _, r := range list {
				if other := found[r.TagName]; other == nil || other.Draft && !r.Draft || other.Draft == r.Draft && r.ID < other.ID {
					found[r.TagName] = r
				}
			}
			if len(list) < 100 {
				break
			}
		}
		h.releases, h.assets = found, map[int64]map[string]*github.ReleaseAsset{}
	}
	return h.releases[tag], nil
}

// assetsOf returns the assets of a release by name. h.mu is locked.
func (h *hub) assetsOf(ctx context.Context, id int64) (map[string]*github.ReleaseAsset, error) {
	if known := h.assets[id]; known != nil {
		return known, nil
	}
	found := map[string]*github.ReleaseAsset{}
	for page := 1; ; page++ {
		list, err := again(ctx, func() ([]*github.ReleaseAsset, *github.Response, error) {
			return h.client.Repositories.ListReleaseAssets(ctx, h.owner, h.repo, id, &github.ListOptions{Page: page, PerPage: 100})
		})
		if err != nil {
			return nil, h.explain(ctx, "assets", err)
		}
		for _, a := range list {
			found[a.GetName()] = a
		}
		if len(list) < 100 {
			break
		}
	}
	h.assets[id] = found
	return found, nil
}

// look returns the release and its assets; nil if there is no such release.
func (r *hubRelease) look(ctx context.Context) (*github.RepositoryRelease, map[string]*github.ReleaseAsset, error) {
	there, err := r.find(ctx, r.tag)
	if err != nil || there == nil {
		return nil, nil, err
	}
	assets, err := r.assetsOf(ctx, there.ID)
	return there, assets, err
}

func (r *hubRelease) Get(ctx context.Context, name string) (io.ReadCloser, Version, error) {
	if !isFile(name) {
		return r.hub.Get(ctx, name)
	}
	r.mu.Lock()
	_, assets, err := r.look(ctx)
	r.mu.Unlock()
	if err != nil {
		return nil, Nothing, err
	}
	a := assets[path.Base(name)]
	if a == nil || a.GetState() != "uploaded" {
		return nil, Nothing, &fs.PathError{Op: "get", Path: r.String() + " " + r.tag + "/" + name, Err: fs.ErrNotExist}
	}
	body, _, err := r.client.Repositories.DownloadReleaseAsset(ctx, r.owner, r.repo, a.GetID(), http.DefaultClient)
	if err != nil {
		return nil, Nothing, r.explain(ctx, name, err)
	}
	return body, Anything, nil
}

func (r *hubRelease) List(ctx context.Context, folder string) ([]Object, error) {
	if folder != "files" {
		return r.hub.List(ctx, folder)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, assets, err := r.look(ctx)
	var objects []Object
	for name, a := range assets {
		if a.GetState() == "uploaded" {
			objects = append(objects, Object{Name: name, Size: int64(a.GetSize())})
		}
	}
	return sorted(objects), err
}

func (r *hubRelease) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	if !isFile(name) {
		return r.hub.Put(ctx, name, body, size, replaces)
	}
	release, err := r.prepare(ctx, path.Base(name), size)
	if err != nil || release == nil {
		return err
	}
	a, _, err := r.client.Repositories.UploadReleaseAssetFromRelease(ctx, release, &github.UploadOptions{Name: path.Base(name), MediaType: fileType}, body, size)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && int64(a.GetSize()) == size && a.GetState() == "uploaded" {
		r.assets[release.ID][path.Base(name)] = a
		return nil
	}
	delete(r.assets, release.ID) // to be asked for anew
	if status(err) == http.StatusUnprocessableEntity {
		if _, assets, e := r.look(ctx); e == nil && int64(assets[path.Base(name)].GetSize()) == size && assets[path.Base(name)].GetState() == "uploaded" {
			return nil // another publisher of the same file was faster
		}
		if release.GetImmutable() || !release.Draft {
			return ui.Fail(ui.ExitError, "%s: the release %s is published, and takes no more files (%w): publish with all deltas before you push, or turn immutable releases off", r, r.tag, err)
		}
	}
	if err == nil {
		err = errors.New("it did not arrive whole")
	}
	return r.explain(ctx, name, err)
}

// prepare returns the release that is to get an asset, made if need be; nil if it has the asset already. What is there of a file
// that did not arrive whole is removed, because a name is given once.
func (r *hubRelease) prepare(ctx context.Context, name string, size int64) (*github.RepositoryRelease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there, assets, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	if there == nil {
		_, err := again(ctx, func() (*github.RepositoryRelease, *github.Response, error) {
			return r.client.Repositories.CreateRelease(ctx, r.owner, r.repo, github.CreateReleaseRequest{TagName: r.tag, Name: new(r.tag), Draft: new(true)})
		})
		if err != nil {
			return nil, r.explain(ctx, "release "+r.tag, err)
		}
		r.releases = nil // another publisher may have made one at the same time: the oldest counts
		if there, assets, err = r.look(ctx); err != nil {
			return nil, err
		}
		if there == nil {
			return nil, ui.Fail(ui.ExitUnreachable, "%s: the draft of %s was made, and GitHub does not list it yet: run this again", r, r.tag)
		}
	}
	a := assets[name]
	if a == nil {
		return there, nil
	}
	if a.GetState() == "uploaded" && int64(a.GetSize()) == size {
		return nil, nil
	}
	if err := r.remove(ctx, a); err != nil {
		return nil, err
	}
	delete(assets, name)
	return there, nil
}

func (r *hubRelease) remove(ctx context.Context, a *github.ReleaseAsset) error {
	_, err := again(ctx, func() (struct{}, *github.Response, error) {
		resp, err := r.client.Repositories.DeleteReleaseAsset(ctx, r.owner, r.repo, a.GetID())
		return struct{}{}, resp, err
	})
	if status(err) == http.StatusNotFound {
		return nil
	}
	return r.explain(ctx, "asset "+a.GetName(), err)
}

func (r *hubRelease) Delete(ctx context.Context, name string) error {
	if !isFile(name) {
		return r.hub.Delete(ctx, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, assets, err := r.look(ctx)
	a := assets[path.Base(name)]
	if err != nil || a == nil {
		return err
	}
	delete(assets, path.Base(name))
	return r.remove(ctx, a)
}

func (r *hubRelease) String() string { return strings.TrimSuffix(r.hub.String(), "/") }
