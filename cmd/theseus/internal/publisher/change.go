package publisher

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/verify"
)

// TrustChange is what a trust document, draft or signed, does to the one before it.
type TrustChange struct {
	App      string      `json:"app"`
	Version  int         `json:"version"`
	Expires  time.Time   `json:"expires"`
	Roles    []RoleWhole `json:"roles"` // every role whole, so that nothing hides between two changes
	Changes  []string    `json:"changes"`
	Warnings []string    `json:"warnings"`
	Signed   []string    `json:"signed"`  // names of the keys that have signed
	Missing  []string    `json:"missing"` // what is still needed, in words
	Ready    bool        `json:"ready"`
}

// RoleWhole is one role as the new document has it, with the keys that it takes away.
type RoleWhole struct {
	Role      string    `json:"role"`
	Signs     string    `json:"signs"`
	Threshold int       `json:"threshold"`
	Was       int       `json:"was"` // threshold before
	Keys      []RoleKey `json:"keys"`
}

// RoleKey is a key in a role. People compare fingerprints: names are chosen by whoever wrote the draft.
type RoleKey struct {
	Name        string        `json:"name,omitempty"`
	ID          string        `json:"id"`
	Fingerprint verify.Digest `json:"fingerprint"`
	Change      string        `json:"change,omitempty"` // new or gone; "": as before
}

// Print shows the document before somebody signs it.
func (r *TrustChange) Print(w io.Writer) {
	fmt.Fprintf(w, "Trust document %d of %s, which holds until %s.\n", r.Version, r.App, ui.Deadline(r.Expires))
	for _, role := range r.Roles {
		takes := ui.Plural(role.Threshold, "signature")
		if role.Was != role.Threshold {
			takes += fmt.Sprintf(", %d before", role.Was)
		}
		fmt.Fprintf(w, "\nWho signs %s (%s):\n", role.Signs, takes)
		ui.Table(w, func(w io.Writer) {
			for _, k := range role.Keys {
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", map[string]string{"new": "+", "gone": "-"}[k.Change], k.Name, k.ID, k.Fingerprint)
			}
		})
	}
	for _, section := range []struct {
		title string
		lines []string
		none  string
	}{
		{"What it changes", r.Changes, "nothing but its dates"},
		{"Consider", r.Warnings, ""},
		{"Signed by", r.Signed, "nobody yet"},
		{"Still needed", r.Missing, "nothing: it can be published"},
	} {
		if len(section.lines) == 0 && section.none == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", section.title)
		for _, l := range section.lines {
			fmt.Fprintf(w, "  - %s\n", l)
		}
		if len(section.lines) == 0 {
			fmt.Fprintf(w, "  - %s\n", section.none)
		}
	}
}

