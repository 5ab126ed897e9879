package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/theseus-go/theseus/cmd/theseus-fleet/internal/store"
	"github.com/theseus-go/theseus/fleet"
	"github.com/theseus-go/theseus/internal/durable"
)

const openTimeout = 30 * time.Second

// open opens the store that the flags name.
func (s *server) open(ctx context.Context) (fleet.Store, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	switch {
	case s.etcd != "":
		c, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(s.etcd, ","), DialTimeout: 5 * time.Second, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second})
		if err != nil {
			return nil, nil, fmt.Errorf("connecting to etcd: %w", err)
		}
		return store.NewEtcd(c), func() { c.Close() }, nil
	case s.nats != "":
		nc, err := nats.Connect(s.nats, store.Options("theseus-fleet")...)
		if err != nil {
			return nil, nil, fmt.Errorf("connecting to NATS: %w", err)
		}
		n, err := store.OpenNATS(ctx, nc, s.replicas)
		for err != nil && ctx.Err() == nil { // a coordinator may be started before its store
			time.Sleep(100 * time.Millisecond)
			n, err = store.OpenNATS(ctx, nc, s.replicas)
		}
		if err != nil {
			nc.Close()
			return nil, nil, err
		}
		return n, nc.Close, nil
	}
	return s.embedded(ctx)
}

// embedded starts a NATS server in this process, which no other can reach.
func (s *server) embedded(ctx context.Context) (_ fleet.Store, _ func(), err error) {
	unlock, err := lock(s.data)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (fleet.Store, func(), error) { unlock(); return nil, nil, err }
	ns, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "theseus-fleet", DontListen: true, JetStream: true, StoreDir: s.data, NoSigs: true, NoLog: true,
		SyncAlways: true, // it acknowledges before it syncs otherwise, and a power cut takes slots back that were given
		MaxPayload: 2 * fleet.MaxDocument,
	})
	if err != nil {
		return fail(fmt.Errorf("starting the embedded NATS server: %w", err))
	}
	ns.Start()
	stop := func() {
		ns.Shutdown()
		ns.WaitForShutdown()
		unlock()
	}
	if !ns.ReadyForConnections(openTimeout) {
		stop()
		return nil, nil, fmt.Errorf("the embedded NATS server in %s does not start", s.data)
	}
	nc, err := nats.Connect("", append(store.Options("theseus-fleet"), nats.InProcessServer(ns))...)
	if err != nil {
		stop()
		return nil, nil, err
	}
	n, err := store.OpenNATS(ctx, nc, 1)
	if err != nil {
		nc.Close()
		stop()
		return nil, nil, err
	}
	return n, func() { nc.Close(); stop() }, nil
}

// lock keeps a second process out of the folder: a NATS server does not notice another one in it.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := durable.At(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := d.Make("theseus-fleet.lock", 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = d.Change("theseus-fleet.lock")
	}
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(f); err != nil {
		f.Close()
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("another process serves from %s; stop it, or give each a folder of its own", dir)
		}
		return nil, err
	}
	return func() { durable.Unlock(f); f.Close() }, nil
}
