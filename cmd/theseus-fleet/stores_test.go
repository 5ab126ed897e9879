//go:build unix

package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/theseus-go/theseus/internal/testenv"
)

// storeProcess is a real server, as a process that can be killed: the test binary runs it.
func storeProcess(kind, dir, address, peerAddress string) error {
	switch kind {
	case "nats":
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		s, err := natsserver.NewServer(&natsserver.Options{Host: host, Port: n, JetStream: true, StoreDir: dir, NoLog: true, SyncAlways: true, MaxPayload: 2 << 20})
		if err != nil {
			return err
		}
		s.Start()
	case "etcd":
		c := embed.NewConfig()
		c.Dir, c.LogLevel = dir, "error"
		client, peer := url.URL{Scheme: "http", Host: address}, url.URL{Scheme: "http", Host: peerAddress}
		c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		c.InitialCluster = c.InitialClusterFromName(c.Name)
		if _, err := embed.StartEtcd(c); err != nil {
			return err
		}
	}
	select {}
}

// Forty machines on three slots at two coordinators with one store, which is killed five times, while one coordinator hands
// over to its successor: all get through, and never more than three at once.
func TestStoreKilledFiveTimes(t *testing.T) {
	testenv.NeedEffort(t, testenv.Full) // it waits for outages to be noticed
	for _, kind := range []string{"nats", "etcd"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			var addresses [2]string
			var free []net.Listener
			for i := range addresses {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				free = append(free, ln)
				addresses[i] = ln.Addr().String()
			}
			for _, ln := range free {
				ln.Close()
			}
			address := addresses[0]
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			run := func() *exec.Cmd {
				cmd := exec.Command(exe)
				cmd.Env = append(os.Environ(), "THESEUS_FLEET_TEST="+kind, "STORE_DIR="+dir+"/store", "STORE_ADDRESS="+address, "STORE_PEER="+addresses[1])
				cmd.Stderr = os.Stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				return cmd
			}
			store := run()
			defer func() { store.Process.Kill(); store.Wait() }()
			where := address
			if kind == "nats" {
				where = "nats://" + address
			}
			groups := "web: canary 1, then all; max 3 at once; halt after 5 failures; deadline 1h\n"
			two := []*served{start(t, groups, "--"+kind, where), start(t, groups, "--"+kind, where)}
			var inside, most, done atomic.Int64
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					id := fmt.Sprint("h", i)
					until := func(path string) {
						for n := i; ; n++ {
							if code, _ := two[n%2].post(path, body(id, "1.1.0")); code == 200 {
								return
							}
							time.Sleep(20 * time.Millisecond)
						}
					}
					until("/v1/pre-reboot")
					now := inside.Add(1)
					for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
					}
					time.Sleep(50 * time.Millisecond) // what a machine has to do
					inside.Add(-1)
					until("/v1/steady-state")
					done.Add(1)
				})
			}
			for kills := int64(1); kills <= 5; kills++ {
				for done.Load() < kills*6 {
					time.Sleep(5 * time.Millisecond)
				}
				if kills == 2 {
					syscall.Kill(two[1].pid, syscall.SIGHUP)
				}
				store.Process.Kill()
				store.Wait()
				store = run()
			}
			wg.Wait()
			if most.Load() > 3 || done.Load() != 40 {
				t.Errorf("%d at once, %d done", most.Load(), done.Load())
			}
			for _, s := range two {
				s.answers()
				if g := s.status(); g.Proved != 40 || len(g.Holders) != 0 || len(g.Failed) != 0 || g.Halted != nil {
					t.Errorf("%+v", g)
				}
			}
		})
	}
}
