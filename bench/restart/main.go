// Command restart measures what clients notice when a server is replaced: Theseus beside what else there is, in one run.
//
//	GOWORK=off go run . -all -handovers 100             # every table of doc/benchmarks.md
//	GOWORK=off go run . -handovers 100                  # the first: HTTP/1 on this machine
//	GOWORK=off go run . -only theseus,nginx -delay 40ms -clients 200
//	GOWORK=off go run . -only theseus-h2 -slow 2s
//	GOWORK=off go run . -steady 10                      # what Serve costs between handovers
//	GOWORK=off go run . -external "name=/path/server {addr}"   # any server that hands over on SIGHUP and answers its process id
//
// "Failed" means: written or dialled, and no complete answer. Clients never retry and never look at a connection before
// they use it. A connection that the server has announced to close (Connection: close) is a reconnect, not a failure.
// It exits 1 if a row of Theseus has a failure or, where connections are passed on, a reconnect.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	base     setting
	all      = flag.Bool("all", false, "every table, each with the settings it needs")
	only     = flag.String("only", "", "servers to measure, separated by commas")
	external = flag.String("external", "", "name=command of one more server; {addr} is replaced")
	turns    = flag.Int("steady", 0, "compare Serve with net/http alone, without handovers: turns of a second each (needs wrk)")
	asJSON   = flag.Bool("json", false, "print one object per row")
)

func init() {
	flag.IntVar(&base.handovers, "handovers", 25, "handovers of each server")
	flag.DurationVar(&base.interval, "interval", 150*time.Millisecond, "between the end of one handover and the next")
	flag.IntVar(&base.clients, "clients", 24, "clients that keep their connection; a quarter as many open a new one for each request")
	flag.DurationVar(&base.pause, "pause", time.Millisecond, "of a client between two requests")
	flag.DurationVar(&base.delay, "delay", 0, "round-trip delay, added by a relay")
	flag.DurationVar(&base.slow, "slow", 0, "that each answer takes (HTTP/2 and gRPC)")
	flag.StringVar(&base.network, "network", "tcp", "tcp or unix")
	flag.DurationVar(&base.probation, "probation", 50*time.Millisecond, "of Theseus")
}

