// Command fleet simulates fleets of a thousand to a million machines with fleet's own coordinators, and prints the tables
// of doc/fleet.md. Only machines, clocks and the network are simulated.
//
//	cd bench/fleet && GOWORK=off go run .                 a thousand machines: the tables
//	cd bench/fleet && GOWORK=off go run . -hosts 1000000  one size, and what goes wrong under way
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

const careful = "canary 5, soak 1h, then 10 %, then 25 %, then all; max 5 % at once; halt after 3 failures; deadline 5m"

var (
	policies = []struct{ name, text string }{
		{"everybody at once", "max all at once; halt after 1000 failures; deadline 5m"},
		{"5 % at once, halt after 3", "max 5 % at once; halt after 3 failures; deadline 5m"},
		{"and a canary of 5", "canary 5, then all; max 5 % at once; halt after 3 failures; deadline 5m"},
		{"canary of 1, halt after 1", "canary 1, then all; max 5 % at once; halt after 1 failure; deadline 5m"},
		{"canary of 5, soak 1h", "canary 5, soak 1h, then all; max 5 % at once; halt after 3 failures; deadline 5m"},
		{"and waves of 10 and 25 %", careful},
	}
	releases = []struct {
		name string
		release
	}{
		{"good", release{}},
		{"kills the machine", release{kills: 1}},
		{"kills 2 %", release{kills: .02}},
		{"undone in probation", release{undone: 1}},
		{"breaks 30 min later", release{breaks: 1}},
	}
	mishaps = []struct {
		name string
		edit func(*world)
	}{
		{"nothing", func(*world) {}},
		{"a third comes an hour late", func(w *world) { w.lateArrivers = .33 }},
		{"1 % are clones of others", func(w *world) { w.clones = w.hosts / 100 }},
		{"one coordinator is 30 s ahead", func(w *world) { w.skew = 30 * time.Second }},
		{"5 % of answers are lost", func(w *world) { w.lostAnswers = .05 }},
		{"one coordinator is cut off for 30 min", func(w *world) { w.partition = true }},
	}
)

func main() {
	hosts := flag.Int("hosts", 0, "one fleet of this size, under the most careful policy, with every mishap")
	asJSON := flag.Bool("json", false, "print results as JSON, one a line")
	flag.Parse()
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 1, ' ', 0)
	failed := false
	show := func(name string, w world) result {
		r, err := run(w, 7)
		if err != nil {
			r.Wrong = append(r.Wrong, err.Error())
		}
		if *asJSON {
			json.NewEncoder(os.Stdout).Encode(struct {
				Name string `json:"name"`
				result
			}{name, r})
		}
		for _, wrong := range r.Wrong {
			failed = true
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, wrong)
		}
		return r
	}
	row := func(cells ...any) {
		if !*asJSON {
			for _, c := range cells {
				fmt.Fprintf(out, "| %v\t", c)
			}
			fmt.Fprintln(out, "|")
		}
	}
	if *hosts == 0 {
		head := []any{"1,000 machines: harmed by a release that"}
		for _, r := range releases[1:] {
			head = append(head, r.name)
		}
		row(append(head, "a good one, 99 % have it after")...)
		for _, p := range policies {
			cells := []any{p.name}
			for _, r := range releases[1:] {
				cells = append(cells, show(p.name+", "+r.name, world{hosts: 1000, coordinators: 2, policy: p.text, release: r.release}).Hurt)
			}
			good := show(p.name+", good", world{hosts: 1000, coordinators: 2, policy: p.text})
			row(append(cells, minutes(good.Nearly))...)
		}
		out.Flush()
		fmt.Println()
		*hosts = 1000
	}
	row(fmt.Sprintf("%d machines, a good release", *hosts), "proved", "most at once", "asks for each", "50 % after", "99 % after")
	for _, m := range mishaps {
		w := world{hosts: *hosts, coordinators: 2, policy: careful}
		m.edit(&w)
		r := show(m.name, w)
		row(m.name, r.Proved, fmt.Sprintf("%d of %d", r.Most, r.Slots), fmt.Sprintf("%.1f", float64(r.Asks)/float64(r.Hosts)), minutes(r.Half), minutes(r.Nearly))
	}
	bad := show("kills", world{hosts: *hosts, coordinators: 2, policy: careful, release: release{kills: 1}, days: 1})
	row("a release that kills machines", bad.Proved, fmt.Sprintf("%d killed", bad.Killed), fmt.Sprintf("%.1f", float64(bad.Asks)/float64(bad.Hosts)), "halted", bad.Halted)
	out.Flush()
	if failed {
		os.Exit(1)
	}
}

func minutes(d time.Duration) string {
	if d == 0 {
		return "never"
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
