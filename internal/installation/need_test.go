package installation

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/internal/state"
)

// A download gives way to each waiting process once; one that never takes its turn does not block updates.
func TestCourtesyIsOnce(t *testing.T) {
	i := install(t)
	c := i.Courtesy(ToChange)
	watched, end := c.Watch(t.Context())
	defer end()
	asks := state.Call(i.Home, string(ToUpdate)) // no reason to give way
	asks.Renew()
	defer asks.Close()
	if n := len(c.awaited()); n != 0 {
		t.Errorf("gives way to %d", n)
	}
	stopped := state.Call(i.Home, string(ToChange))
	stopped.Renew()
	defer stopped.Close()
	<-watched.Done()
	if err := context.Cause(watched); !errors.Is(err, ErrAwaited) {
		t.Fatal(err)
	}
	c.Serve(t.Context())
	if n := len(c.awaited()); n != 0 {
		t.Errorf("gives way to the same one again")
	}
	next := state.Call(i.Home, string(ToChange))
	next.Renew()
	if n := len(c.awaited()); n != 1 {
		t.Errorf("gives way to %d others", n)
	}
	next.Close()
	if n := len(c.awaited()); n != 0 {
		t.Errorf("gives way to %d who are gone", n)
	}
}

// The file of a waiting process that was killed no longer counts as waiting, and is swept.
func TestKilledCallerIsLitter(t *testing.T) {
	i := install(t)
	h := hold(t, i)
	name := durable.Unique("caller-" + string(ToChange))
	if err := os.WriteFile(i.Home+"/"+name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if callers := state.Callers(i.Home); len(callers) != 0 {
		t.Errorf("%v wait", callers)
	}
	if _, err := h.Settle(); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(i.Home)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if strings.HasPrefix(e.Name(), "caller-") {
			t.Errorf("%s is left", e.Name())
		}
	}
}
