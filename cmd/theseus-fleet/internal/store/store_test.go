package store

import (
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/theseus-go/theseus/internal/testfleet"
)

func TestNATS(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, SyncAlways: true, MaxPayload: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats does not start")
	}
	open := func() *NATS {
		nc, err := nats.Connect(s.ClientURL(), Options("test")...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		n, err := OpenNATS(t.Context(), nc, 1)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	testfleet.Store(t, open(), open())
}

func TestEtcd(t *testing.T) {
	free := func() url.URL {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return url.URL{Scheme: "http", Host: ln.Addr().String()}
	}
	c := embed.NewConfig()
	c.Dir, c.LogLevel = t.TempDir(), "error"
	client, peer := free(), free()
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	open := func() *Etcd {
		cl, err := clientv3.New(clientv3.Config{Endpoints: []string{client.Host}, DialTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cl.Close() })
		return NewEtcd(cl)
	}
	testfleet.Store(t, open(), open())
}
