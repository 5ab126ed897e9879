package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/durable"
)

// callerPrefix begins the name of a caller's file, caller-WHY.RANDOM.tmp. As such a name is litter once its process is gone,
// Target.Sweep removes what a killed one left.
const callerPrefix = "caller-"

// A Caller lets whoever holds the lock know that somebody waits for it, and what for: by a file of its own in HOME, which is
// locked for as long as its process waits, however that ends. Where it cannot be made, the process waits unnoticed.
type Caller struct {
	home, why string
	file      *os.File // nil: there is none, or not yet
}

// Call returns a caller that is not heard yet; why is one word.
func Call(home, why string) *Caller { return &Caller{home: home, why: why} }

// Renew makes the file if it is missing: the first time, and when it was swept as it was just being made.
func (c *Caller) Renew() {
	place, err := beside.Enter(c.home)
	if err != nil {
		return
	}
	defer place.Close()
	if c.file != nil {
		if _, err := place.Home.Lstat(filepath.Base(c.file.Name())); err == nil {
			return
		}
		c.close()
	}
	f, err := place.Home.Create(callerPrefix + c.why)
	if err != nil {
		return
	}
	c.file = f
	if durable.Lock(f) != nil { // the holder is just asking whether it is locked, or there are no locks
		_ = place.Home.Remove(filepath.Base(f.Name()))
		c.close()
	}
}

// Close ends the call.
func (c *Caller) Close() {
	if c.file == nil {
		return
	}
	name := filepath.Base(c.file.Name())
	c.close()
	if place, err := beside.Change(c.home); err == nil {
		if place.Home != nil {
			_ = place.Home.Remove(name)
		}
		place.Close()
	}
}

func (c *Caller) close() {
	_ = durable.Unlock(c.file)
	_ = c.file.Close()
	c.file = nil
}

// Callers are those who wait for the lock now: what for, by a name that nobody else ever has.
func Callers(home string) map[string]string {
	place, err := beside.Open(home)
	if err != nil {
		return nil
	}
	defer place.Close()
	if place.Home == nil {
		return nil
	}
	names, _ := place.Home.Names()
	callers := map[string]string{}
	for _, name := range names {
		prefix, ok := durable.IsUnique(name)
		why, call := strings.CutPrefix(prefix, callerPrefix)
		if ok && call && isLocked(place, name) {
			callers[name] = why
		}
	}
	return callers
}

func isLocked(place *beside.Place, name string) bool {
	f, err := place.Read(name)
	if err != nil {
		return false
	}
	defer f.Close()
	err = durable.Lock(f)
	if err == nil {
		_ = durable.Unlock(f)
	}
	return errors.Is(err, durable.ErrLocked)
}
