package release

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/theseus-go/theseus/verify"
)

// Channel is a channel document: which releases are on offer, and to whom. As OpenChannel returns it, it is signed and
// well formed; whether it is current, Follows and Fresh tell.
type Channel struct {
	App, Name string
	Sequence  int64     // 1 to MaxSequence, higher in each document
	Issued    time.Time // UTC, whole seconds
	Expires   time.Time // after Issued
	Trust     int       // version of the trust document that the publisher uses; 0: a bare key
	Includes  []string  // channels of the same app whose entries count here too, see Including
	Retired   *Retired  // nothing more is published here
	Entries   []Entry   // newest first

	// Set by OpenChannel, ignored by SignChannel.
	ID        verify.ID    // identity of the text
	Signers   []verify.Key // counted for it
	Threshold int          // how many were needed
}

// Entry is one release in a channel: on offer, or withdrawn.
type Entry struct {
	Version  *semver.Version
	Manifest verify.ID       // of the manifest's text
	Requires []string        // names that a client must know; SignChannel writes its own
	Rollout  Rollout         // nil: everybody
	Critical *semver.Version // critical for clients below this version; at most Version
	Floor    bool            // a step that no older client may skip
	Return   bool            // a person may go back to it from a newer release, by naming it
	Paused   string          // why nobody is offered it at the moment; "" is not paused
	Yanked   *Yank           // withdrawn
}

// Retired says that a publisher has given a channel up. What it lists stays on offer.
type Retired struct {
	Reason string
	To     string // the channel to follow instead; "" if there is none
}

// entryRestrictions are the members of an entry that keep some clients from the release, sorted by name.
var entryRestrictions = []restriction[Entry]{
	{"floor", func(e *Entry) bool { return e.Floor }},
	{"paused", func(e *Entry) bool { return e.Paused != "" }},
	{"rollout", func(e *Entry) bool { return e.Rollout != nil }},
	{"yanked", func(e *Entry) bool { return e.Yanked != nil }},
}

// Yank withdraws a release and says what clients that have it installed should do.
type Yank struct {
	Reason string
	Action string          // stay, up (take the next newer release at once) or back
	To     *semver.Version // for back: a lower version in the same channel, the only downgrade there is
}

const (
	maxEntries      = 1000
	maxIncludes     = 8
	maxManifestSize = 1 << 20 // the cap of verify for the text of a manifest
	maxTrust        = math.MaxInt32
)

// The wire forms are apart from the types above because they are the format, and because semver's own UnmarshalText
// takes versions that are not semantic versions.
type (
	channelBody struct {
		App      string      `json:"app"`
		Channel  string      `json:"channel"`
		Sequence int64       `json:"sequence"`
		Issued   verify.Time `json:"issued"`
		Expires  verify.Time `json:"expires"`
		Releases []entryBody `json:"releases"`
		Trust    int         `json:"trust"`

		Includes []string     `json:"includes,omitzero"`
		Retired  *retiredBody `json:"retired,omitzero"`
	}
	retiredBody struct {
		Reason string `json:"reason"`
		To     string `json:"to,omitzero"`
	}
	entryBody struct {
		Version  string     `json:"version"`
		Manifest verify.ID  `json:"manifest"`
		Requires []string   `json:"requires,omitzero"`
		Rollout  []stepBody `json:"rollout,omitzero"`
		Critical string     `json:"critical,omitzero"`
		Floor    bool       `json:"floor,omitzero"`
		Return   bool       `json:"return,omitzero"`
		Paused   string     `json:"paused,omitzero"`
		Yanked   *yankBody  `json:"yanked,omitzero"`
	}
	stepBody struct {
		At          verify.Time `json:"at"`
		BasisPoints int         `json:"basis_points"`
	}
	yankBody struct {
		Reason string `json:"reason"`
		Action string `json:"action"`
		To     string `json:"to,omitzero"`
	}
)

// OpenChannel checks the signatures of a channel document, parses it strictly and compares it with the app and the
// channel that the client wants. The errors are those of verify.Open, ErrMalformed, ErrAmbiguous, ErrApp and
// ErrChannel. What it returns may still be old (Follows) or expired (Fresh).
func OpenChannel(file []byte, keys verify.Keys, app, channel string) (*Channel, error) {
	fail := func(err error) (*Channel, error) { return nil, fmt.Errorf("channel %s: %w", channel, err) }
	d, err := verify.Open(file, verify.TypeChannel, keys)
	if err != nil {
		return fail(err)
	}
	var body channelBody
	if err := d.Decode(&body); err != nil {
		return fail(err)
	}
	c, err := body.channel()
	if err != nil {
		return fail(err)
	}
	if c.App != app {
		return fail(fmt.Errorf("%w: it is of %q, and this is %q: wrong URL, or one key is used for two programs", ErrApp, c.App, app))
	}
	if c.Name != channel {
		return fail(fmt.Errorf("%w: it is of channel %q: wrong file at this URL, or someone serves one channel as another", ErrChannel, c.Name))
	}
	c.ID, c.Signers, c.Threshold = d.ID(), d.Signers, keys.Threshold()
	return c, nil
}

