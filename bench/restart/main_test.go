package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(serverVar); kind != "" {
		if err := serve(kind); err != nil {
			fmt.Fprintln(os.Stderr, kind+":", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestShort measures our own servers over a few handovers, in every table: none loses a request.
func TestShort(t *testing.T) {
	base = setting{handovers: 3, interval: 50 * time.Millisecond, clients: 8, pause: time.Millisecond, network: "tcp", probation: 50 * time.Millisecond}
	names := peers()
	for _, table := range tables {
		table.servers = slices.DeleteFunc(slices.Clone(table.servers), func(s string) bool { return !names[s].mustHold || names[s].missing(base) != "" })
		t.Run(table.title, func(t *testing.T) {
			set := base
			if table.set != nil {
				table.set(&set)
				set.clients, set.interval = min(set.clients, 24), min(set.interval, 200*time.Millisecond)
				set.slow = min(set.slow, 200*time.Millisecond)
			}
			bad, err := table.measure(names, set)
			if err != nil || len(bad) > 0 {
				t.Errorf("does not hold: %v (%v)", bad, err)
			}
		})
	}
}

// TestPeerLoses: the clients notice what is lost. A server that is stopped and started anew loses requests, whatever the
// machine does.
func TestPeerLoses(t *testing.T) {
	set := setting{handovers: 2, interval: 50 * time.Millisecond, clients: 8, pause: time.Millisecond, network: "tcp"}
	res, err := measure(peers()["stop-start"], set)
	if err != nil {
		t.Fatal(err)
	}
	if res.Kept.Failed == 0 && res.New.Failed == 0 {
		t.Error("no request of a server that was stopped has failed")
	}
}
