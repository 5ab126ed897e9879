package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/theseus-go/theseus/fleet"
)

// prefix is where our keys are in an etcd that others use too.
const prefix = "theseus-fleet/"

// Etcd is a fleet.Store on etcd. No leases: etcd's own documentation says that they give no mutual exclusion, and
// deadlines are in the documents.
type Etcd struct{ c *clientv3.Client }

// NewEtcd returns a store on the client's cluster.
func NewEtcd(c *clientv3.Client) *Etcd { return &Etcd{c} }

// Get implements fleet.Store. It is linearizable: what a CompareAndSwap has returned is seen.
func (e *Etcd) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	r, err := e.c.Get(ctx, prefix+key)
	if err != nil {
		return nil, 0, err
	}
	if len(r.Kvs) == 0 {
		return nil, 0, nil
	}
	return r.Kvs[0].Value, uint64(r.Kvs[0].ModRevision), nil
}

// CompareAndSwap implements fleet.Store.
func (e *Etcd) CompareAndSwap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	r, err := e.c.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(prefix+key), "=", int64(revision))).
		Then(clientv3.OpPut(prefix+key, string(value))).
		Commit()
	if err != nil {
		return 0, err
	}
	if !r.Succeeded {
		return 0, fleet.ErrConflict
	}
	return uint64(r.Header.Revision), nil
}
