// Package store keeps a fleet's documents in NATS JetStream or in etcd.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/theseus-go/theseus/fleet"
)

// Bucket is the name of the key-value bucket.
const Bucket = "theseus-fleet"

// NATS is a fleet.Store on a key-value bucket of JetStream. A server that is away is noticed by a call's timeout alone, so
// every call needs one.
type NATS struct{ kv jetstream.KeyValue }

// OpenNATS opens the bucket, and makes it if it is not there: on so many servers of the cluster.
func OpenNATS(ctx context.Context, nc *nats.Conn, replicas int) (*NATS, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	// One that is there stays as its operator has made it.
	kv, err := js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: Bucket, Description: "theseus-fleet: who of many machines goes first", History: 1, Replicas: replicas, MaxValueSize: fleet.MaxDocument + 1024,
		})
		if errors.Is(err, jetstream.ErrBucketExists) { // another coordinator was faster
			kv, err = js.KeyValue(ctx, Bucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the bucket %s: %w", Bucket, err)
	}
	return &NATS{kv}, nil
}

// Get implements fleet.Store.
func (n *NATS) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	e, err := n.kv.Get(ctx, natsKey(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return e.Value(), e.Revision(), nil
}

// CompareAndSwap implements fleet.Store.
func (n *NATS) CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if revision == 0 {
		next, err = n.kv.Create(ctx, natsKey(key), value)
	} else {
		next, err = n.kv.Update(ctx, natsKey(key), value, revision)
	}
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, fleet.ErrConflict
	}
	return next, err
}

// natsKey keeps apart what a subject would not: it is one token, so that no dot begins another.
func natsKey(key string) string {
	b := make([]byte, 0, len(key)+8)
	for i := range len(key) {
		switch c := key[i]; c {
		case '.':
			b = append(b, "=2e"...)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// Options of a connection that outlives every outage.
func Options(name string) []nats.Option {
	return []nats.Option{nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true), nats.Timeout(5 * time.Second)}
}