func main() {
	if kind := os.Getenv(serverVar); kind != "" {
		if err := serve(kind); err != nil {
			fmt.Fprintln(os.Stderr, kind+":", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	do := run
	if *turns > 0 {
		do = func() error { return steady(*turns) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/restart:", err)
		os.Exit(1)
	}
}

// table is some servers, measured alike.
type table struct {
	title   string
	servers []string
	set     func(*setting)
}

// tables are those of doc/benchmarks.md.
var tables = []table{
	{"HTTP/1 over TCP", []string{"theseus", "theseus-tls", "tableflip", "endless", "overseer", "reuseport", "stop-start", "nginx", "haproxy"}, nil},
	{"HTTP/1 over unix sockets", []string{"theseus", "tableflip"}, func(s *setting) { s.network, s.interval = "unix", 300*time.Millisecond }},
	{"HTTP/1 with 40 ms of round trip, 200 clients", []string{"theseus", "tableflip", "endless", "nginx", "haproxy"}, func(s *setting) {
		s.delay, s.clients, s.handovers, s.interval = 40*time.Millisecond, 200, min(s.handovers, 25), time.Second
	}},
	{"HTTP/2, bodies that are sent once", []string{"theseus-h2", "theseus-h2c", "tableflip-h2", "tableflip-h2c"}, func(s *setting) {
		s.handovers, s.interval = min(s.handovers, 25), time.Second
	}},
	{"HTTP/2 with 40 ms of round trip", []string{"theseus-h2", "theseus-h2c", "tableflip-h2c"}, func(s *setting) {
		s.delay, s.handovers, s.interval = 40*time.Millisecond, min(s.handovers, 25), time.Second
	}},
	{"HTTP/2 with answers that take 2 s", []string{"theseus-h2", "theseus-h2c", "tableflip-h2c"}, func(s *setting) {
		s.slow, s.handovers, s.clients, s.interval = 2*time.Second, min(s.handovers, 5), 96, 3*time.Second
	}},
	{"gRPC, one call or a stream of ten", []string{"theseus-grpc", "theseus-grpc-stream", "tableflip-grpc", "tableflip-grpc-stream"}, func(s *setting) { s.handovers = min(s.handovers, 25) }},
	{"event streams", []string{"theseus-events"}, func(s *setting) { s.handovers, s.interval = min(s.handovers, 25), 500*time.Millisecond }},
	{"wrk -c32", []string{"theseus-wrk", "tableflip-wrk", "nginx-wrk", "haproxy-wrk"}, func(s *setting) { s.handovers = min(s.handovers, 25) }},
}

func run() error {
	if base.network != "tcp" && base.network != "unix" {
		return fmt.Errorf("-network is tcp or unix, not %q", base.network)
	}
	list := tables[:1]
	if *all {
		list = tables
	}
	names := peers()
	if *only != "" {
		servers := strings.Split(*only, ",")
		for _, s := range servers {
			if _, ok := names[s]; !ok {
				return fmt.Errorf("no server is called %s", s)
			}
		}
		for i := range list {
			if *all {
				list[i].servers = slices.DeleteFunc(list[i].servers, func(s string) bool { return !slices.Contains(servers, s) })
			} else {
				list[i].servers = servers
			}
		}
	}
	if name, command, ok := strings.Cut(*external, "="); ok {
		names[name] = peer{start: externalServer(command), load: http1(false)}
		list[0].servers = append(list[0].servers, name)
	}
	var bad []string
	for _, t := range list {
		set := base
		if *all && t.set != nil {
			t.set(&set)
		}
		if len(t.servers) > 0 {
			if *all && !*asJSON {
				fmt.Printf("\n%s\n", t.title)
			}
			failed, err := t.measure(names, set)
			if err != nil {
				return err
			}
			bad = append(bad, failed...)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("does not hold: %s", strings.Join(bad, ", "))
	}
	return nil
}

// measure prints the table, and returns what should have held and does not.
func (t table) measure(names map[string]peer, set setting) (bad []string, err error) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	if !*asJSON {
		fmt.Fprintf(out, "server\thandovers\tkept: requests\tfailed\treconnects\tnew: requests\tfailed\tp99 ms steady\tat a handover\tnew process answers after ms p50\tp99\n")
	}
	for _, name := range t.servers {
		p := names[name]
		p.name = name
		why := p.missing(set)
		var res result
		if why == "" {
			if res, err = measure(p, set); err != nil && p.mustHold {
				return nil, fmt.Errorf("%s: %w", name, err)
			} else if err != nil {
				why = err.Error()
			}
		}
		switch {
		case why != "":
			fmt.Fprintf(out, "%s\tnot measured: %s\n", name, why)
			continue
		case *asJSON:
			if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
				return nil, err
			}
		default:
			fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f", name, res.Handovers, res.Kept.Requests, res.Kept.Failed, res.Kept.Reconnects,
				res.New.Requests, res.New.Failed, res.SteadyP99, res.HandoverP99, res.FirstP50, res.FirstP99)
			if res.EndMax > 0 {
				fmt.Fprintf(out, "\tstreams end %.1f ms after the signal, at most %.1f", res.EndP50, res.EndMax)
			}
			fmt.Fprintln(out)
		}
		for text, n := range res.Errors {
			fmt.Fprintf(os.Stderr, "%s: %d x %s\n", name, n, text)
		}
		if p.mustHold && (res.Kept.Failed+res.New.Failed > 0 || p.passes && res.Kept.Reconnects > 0 || res.Kept.Requests == 0) {
			bad = append(bad, name)
		}
	}
	return bad, nil
}