// CompareTrust says what file, a draft or a signed document, does to the trust document before it. name is what it is
// called in messages.
func CompareTrust(old *verify.Trust, file []byte, name string, now time.Time) (*TrustChange, error) {
	next, err := verify.ParseTrustDraft(file)
	if err != nil {
		return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	before := old.Draft()
	if before.App == "" {
		before.App = next.App
	}
	switch {
	case next.App != before.App:
		return nil, ui.Fail(ui.ExitRefused, "%s is of app %s, and what it should follow is of %s: these two do not belong together", name, next.App, before.App)
	case next.Version != before.Version:
		return nil, ui.Fail(ui.ExitRefused, "%s is version %d, and version %d follows: make it anew with theseus trust init", name, next.Version, before.Version)
	case !now.Before(next.Expires.Time):
		return nil, ui.Fail(ui.ExitRefused, "%s expired on %s: make it anew with theseus trust init", name, ui.Deadline(next.Expires.Time))
	}
	own, err := next.Trust.Set()
	if err != nil {
		return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) {
		if file, err = verify.Text(verify.TypeTrust, next); err != nil {
			return nil, err
		}
	}
	r := &TrustChange{App: next.App, Version: next.Version, Expires: next.Expires.Time, Ready: true,
		Changes: []string{}, Warnings: []string{}, Signed: []string{}, Missing: []string{}}
	names := namesOf(before, next)
	changes := before.Compare(next)
	for i, role := range []verify.Role{next.Trust, next.Release, next.Channel} {
		r.Changes = append(r.Changes, roleWords(changes[i], names)...)
		r.Roles = append(r.Roles, wholeRole(changes[i], role, names))
	}
	r.Warnings = trustWarnings(next)
	signed := map[verify.Digest]bool{}
	for _, side := range []struct {
		keys verify.Keys
		who  string
	}{{old.Trust, fmt.Sprintf("the trust keys of version %d", old.Version)}, {own, "its own trust keys"}} {
		p, err := side.keys.Progress(file)
		if err != nil {
			return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
		}
		for _, k := range p.Signed {
			if !signed[k.Fingerprint()] {
				signed[k.Fingerprint()] = true
				r.Signed = append(r.Signed, names.of(k))
			}
		}
		if p.Needed > 0 {
			r.Ready = false
			var left []string
			for _, k := range p.Missing {
				left = append(left, names.of(k))
			}
			r.Missing = append(r.Missing, fmt.Sprintf("%d of %s: %s", p.Needed, side.who, strings.Join(left, ", ")))
		}
	}
	return r, nil
}

// keyNames says whose a key is, by its bytes.
type keyNames map[verify.Digest]string

func namesOf(drafts ...verify.TrustDraft) keyNames {
	n := keyNames{}
	for _, d := range drafts {
		for _, role := range []verify.Role{d.Trust, d.Release, d.Channel} {
			for _, k := range role.Keys {
				if k.Name != "" {
					n[k.Key.Fingerprint()] = ui.Clean(k.Name)
				}
			}
		}
	}
	return n
}

func (n keyNames) of(k verify.Key) string {
	if name := n[k.Fingerprint()]; name != "" {
		return fmt.Sprintf("%s (%s)", name, k.ID())
	}
	return k.ID()
}

// roleSigns is what the keys of a role sign.
var roleSigns = map[string]string{"trust": "the next trust document", "release": "releases", "channel": "channels"}

func wholeRole(c verify.RoleChange, now verify.Role, names keyNames) RoleWhole {
	w := RoleWhole{Role: c.Role, Signs: roleSigns[c.Role], Threshold: c.To, Was: c.From}
	add := func(k verify.Key, change string) {
		w.Keys = append(w.Keys, RoleKey{names[k.Fingerprint()], k.ID(), k.Fingerprint(), change})
	}
	for _, k := range now.Keys {
		change := ""
		if slices.ContainsFunc(c.Added, func(a verify.NamedKey) bool { return a.Key.Equal(k.Key) }) {
			change = "new"
		}
		add(k.Key, change)
	}
	for _, k := range c.Removed {
		add(k.Key, "gone")
	}
	return w
}

func roleWords(c verify.RoleChange, names keyNames) (words []string) {
	signs := roleSigns[c.Role]
	for _, k := range c.Added {
		words = append(words, fmt.Sprintf("%s may sign %s", names.of(k.Key), signs))
	}
	for _, k := range c.Removed {
		words = append(words, fmt.Sprintf("%s may no longer sign %s", names.of(k.Key), signs))
	}
	if c.From != c.To {
		words = append(words, fmt.Sprintf("it takes %s instead of %d to sign %s", ui.Plural(c.To, "signature"), c.From, signs))
	}
	return words
}

// trustWarnings is what a person should have thought of before signing.
func trustWarnings(d verify.TrustDraft) []string {
	warnings := []string{}
	if n := len(d.Trust.Keys); n == d.Trust.Threshold {
		what := fmt.Sprintf("all %d trust keys must sign: if one is lost, trust can never change again", n)
		if n == 1 {
			what = "one trust key alone decides: if it is lost, trust can never change again; if it leaks, everything is lost"
		}
		warnings = append(warnings, what)
	}
	for _, c := range d.Channel.Keys {
		for _, r := range append(append([]verify.NamedKey{}, d.Release.Keys...), d.Trust.Keys...) {
			if c.Key.Equal(r.Key) {
				return append(warnings, "key "+c.Key.ID()+" signs channels, which is done by machines, and more than that: a key of its own for channels can do less harm")
			}
		}
	}
	return warnings
}
