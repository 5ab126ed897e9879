package store

import "testing"

// NewFakeHub is the server of GitHub's API for tests of other packages.
func NewFakeHub(t *testing.T) *fakeHub { return newFakeHub(t) }

// Address is that of a store on it.
func (h *fakeHub) Address() string { return h.address("") }

// Look is called with the server still whenever a branch is about to move.
func (h *fakeHub) Look(look func(channelMoves bool, drafts int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look = look
}

// Releases counts the drafts and the published ones.
func (h *fakeHub) Releases() (drafts, published int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.releases {
		if r.Draft {
			drafts++
		} else {
			published++
		}
	}
	return drafts, published
}
