package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"
)

// hosts is what is known of the machines of a group: which version runs where, and who waits for what. It informs, and says
// how many there are; nothing else is decided by it. So it is written now and then, and merged with what other coordinators
// have seen: the newer sight of a machine counts. What no coordinator has written when it ends unasked is forgotten until
// the machine asks again.
type hosts struct {
	shards [hostShards]hostShard
	known  atomic.Int64
	total  *atomic.Int64 // of all groups of a coordinator
}

const (
	hostShards = 256                 // a million machines fit: 400 KB in each document
	maxHosts   = 1 << 20             // of a coordinator; 150 MiB. More are served, but neither counted nor shown
	hostMemory = 30 * 24 * time.Hour // a machine that has not been seen for this long is forgotten
)

type hostShard struct {
	mu       sync.Mutex
	byID     map[string]host
	dirty    bool
	revision uint64 // of what was last read or written
	saved    int64  // seconds since 1970
}

// A host has versions of which there are few, so they are kept once.
type host struct {
	version unique.Handle[string] // runs it
	wants   unique.Handle[string] // asks to go to it
	held    unique.Handle[string] // the kind of the last refusal
	seen    int64                 // seconds since 1970
}

var none = unique.Make("")

// hostJSON is a host in the store.
type hostJSON struct {
	Version string `json:"v,omitempty"`
	Wants   string `json:"w,omitempty"`
	Held    string `json:"h,omitempty"`
	Seen    int64  `json:"t"`
}

// Host is a machine as the coordinator has last seen it.
type Host struct {
	ID      string    `json:"id"`
	Version string    `json:"version,omitempty"` // runs it
	Wants   string    `json:"wants,omitempty"`   // has asked to go to it
	Held    Kind      `json:"held,omitempty"`    // why it has to wait
	Seen    time.Time `json:"seen"`
}

func newHosts(total *atomic.Int64) *hosts {
	h := &hosts{total: total}
	for i := range h.shards {
		h.shards[i].byID = map[string]host{}
	}
	return h
}

func (h *hosts) shard(id string) *hostShard {
	f := fnv.New32a()
	f.Write([]byte(id))
	return &h.shards[f.Sum32()%hostShards]
}

// meet notes that a machine has asked, which makes it one of the group, and see what it was told or has reported. An empty
// version leaves the one that is known.
func (h *hosts) meet(id, version, wants string, now time.Time) {
	h.note(id, now, func(n *host) {
		if n.wants = unique.Make(wants); version != "" {
			n.version = unique.Make(version)
		}
	})
}

func (h *hosts) see(id, version string, held Kind, now time.Time) {
	h.note(id, now, func(n *host) {
		if n.held = unique.Make(string(held)); version != "" {
			n.version = unique.Make(version)
		}
	})
}

func (h *hosts) note(id string, now time.Time, change func(*host)) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.byID[id]
	if !ok {
		old = host{none, none, none, 0}
	}
	n := old
	n.seen = now.Unix()
	change(&n)
	h.put(s, id, n)
	old.seen = n.seen
	// That a machine still asks for the same is not worth a write each time.
	s.dirty = s.dirty || !ok || old != n || n.seen-s.saved > 1800
}

// put is called with the shard locked.
func (h *hosts) put(s *hostShard, id string, n host) {
	if _, ok := s.byID[id]; !ok {
		if h.total.Load() >= maxHosts {
			return
		}
		h.total.Add(1)
		h.known.Add(1)
	}
	s.byID[id] = n
}

func (h *hosts) count() int { return int(h.known.Load()) }

// list returns up to n machines whose ids come after the given one, in order.
func (h *hosts) list(after string, n int) []Host {
	var ids []string
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for id := range s.byID {
			if id > after {
				ids = append(ids, id)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(ids)
	all := make([]Host, 0, min(n, len(ids)))
	for _, id := range ids[:min(n, len(ids))] {
		s := h.shard(id)
		s.mu.Lock()
		o, ok := s.byID[id]
		s.mu.Unlock()
		if ok {
			all = append(all, Host{id, o.version.Value(), o.wants.Value(), Kind(o.held.Value()), time.Unix(o.seen, 0).UTC()})
		}
	}
	return all
}

// versions counts the machines of each version.
func (h *hosts) versions() map[string]int {
	n := map[unique.Handle[string]]int{}
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for _, o := range s.byID {
			n[o.version]++
		}
		s.mu.Unlock()
	}
	all := make(map[string]int, len(n))
	for v, k := range n {
		all[v.Value()] = k
	}
	return all
}

// sync brings together what is here and what is in the store.
func (h *hosts) sync(ctx context.Context, store Store, key string, now time.Time) error {
	var errs []error
	for i := range h.shards {
		if err := h.syncShard(ctx, store, fmt.Sprintf("%s/%02x", key, i), &h.shards[i], now); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (h *hosts) syncShard(ctx context.Context, store Store, key string, s *hostShard, now time.Time) error {
	for range 10 {
		b, revision, err := store.Get(ctx, key)
		if err != nil {
			return err
		}
		s.mu.Lock()
		known := revision == s.revision && !s.dirty
		s.mu.Unlock()
		if known {
			return nil
		}
		theirs := map[string]hostJSON{}
		if b != nil && json.Unmarshal(b, &theirs) != nil {
			theirs = map[string]hostJSON{} // it only informs
		}
		ours := h.merge(s, theirs, now)
		if !maps.Equal(ours, theirs) {
			if b, err = json.Marshal(ours); err == nil {
				revision, err = store.CompareAndSwap(ctx, key, b, revision)
			}
		}
		s.mu.Lock()
		if s.revision = revision; err != nil {
			s.revision, s.dirty = 0, true
		}
		s.mu.Unlock()
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// merge takes what is newer there, and returns all that is known.
func (h *hosts) merge(s *hostShard, theirs map[string]hostJSON, now time.Time) map[string]hostJSON {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range theirs {
		if old, ok := s.byID[id]; (!ok || old.seen < t.Seen) && validID(id) {
			h.put(s, id, host{unique.Make(short64(t.Version)), unique.Make(short64(t.Wants)), unique.Make(short64(t.Held)), t.Seen})
		}
	}
	ours := make(map[string]hostJSON, len(s.byID))
	for id, o := range s.byID {
		if now.Sub(time.Unix(o.seen, 0)) > hostMemory {
			delete(s.byID, id)
			h.known.Add(-1)
			h.total.Add(-1)
			continue
		}
		ours[id] = hostJSON{o.version.Value(), o.wants.Value(), o.held.Value(), o.seen}
	}
	s.dirty, s.saved = false, now.Unix()
	return ours
}

// short64 is what is kept of a member of somebody's document that should be short.
func short64(s string) string { return s[:min(len(s), 64)] }
