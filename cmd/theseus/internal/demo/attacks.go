package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// An attack is something that a server, or whoever sits between it and the program, may try.
type attack struct {
	id   string // in doc/threats.md, and in the table that the tests carry out whole
	name string
	mean string // what it would achieve
	want string // in the error
	do   func(s *stage, genuine *genuine) error
}

// genuine is what the publisher has signed before the attacks begin.
type genuine struct {
	signer  verify.Signer
	channel *release.Channel
	newest  *publisher.Published // 1.4.0
	old     []byte               // the channel document of long ago
	first   []byte               // the manifest of 1.1.0
}

var demoAttacks = []attack{
	{
		"A02", "1.4.0 tampered with", "one byte of the program is changed on the way", "not what was signed",
		func(s *stage, g *genuine) error {
			path := g.newest.Artifacts[0].Path
			b, err := os.ReadFile(filepath.Join(s.repo, filepath.FromSlash(path)))
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			s.mirror.lie(path, b)
			return nil
		},
	},
	{
		"A03", "an old channel document replayed", "the program is kept from newer releases", "older than",
		func(s *stage, g *genuine) error {
			s.mirror.lie("stable", g.old)
			return nil
		},
	},
	{
		"A06", "an expired channel document", "the program is frozen at what was new once", "expired",
		func(s *stage, g *genuine) error {
			c := *g.channel
			c.Sequence += 10
			c.Issued, c.Expires = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
			return s.lieChannel(&c, g.signer)
		},
	},
	{
		"A13", "another app's manifest", "the program is replaced by another one of the same publisher", "another app",
		func(s *stage, g *genuine) error {
			b, err := os.ReadFile(filepath.Join(s.repo, "releases", "1.4.0.manifest"))
			if err != nil {
				return err
			}
			keys, err := verify.NewKeys(1, g.signer.Key())
			if err != nil {
				return err
			}
			v, err := release.ParseVersion("1.4.0")
			if err != nil {
				return err
			}
			m, err := release.OpenManifest(b, keys, demoApp, *g.channel.Entry(v))
			if err != nil {
				return err
			}
			m.App = "other"
			return s.lieRelease(g, m, "1.4.0")
		},
	},
	{
		"A04", "an old release under a new version", "a program with known holes comes back as an update (CVE-2026-95625)", "old release with a new label",
		func(s *stage, g *genuine) error {
			return s.offer(g, g.first, "9.0.0")
		},
	},
	{
		"A01", "a release signed with the wrong key", "the attacker's own program is installed", "none of which is trusted",
		func(s *stage, g *genuine) error {
			private, err := attackersKey()
			if err != nil {
				return err
			}
			c := *g.channel
			c.Sequence += 20
			return s.lieChannel(&c, private)
		},
	},
	{
		"N01", "a login page in place of the document", "nothing; a captive portal does it", "HTML page",
		func(s *stage, _ *genuine) error {
			s.mirror.lie("stable", []byte("<!DOCTYPE html><html><body>Please log in to the hotel's network.</body></html>"))
			return nil
		},
	},
}

// attacks serves one lie after the other to a program that has never seen 1.4.0 and asks for it.
func (d *demo) attacks() error {
	g, err := d.genuine()
	if err != nil {
		return err
	}
	for _, a := range demoAttacks {
		if err := a.do(d.stage, g); err != nil {
			return fmt.Errorf("preparing %s: %w", a.name, err)
		}
		d.tell.fact("%s: %s", a.name, a.mean)
		if err := d.attempt(a.name, ui.ExitRefused, a.want); err != nil {
			return err
		}
		d.mirror.restore()
	}
	return nil
}

// attempt lets the stopped program ask for an update that it must refuse, and sees that nothing of it has changed.
func (d *demo) attempt(name string, wantCode int, want string) error {
	before, err := os.ReadFile(d.copy.path)
	if err != nil {
		return err
	}
	code, message, err := d.copy.update(d.ctx)
	if err != nil {
		return err
	}
	after, err := os.ReadFile(d.copy.path)
	if err != nil {
		return err
	}
	names, err := d.copy.folder()
	if err != nil {
		return err
	}
	d.report.Refused = append(d.report.Refused, refusedAttack{name, message})
	bad := len(d.report.Problems)
	d.expect(code == wantCode, "%s: exit code %d, not %d: %s", name, code, wantCode, message)
	d.expect(strings.Contains(message, want), "%s: the error does not say %q: %s", name, want, message)
	d.expect(bytes.Equal(before, after), "%s: the executable was changed", name)
	d.expect(slices.Equal(names, []string{"." + demoApp + ".theseus", demoApp}), "%s: the program's folder has %v", name, names)
	if len(d.report.Problems) == bad {
		d.tell.good("refused (exit code %d): %s", code, abridge(message))
	}
	return nil
}

// genuine publishes 1.4.0, which the attacks are about, to nobody but those who ask, so that the server stays what it is.
func (d *demo) genuine() (*genuine, error) {
	g := &genuine{signer: d.signer}
	var err error
	if g.old, err = os.ReadFile(filepath.Join(d.repo, "stable")); err != nil {
		return nil, err
	}
	if g.newest, err = d.publishAs("1.4.0", "1.4.0", "0%"); err != nil {
		return nil, err
	}
	if g.first, err = os.ReadFile(filepath.Join(d.repo, "releases", "1.1.0.manifest")); err != nil {
		return nil, err
	}
	file, err := os.ReadFile(filepath.Join(d.repo, "stable"))
	if err != nil {
		return nil, err
	}
	keys, err := verify.NewKeys(1, g.signer.Key())
	if err != nil {
		return nil, err
	}
	g.channel, err = release.OpenChannel(file, keys, demoApp, "stable")
	return g, err
}

// lieChannel serves a channel document that the publisher never made.
func (s *stage) lieChannel(c *release.Channel, signer verify.Signer) error {
	b, err := release.SignChannel(c, signer)
	if err == nil {
		s.mirror.lie("stable", b)
	}
	return err
}

// lieRelease serves a manifest and a channel that offers it as a version.
func (s *stage) lieRelease(g *genuine, m *release.Manifest, version string) error {
	b, err := release.SignManifest(m, g.signer)
	if err != nil {
		return err
	}
	return s.offer(g, b, version)
}

// offer has a stolen channel key offer a manifest as a version. The document is in order, so programs remember its
// sequence: each lie has a higher one, and the honest channel has to overtake them in the end.
func (s *stage) offer(g *genuine, manifest []byte, version string) error {
	v, err := release.ParseVersion(version)
	if err != nil {
		return err
	}
	text, _, err := verify.Split(manifest)
	if err != nil {
		return err
	}
	g.channel.Sequence++
	c := *g.channel
	c.Entries = []release.Entry{{Version: v, Manifest: verify.IDOf(text)}}
	s.mirror.lie(release.ManifestPath(v), manifest)
	return s.lieChannel(&c, g.signer)
}

// refreshUntilNew brings the honest channel above every sequence that a lie has used.
func (s *stage) refreshUntilNew() error {
	for range demoAttacks {
		err := s.edit(func(p *publisher.Publisher) error {
			_, err := p.Refresh(s.ctx, nil, 0)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// attackersKey is a key that nobody trusts.
func attackersKey() (verify.Signer, error) {
	_, text, err := verify.GenerateKey(nil, "")
	if err != nil {
		return nil, err
	}
	private, err := verify.ParsePrivateKey(text)
	if err != nil {
		return nil, err
	}
	return private.Signer(time.Now()), nil
}
