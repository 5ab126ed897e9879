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
	if c := st.Channels[channel]; c != nil {
		m.Channel = &catalog.Channel{
			Seen: release.Seen{Sequence: c.Sequence, ID: signed(c.ID), Threshold: c.Threshold, Trust: c.Trust},
			File: c.File, Served: c.Served, Validator: fetch.Validator(c.Validator),
		}
		for _, key := range c.Signers {
			m.Channel.Signers = append(m.Channel.Signers, verify.Digest(key))
		}
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
	if m.Channel == nil {
		delete(st.Channels, channel)
		return
	}
	now := &state.Channel{
		Sequence: m.Channel.Sequence, ID: onDisk(m.Channel.ID), Threshold: m.Channel.Threshold, Trust: m.Channel.Trust,
		File: m.Channel.File, Served: m.Channel.Served, Validator: state.Validator(m.Channel.Validator),
	}
	for _, key := range m.Channel.Signers {
		now.Signers = append(now.Signers, content.Digest(key))
	}
	if old := st.Channels[channel]; old != nil {
		now.Unknown = old.Unknown
		// That it is served still is worth writing down once an hour: an idle poll writes nothing.
		if old.ID == now.ID && now.Served.Sub(old.Served) <= time.Hour {
			now.Served = old.Served
		}
	}
	st.Channels[channel] = now
}

// What documents name and what lies on the disk are the same bytes in two vocabularies, because the packages that
// bring a program back know nothing of signatures.

func onDisk(id verify.ID) content.ID {
	return content.ID{Size: id.Size, SHA256: content.Digest(id.SHA256)}
}

func signed(id content.ID) verify.ID {
	return verify.ID{Size: id.Size, SHA256: verify.Digest(id.SHA256)}
}