// SignChannel writes the one form of a channel document and signs it. It accepts exactly what OpenChannel would, sorts
// the releases and lists what restricts under requires by itself; dates are cut to whole seconds. c is not changed.
func SignChannel(c *Channel, signers ...verify.Signer) (file []byte, err error) {
	body := channelBody{
		App: c.App, Channel: c.Name, Sequence: c.Sequence, Trust: c.Trust, Includes: c.Includes,
		Issued: second(c.Issued), Expires: second(c.Expires), Releases: []entryBody{},
	}
	if c.Retired != nil {
		body.Retired = &retiredBody{Reason: c.Retired.Reason, To: c.Retired.To}
	}
	for _, e := range slices.SortedStableFunc(slices.Values(c.Entries), newestFirst) {
		b, err := e.body()
		if err != nil {
			return nil, err
		}
		body.Releases = append(body.Releases, b)
	}
	if _, err := body.channel(); err != nil {
		return nil, err
	}
	return verify.Sign(verify.TypeChannel, body, signers...)
}

// Entry returns the channel's entry for a version, or nil.
func (c *Channel) Entry(v *semver.Version) *Entry {
	for i := range c.Entries {
		if c.Entries[i].Version.Equal(v) {
			return &c.Entries[i]
		}
	}
	return nil
}

// LowestAllowed is the lowest version that a person may go back to from the installed one, or nil: the highest version
// that some release is critical below (whatever is older has a hole that is known), and the highest floor that the
// installation has passed (what is older may not read what it left behind). A signed yank is not bound by it, nor is
// the undo of a version that was never proved.
func (c *Channel) LowestAllowed(installed *semver.Version) *semver.Version {
	var lowest *semver.Version
	raise := func(v *semver.Version) {
		if lowest == nil || lowest.LessThan(v) {
			lowest = v
		}
	}
	for _, e := range c.Entries {
		if e.Critical != nil {
			raise(e.Critical)
		}
		if e.Floor && e.Yanked == nil && !installed.LessThan(e.Version) {
			raise(e.Version)
		}
	}
	return lowest
}

