package updater

import (
	"time"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// What is remembered of documents lies in the state file of the installation, and catalog reads it as a value.
// Neither knows the other: here is how one becomes the other.

// remembered takes from a state what it knows of a channel's documents.
func remembered(st *state.State, channel string) catalog.Memory {
	m := catalog.Memory{Floor: st.Floor}
	if st.Trust != nil {
		m.Trust = catalog.Trust{Version: st.Trust.Version, File: st.Trust.File}
	}
	for name, c := range st.Channels {
		known := &catalog.Channel{
			Seen: release.Seen{Sequence: c.Sequence, ID: signed(c.ID), Threshold: c.Threshold, Trust: c.Trust},
			File: c.File, Served: c.Served, Validator: fetch.Validator(c.Validator),
		}
		for _, key := range c.Signers {
			known.Signers = append(known.Signers, verify.Digest(key))
		}
		if name == channel {
			m.Channel = known
			continue
		}
		if m.Included == nil {
			m.Included = map[string]*catalog.Channel{}
		}
		m.Included[name] = known
	}
	return m
}

// record puts into a state what is to be remembered of a channel's documents. What a newer version of us keeps beside
// it stays.
func record(st *state.State, channel string, m catalog.Memory) {
	st.Floor = m.Floor
	switch {
	case m.Trust.Version == 0:
		st.Trust = nil
	case st.Trust == nil || st.Trust.Version != m.Trust.Version || st.Trust.File != m.Trust.File:
		st.Trust = &state.Trust{Version: m.Trust.Version, File: m.Trust.File}
	}
	recordChannel(st, channel, m.Channel)
	for name, c := range m.Included {
		recordChannel(st, name, c)
	}
}

func recordChannel(st *state.State, name string, c *catalog.Channel) {
	if c == nil {
		delete(st.Channels, name)
		return
	}
	now := &state.Channel{
		Sequence: c.Sequence, ID: onDisk(c.ID), Threshold: c.Threshold, Trust: c.Trust,
		File: c.File, Served: c.Served, Validator: state.Validator(c.Validator),
	}
	for _, key := range c.Signers {
		now.Signers = append(now.Signers, content.Digest(key))
	}
	if old := st.Channels[name]; old != nil {
		now.Unknown = old.Unknown
		// That it is served still is worth writing down once an hour: an idle poll writes nothing.
		if old.ID == now.ID && now.Served.Sub(old.Served) <= time.Hour {
			now.Served = old.Served
		}
	}
	st.Channels[name] = now
}

// What documents name and what lies on the disk are the same bytes in two vocabularies, because the packages that
// bring a program back know nothing of signatures.

func onDisk(id verify.ID) content.ID {
	return content.ID{Size: id.Size, SHA256: content.Digest(id.SHA256)}
}

func signed(id content.ID) verify.ID {
	return verify.ID{Size: id.Size, SHA256: verify.Digest(id.SHA256)}
}
