package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"sync"
)

// A program and its state may be part of an image from which many machines are made. If all of them went by one
// identity, a rollout would reach all of them at once. So the state says on which machine it was written.

// machine names this machine, "" where the system has no lasting name for it. The system's own is to be kept from
// others (machine-id(5)), and the state is not.
var machine = sync.OnceValue(func() string {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostid"} {
		b, err := os.ReadFile(file)
		if b = bytes.TrimSpace(b); err == nil && len(b) >= 32 && !bytes.ContainsRune(b, '\n') {
			return hash("theseus machine", string(b))
		}
	}
	return ""
})

func hash(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// settleIn gives a state that was written on another machine an identity of its own. It is the same each time, so that
// several machines on one network file system do not draw a new one in turn.
func (s *State) settleIn(here string) {
	if here == "" || here == s.Machine {
		return
	}
	if s.Machine != "" {
		if s.Origin == "" {
			s.Origin = s.Installation
		}
		s.Installation = hash("theseus installation", s.Origin, here)
	}
	s.Machine = here
}