// channel is the one way from the wire form to the type, for both sides.
func (b *channelBody) channel() (*Channel, error) {
	c := &Channel{
		App: b.App, Name: b.Channel, Sequence: b.Sequence, Trust: b.Trust, Includes: b.Includes,
		Issued: b.Issued.Time, Expires: b.Expires.Time,
	}
	if err := ValidApp(c.App); err != nil {
		return nil, malformed("%w", err)
	}
	if err := ValidChannel(c.Name); err != nil {
		return nil, malformed("%w", err)
	}
	if c.Sequence < 1 || c.Sequence > MaxSequence {
		return nil, malformed("sequence %d: want 1 to %d", c.Sequence, int64(MaxSequence))
	}
	if c.Trust < 0 || c.Trust > maxTrust {
		return nil, malformed("trust %d: want 0 to %d", c.Trust, maxTrust)
	}
	if !c.Issued.Before(c.Expires) {
		return nil, malformed("issued %s, which is not before it expires, %s", stamp(c.Issued), stamp(c.Expires))
	}
	if err := c.checkIncludes(); err != nil {
		return nil, err
	}
	if b.Retired != nil {
		c.Retired = &Retired{Reason: b.Retired.Reason, To: b.Retired.To}
		if err := c.checkRetired(); err != nil {
			return nil, err
		}
	}
	if len(b.Releases) > maxEntries {
		return nil, malformed("%d releases: a channel has at most %d", len(b.Releases), maxEntries)
	}
	seen := map[string]bool{}
	for _, eb := range b.Releases {
		e, err := eb.entry()
		if err != nil {
			return nil, err
		}
		// Versions are file names, and some file systems do not tell letter cases apart.
		name := strings.ToLower(e.Version.String())
		if seen[name] {
			return nil, ambiguous("release %s is listed twice, or twice but for case", e.Version)
		}
		seen[name] = true
		c.Entries = append(c.Entries, *e)
	}
	order(c.Entries, newestFirst)
	for _, e := range c.Entries {
		if err := c.checkYank(e); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (b *entryBody) entry() (*Entry, error) {
	v, err := ParseVersion(b.Version)
	if err != nil {
		return nil, malformed("%w", err)
	}
	what := "release " + b.Version
	e := &Entry{Version: v, Manifest: b.Manifest, Requires: b.Requires, Floor: b.Floor, Return: b.Return, Paused: b.Paused}
	if e.Manifest.Size < 1 || e.Manifest.Size > maxManifestSize {
		return nil, malformed("%s: manifest of %d bytes: want 1 to %d", what, e.Manifest.Size, maxManifestSize)
	}
	for _, s := range b.Rollout {
		e.Rollout = append(e.Rollout, RolloutStep{At: s.At.Time, BasisPoints: s.BasisPoints})
	}
	if err := e.Rollout.check(what); err != nil {
		return nil, err
	}
	if b.Critical != "" {
		if e.Critical, err = ParseVersion(b.Critical); err != nil {
			return nil, malformed("%s: critical: %w", what, err)
		}
		if v.LessThan(e.Critical) {
			return nil, malformed("%s: critical below %s, which it does not reach itself", what, e.Critical)
		}
	}
	if e.Paused != "" {
		if err := checkReason(what+": paused", e.Paused); err != nil {
			return nil, err
		}
	}
	if b.Yanked != nil {
		e.Yanked = &Yank{Reason: b.Yanked.Reason, Action: b.Yanked.Action}
		if b.Yanked.To != "" {
			if e.Yanked.To, err = ParseVersion(b.Yanked.To); err != nil {
				return nil, malformed("%s: yanked: %w", what, err)
			}
		}
	}
	return e, checkRequires(what, e.Requires, entryRestrictions, e)
}

func (c *Channel) checkIncludes() error {
	if len(c.Includes) == 0 {
		c.Includes = nil // an empty list is none
	}
	if len(c.Includes) > maxIncludes {
		return malformed("includes %d channels: want at most %d", len(c.Includes), maxIncludes)
	}
	for i, name := range c.Includes {
		switch err := ValidChannel(name); {
		case err != nil:
			return malformed("includes: %w", err)
		case name == c.Name:
			return malformed("channel %s includes itself", name)
		case slices.Contains(c.Includes[:i], name):
			return malformed("channel %s is included twice", name)
		}
	}
	return nil
}

func (c *Channel) checkRetired() error {
	if err := checkReason("retired", c.Retired.Reason); err != nil {
		return err
	}
	if c.Retired.To == "" {
		return nil
	}
	if err := ValidChannel(c.Retired.To); err != nil {
		return malformed("retired: %w", err)
	}
	if c.Retired.To == c.Name {
		return malformed("retired: channel %s leads to itself", c.Name)
	}
	return nil
}

// checkYank refuses a way back to a release that no client can really take.
func (c *Channel) checkYank(e Entry) error {
	if e.Yanked == nil {
		return nil
	}
	y, what := e.Yanked, fmt.Sprintf("release %s: yanked", e.Version)
	if err := checkReason(what, y.Reason); err != nil {
		return err
	}
	switch y.Action {
	case "stay", "up":
		if y.To != nil {
			return malformed("%s: action %s goes to no version", what, y.Action)
		}
		return nil
	case "back":
	default:
		return malformed("%s: action %.20q: want stay, up or back", what, y.Action)
	}
	if y.To == nil {
		return malformed("%s: action back without the version to go back to", what)
	}
	to := c.Entry(y.To)
	switch {
	case !y.To.LessThan(e.Version):
		return malformed("%s: back to %s, which is not lower", what, y.To)
	case to == nil:
		return malformed("%s: back to %s, which this channel does not list", what, y.To)
	case to.Yanked != nil:
		return malformed("%s: back to %s, which is yanked itself", what, y.To)
	}
	for _, o := range c.Entries {
		if o.Critical != nil && y.To.LessThan(o.Critical) {
			return malformed("%s: back to %s, but release %s is critical below %s: take that mark away first", what, y.To, o.Version, o.Critical)
		}
	}
	return nil
}

func (e *Entry) body() (b entryBody, err error) {
	if e.Version == nil {
		return b, malformed("a release without a version")
	}
	b = entryBody{Version: e.Version.String(), Manifest: e.Manifest, Floor: e.Floor, Return: e.Return, Paused: e.Paused}
	if b.Requires, err = listRequires("release "+b.Version, e.Requires, entryRestrictions, e); err != nil {
		return b, err
	}
	for _, s := range e.Rollout {
		b.Rollout = append(b.Rollout, stepBody{At: second(s.At), BasisPoints: s.BasisPoints})
	}
	if e.Critical != nil {
		b.Critical = e.Critical.String()
	}
	if y := e.Yanked; y != nil {
		b.Yanked = &yankBody{Reason: y.Reason, Action: y.Action}
		if y.To != nil {
			b.Yanked.To = y.To.String()
		}
	}
	return b, nil
}

func newestFirst(a, b Entry) int {
	if a.Version == nil || b.Version == nil {
		return 0
	}
	return b.Version.Compare(a.Version)
}

func second(t time.Time) verify.Time { return verify.Time{Time: t.UTC().Truncate(time.Second)} }
