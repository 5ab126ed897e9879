package fleet

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// counts are of this process, since it has begun.
type counts struct {
	mu        sync.Mutex
	asks      map[string]int64 // by answer
	conflicts atomic.Int64
	decisions atomic.Int64
	batches   atomic.Int64
	micros    atomic.Int64
}

func (c *counts) asked(answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asks == nil {
		c.asks = map[string]int64{}
	}
	c.asks[answer]++
}

func (c *counts) carried(n int, d time.Duration) {
	c.decisions.Add(int64(n))
	c.batches.Add(1)
	c.micros.Add(d.Microseconds())
}

// maxVersions is how many versions a group has in the metrics; the machines of all others are counted together.
const maxVersions = 20

// Metrics writes the state of all groups, and what this process has done, as text for Prometheus. Groups that the store
// does not give are left out, and theseus_fleet_store_up is 0. No label holds an id, a reason or anything else that a
// machine can choose, but for versions, of which there are at most twenty in a group.
func (c *Coordinator) Metrics(ctx context.Context, w io.Writer) error {
	var b strings.Builder
	type row struct{ labels, value string }
	family := func(name, kind, help string, rows []row) {
		if len(rows) == 0 {
			return
		}
		fmt.Fprintf(&b, "# HELP theseus_fleet_%s %s\n# TYPE theseus_fleet_%s %s\n", name, help, name, kind)
		for _, r := range rows {
			fmt.Fprintf(&b, "theseus_fleet_%s%s %s\n", name, r.labels, r.value)
		}
	}
	up := 1
	of := map[string][]row{}
	add := func(name, labels string, value any) { of[name] = append(of[name], row{labels, fmt.Sprint(value)}) }
	for _, g := range c.Groups() {
		s, err := c.Status(ctx, g.App, g.Name)
		if err != nil {
			up = 0
			continue
		}
		l := fmt.Sprintf("app=%s,group=%s", quote(g.App), quote(g.Name))
		halted, lost := 0, 0
		if s.Halted != nil {
			halted = 1
		}
		for _, h := range s.Holders {
			if h.Lost {
				lost++
			}
		}
		in := "{" + l + "}"
		add("halted", in, halted)
		add("slots", in, s.Slots)
		add("slots_taken", in, len(s.Holders))
		add("lost", in, lost)
		add("failed", in, len(s.Failed))
		add("proved", in, s.Proved)
		add("wave", in, s.Wave)
		add("hosts", in, s.Hosts)
		versions := slices.SortedFunc(maps.Keys(s.Versions), func(a, b string) int {
			return cmp.Or(cmp.Compare(s.Versions[b], s.Versions[a]), cmp.Compare(a, b))
		})
		other := 0
		for i, v := range versions {
			if i >= maxVersions {
				other += s.Versions[v]
				continue
			}
			add("host_versions", fmt.Sprintf("{%s,version=%s}", l, quote(cmp.Or(v, "unknown"))), s.Versions[v])
		}
		if other > 0 {
			add("host_versions", fmt.Sprintf("{%s,version=%s}", l, quote("other")), other)
		}
	}
	family("store_up", "gauge", "Whether the store has given every group.", []row{{"", fmt.Sprint(up)}})
	for _, f := range []struct{ name, help string }{
		{"halted", "Whether the group is halted, until somebody resumes it."},
		{"slots", "How many machines may be on their way at a time."},
		{"slots_taken", "Machines on their way, and those that have not come back."},
		{"lost", "Machines that have not come back in time; each keeps its slot."},
		{"failed", "Machines that have failed with the version that the group goes to."},
		{"proved", "Machines that run the version that the group goes to healthily."},
		{"wave", "The wave that is being filled, from 1."},
		{"hosts", "Machines that were seen in the last month."},
		{"host_versions", "Machines by the version that they run."},
	} {
		family(f.name, "gauge", f.help, of[f.name])
	}
	c.counts.mu.Lock()
	var asks []row
	for _, a := range slices.Sorted(maps.Keys(c.counts.asks)) {
		asks = append(asks, row{"{answer=" + quote(a) + "}", fmt.Sprint(c.counts.asks[a])})
	}
	c.counts.mu.Unlock()
	family("asks_total", "counter", "Answers of this process by what they said.", asks)
	family("store_conflicts_total", "counter", "Changes that had to be made again because another coordinator was faster.", []row{{"", fmt.Sprint(c.counts.conflicts.Load())}})
	family("decisions_total", "counter", "Decisions of this process.", []row{{"", fmt.Sprint(c.counts.decisions.Load())}})
	family("batches_total", "counter", "Changes and reads of a group that carried them.", []row{{"", fmt.Sprint(c.counts.batches.Load())}})
	family("batch_seconds_total", "counter", "Time that those took.", []row{{"", fmt.Sprintf("%.6f", float64(c.counts.micros.Load())/1e6)}})
	_, err := io.WriteString(w, b.String())
	return err
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
