package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

// What verify --as does: be a client of a certain platform and version, and take one update after the other, by the code
// that clients decide with, until there is no other. Publishers see so who gets stuck before their users do.

// clientPath is where such a client goes.
type clientPath struct {
	Client  string            `json:"client"` // OS/ARCH@VERSION
	Channel string            `json:"channel"`
	Path    []step            `json:"path"`              // the updates it takes, in order
	Stopped *stop             `json:"stopped,omitempty"` // why it does not reach the newest; absent if it does
	Explain []release.Verdict `json:"explain,omitempty"` // of its last look
}

type step struct {
	To       string `json:"to"`
	Download int64  `json:"download"` // bytes of the smallest whole download
	Critical bool   `json:"critical,omitempty"`
	Back     bool   `json:"back,omitempty"` // the signed way down from a withdrawn release
}

type stop struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Reason  string `json:"reason"`

	waits bool // on purpose, and for a while
}

// Replayed is where clients would get to.
type Replayed struct {
	OK      bool         `json:"ok"` // nobody is stuck
	App     string       `json:"app"`
	Clients []clientPath `json:"clients"`
}

func (r *Replayed) Print(w io.Writer) {
	for _, c := range r.Clients {
		fmt.Fprintf(w, "%s in channel %s of %s\n", c.Client, c.Channel, r.App)
		for _, s := range c.Path {
			how := ""
			if s.Critical {
				how += ", critical"
			}
			if s.Back {
				how += ", back from a withdrawn release"
			}
			fmt.Fprintf(w, "  -> %s  (%s%s)\n", s.To, ui.Bytes(s.Download), how)
		}
		if c.Stopped == nil {
			fmt.Fprintln(w, "  and is current.")
			continue
		}
		fmt.Fprintf(w, "  and does not get to %s, because of the rule %q: %s\n", c.Stopped.Version, c.Stopped.Rule, c.Stopped.Reason)
		ui.Table(w, func(w io.Writer) {
			for _, rule := range c.Explain {
				verdict := "ok"
				if !rule.Passed {
					verdict = "STOP"
				}
				fmt.Fprintf(w, "    %s\t%s\t%s\t%s\t%s\n", verdict, rule.Release, rule.Rule, rule.Input, rule.Detail)
			}
		})
	}
	if n := len(r.stuck()); n > 0 {
		fmt.Fprintf(w, "%d of %s cannot get to the newest release.\n", n, ui.Plural(len(r.Clients), "client"))
	}
}

// stuck returns the clients that are held back by something that does not end by itself.
func (r *Replayed) stuck() (clients []string) {
	for _, c := range r.Clients {
		if c.Stopped != nil && !c.Stopped.waits {
			clients = append(clients, c.Client)
		}
	}
	return clients
}

// replay judges one client, or every one that the channel's own releases have made (as is "all").
func (v *verifier) replay(ctx context.Context, c *release.Channel, as []string) (*Replayed, error) {
	manifests := map[string]*release.Manifest{}
	open := func(e release.Entry) (m *release.Manifest, err error) {
		if m = manifests[e.Version.String()]; m != nil {
			return m, nil
		}
		m, _, err = v.docs.Manifest(ctx, e)
		manifests[e.Version.String()] = m
		return m, err
	}
	var clients []release.Client
	for _, spec := range as {
		if spec == "all" {
			for _, e := range c.Entries {
				m, err := open(e)
				if err != nil {
					return nil, err
				}
				for _, a := range m.Artifacts {
					clients = append(clients, release.Client{Platform: a.Platform, Installed: e.Version})
				}
			}
			continue
		}
		client, err := parseClient(spec)
		if err != nil {
			return nil, err
		}
		clients = append(clients, *client)
	}
	r := &Replayed{App: v.App}
	for _, client := range clients {
		client.Now = v.clock.Now()
		one, err := walk(c, client, open)
		if err != nil {
			return nil, err
		}
		r.Clients = append(r.Clients, *one)
	}
	r.OK = len(r.stuck()) == 0
	return r, nil
}

// walk takes one update after the other.
func walk(c *release.Channel, client release.Client, open func(release.Entry) (*release.Manifest, error)) (*clientPath, error) {
	r := &clientPath{Client: client.Platform.String() + "@" + client.Installed.String(), Channel: c.Name, Path: []step{}}
	been := []string{client.Installed.String()}
	for {
		offer, rules, err := release.Select(c, client, open)
		r.Explain = rules
		if nothing, ok := errors.AsType[*release.Nothing](err); ok {
			r.Stopped = &stop{nothing.Rule, nothing.Version.String(), nothing.Reason, nothing.Waits()}
			return r, nil
		}
		if err != nil {
			return nil, err
		}
		if offer == nil {
			r.Explain = nil
			return r, nil
		}
		to := offer.Manifest.Version
		if slices.Contains(been, to.String()) {
			r.Stopped = &stop{"newer", to.String(), "the channel sends it in a circle: " + strings.Join(append(been, to.String()), ", "), false}
			return r, nil
		}
		been = append(been, to.String())
		s := step{To: to.String(), Critical: offer.Critical, Back: offer.Downgrade}
		for _, d := range offer.Artifact.Downloads {
			if d.Encoding != release.Delta && (s.Download == 0 || d.Stored.Size < s.Download) {
				s.Download = d.Stored.Size
			}
		}
		r.Path = append(r.Path, s)
		client.Installed = to
	}
}

// parseClient reads OS/ARCH[/VARIANT]@VERSION.
func parseClient(spec string) (*release.Client, error) {
	platform, version, ok := strings.Cut(spec, "@")
	parts := strings.Split(platform, "/")
	if !ok || len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return nil, ui.Usage("--as %s: want OS/ARCH[/VARIANT]@VERSION, for example linux/amd64@1.0.0, or all", spec)
	}
	installed, err := release.ParseVersion(version)
	if err != nil {
		return nil, ui.Usage("--as %s: %w", spec, err)
	}
	c := &release.Client{Installed: installed}
	c.OS, c.Arch = parts[0], parts[1]
	if len(parts) == 3 {
		c.Variant = parts[2]
	}
	return c, nil
}
