package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
)

// way is a route and what it takes of the disk.
type way struct {
	route
	// direct: the file is unpacked as it comes, so that its stored form is never here, and a later process has nothing to
	// go on with.
	direct bool
	gone   []state.File // kept files that are given up for it
}

// space is what the way needs on disk at its widest, in bytes.
func (w way) space() int64 {
	if w.direct {
		return w.route[0].to.Size
	}
	return w.route.space()
}

// ways are the ways to the offered file, in the order in which they are tried. Where there is room for it what is
// downloaded stays for another attempt, and what is kept stays for --rollback: first the former is given up, then the latter,
// and that only if what is installed has proved itself.
func (j *job) ways(ctx context.Context) (all []way, err error) {
	routes, err := j.routes(ctx)
	if err != nil {
		return nil, err
	}
	st, err := j.recall(j.events)
	if err != nil {
		return nil, err
	}
	gone := [][]state.File{nil}
	if old, err := j.disk.FileAt(st, ""); err == nil && old.Proved && len(kept(st)) > 0 {
		var all []state.File
		for _, f := range kept(st) {
			all = append(all, *f)
		}
		gone = append(gone, all)
	}
	for _, gone := range gone {
		for _, r := range routes {
			all = append(all, way{r, false, gone})
		}
		for _, r := range routes {
			if len(r) == 1 && r[0].Encoding == release.Zstd {
				all = append(all, way{r, true, gone})
			}
		}
	}
	return all, nil
}

// fit rehearses the ways one after the other until there is room for one, and returns those that are left: it and what may
// be tried if it fails. Where there is room for none the error says what the least needs.
func (j *job) fit(ways []way) ([]way, error) {
	least, err := int64(-1), error(nil)
	for i, w := range ways {
		werr := j.held.Rehearse(w.space(), digests(w.gone)...)
		if werr == nil || !errors.Is(werr, swap.ErrNoSpace) {
			return ways[i:], werr
		}
		if need := w.space() - size(w.gone); least < 0 || need < least {
			least, err = need, werr
		}
	}
	return nil, err
}

func digests(files []state.File) (all []content.Digest) {
	for _, f := range files {
		all = append(all, f.ID.SHA256)
	}
	return all
}

func size(files []state.File) (n int64) {
	for _, f := range files {
		n += f.ID.Size
	}
	return n
}

// giveUp removes the kept files that a way has no room for.
func (j *job) giveUp(files []state.File) error {
	if len(files) == 0 {
		return nil
	}
	versions := make([]string, 0, len(files))
	for _, f := range files {
		versions = append(versions, f.Version)
	}
	j.events.emit(Event{Kind: EventMadeRoom, Version: versions[0],
		Text: fmt.Sprintf("there is no room for the update beside what is kept to go back to: %s is given up", strings.Join(versions, ", "))})
	return j.held.Change(func(st *state.State) { forget(st, files) })
}

// forget makes a state one in which the files are not kept.
func forget(st *state.State, files []state.File) {
	gone := digests(files)
	if st.Previous != nil && slices.Contains(gone, st.Previous.ID.SHA256) {
		st.Previous = nil
	}
	st.Older = slices.DeleteFunc(st.Older, func(f *state.File) bool { return slices.Contains(gone, f.ID.SHA256) })
}

// kept are the files that a state keeps to go back to, the next first.
func kept(st *state.State) (files []*state.File) {
	if st.Previous != nil {
		files = append(files, st.Previous)
	}
	return append(files, st.Older...)
}
