// Command restart measures what clients notice when a server is replaced: Theseus beside what else there is, in one run.
//
//	go run . -handovers 100                  # the table of doc/benchmarks.md
//	go run . -short                          # seconds, for CI
//	go run . -only theseus -network unix
//	go run . -only theseus -delay 40ms -clients 200
//	go run . -external "name=/path/server {addr}"   # any server that hands over on SIGHUP and answers its process id
//
// "Failed" means: written or dialled, and no complete answer. Clients never retry and never look at a connection before
// they use it. A connection that the server has announced to close (Connection: close) is a reconnect, not a failure.
// It exits 1 if a Theseus row has a failure or, where connections are passed on, a reconnect.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	handovers = flag.Int("handovers", 25, "handovers of each server")
	interval  = flag.Duration("interval", 150*time.Millisecond, "between the end of one handover and the next")
	clients   = flag.Int("clients", 24, "clients that keep their connection; a quarter as many open a new one for each request")
	pause     = flag.Duration("pause", time.Millisecond, "of a client between two requests")
	delay     = flag.Duration("delay", 0, "round-trip delay, added by a relay")
	network   = flag.String("network", "tcp", "tcp or unix (Theseus and tableflip only)")
	probation = flag.Duration("probation", 50*time.Millisecond, "of Theseus")
	only      = flag.String("only", "", "servers to measure, separated by commas")
	external  = flag.String("external", "", "name=command of one more server; {addr} is replaced")
	short     = flag.Bool("short", false, "3 handovers each, Theseus and tableflip only")
	asJSON    = flag.Bool("json", false, "print one object per row")
)

func main() {
	if kind := os.Getenv(serverVar); kind != "" {
		serve(kind)
		return
	}
	flag.Parse()
	if *short {
		*handovers = 3
		if *only == "" {
			*only = "theseus,theseus-tls,tableflip"
		}
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/restart:", err)
		os.Exit(1)
	}
}

func run() error {
	list := peers()
	if *only != "" {
		list = slices.DeleteFunc(list, func(p peer) bool { return !slices.Contains(strings.Split(*only, ","), p.name) })
	}
	if len(list) == 0 {
		return fmt.Errorf("no server is called %s", *only)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if !*asJSON {
		fmt.Fprintf(table, "server\thandovers\tkept: requests\tfailed\treconnects\tnew: requests\tfailed\tp99 ms steady\tp99 ms handover\tnew process answers after ms p50/p99\n")
	}
	var bad []string
	for _, p := range list {
		if why := p.missing(); why != "" {
			fmt.Fprintf(table, "%s\tnot measured: %s\n", p.name, why)
			continue
		}
		res, err := measure(p)
		if err != nil {
			if p.mustHold {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			fmt.Fprintf(table, "%s\tnot measured: %v\n", p.name, err)
			continue
		}
		if *asJSON {
			if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f / %.1f\n", p.name, res.Handovers, res.Kept.Requests, res.Kept.Failed, res.Kept.Reconnects,
				res.New.Requests, res.New.Failed, res.SteadyP99, res.HandoverP99, res.FirstP50, res.FirstP99)
			for text, n := range res.Errors {
				fmt.Fprintf(os.Stderr, "%s: %d x %s\n", p.name, n, text)
			}
		}
		if p.mustHold && (res.Kept.Failed+res.New.Failed > 0 || p.passes && res.Kept.Reconnects > 0 || res.Kept.Requests == 0) {
			bad = append(bad, p.name)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(bad) > 0 {
		return fmt.Errorf("does not hold: %s", strings.Join(bad, ", "))
	}
	return nil
}

// peer is a server to compare with.
type peer struct {
	name     string
	start    func(dir, addr string) (*process, error)
	missing  func() string
	mustHold bool // it is ours: no failure
	passes   bool // and its clients never reconnect
	tls      bool
	http2    bool // streams whose bodies are sent once, on a few connections, instead of kept and new connections
}

func here() string { return "" }

func installed(tool string) func() string {
	return func() string {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
		return ""
	}
}

func notUnix(next func() string) func() string {
	return func() string {
		if *network == "unix" {
			return "TCP only"
		}
		return next()
	}
}

func peers() []peer {
	list := []peer{
		{name: "theseus", start: ownServer("theseus"), missing: here, mustHold: true, passes: true},
		{name: "theseus-tls", start: ownServer("theseus-tls"), missing: here, mustHold: true, tls: true},
		{name: "theseus-h2", start: ownServer("theseus-tls"), missing: here, mustHold: true, tls: true, http2: true},
		{name: "theseus-h2c", start: ownServer("theseus"), missing: here, mustHold: true, http2: true},
		{name: "tableflip-h2c", start: ownServer("tableflip"), missing: here, http2: true},
		{name: "tableflip", start: ownServer("tableflip"), missing: here}, // as in its README, with http.Server.Shutdown
		{name: "stop-start", start: ownServer("stop-start"), missing: here},
		{name: "reuseport", start: ownServer("reuseport"), missing: notUnix(here)}, // overlap of two processes
		{name: "nginx", start: nginx, missing: notUnix(installed("nginx"))},
		{name: "haproxy", start: haproxy, missing: notUnix(installed("haproxy"))},
	}
	if name, command, ok := strings.Cut(*external, "="); ok {
		list = append(list, peer{name: name, start: externalServer(command), missing: here})
	}
	return list
}
