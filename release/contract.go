package release

import (
	"github.com/Masterminds/semver/v3"
	"github.com/theseus-go/theseus/verify"
	"time"
)

// CONTRACT (see verify/contract.go).

// ParseVersion: strict semver, no leading v, no build metadata, at most 64 bytes.
func ParseVersion(s string) (*semver.Version, error) { panic("contract") }

// ValidName / ValidChannel: app names [a-z0-9][a-z0-9._-]{0,63}-like allow-list; channels [a-z][a-z0-9-]{0,31}, not trust/releases/files, not a Windows device name.
func ValidApp(s string) error     { panic("contract") }
func ValidChannel(s string) error { panic("contract") }

// Paths inside a repository, relative to its base URL.
func ManifestPath(v *semver.Version) string       { panic("contract") } // releases/V.manifest
func FilePath(d verify.Digest, enc string) string { panic("contract") } // files/SHA256[.zst]
func TrustPath(version int) string                { panic("contract") } // trust/N

// Channel is a verified channel document.
type Channel struct {
	App, Name string
	Sequence  int64
	Issued    time.Time
	Expires   time.Time
	Trust     int
	Entries   []Entry
	ID        verify.ID    // identity of the text
	Signers   []verify.Key // counted for it
}

// Entry is one release on offer (or withdrawn) in a channel.
type Entry struct {
	Version  *semver.Version
	Manifest verify.ID
	Requires []string
	Rollout  *Rollout
	Critical *semver.Version // critical for clients below this version
	Floor    bool            // mandatory step
	Paused   string          // reason; "" is not paused
	Yanked   *Yank
}
type Rollout struct{ Start, End time.Time }                                                    // + percent steps; see B
type Yank struct{ Reason, Action string /* stay, up, back */; To *semver.Version /* for back */ }

// Manifest is a verified release manifest.
type Manifest struct {
	App       string
	Version   *semver.Version
	Date      time.Time
	Notes     string
	Minimum   *semver.Version // lowest version that may update to this one directly; nil: any
	Requires  []string
	Artifacts []Artifact
	ID        verify.ID
}
type Platform struct{ OS, Arch, Variant string }
type Artifact struct {
	Platform
	File      verify.ID // the installed file
	Downloads []Download
}
type Download struct {
	Encoding string         // "" (the file itself), "zstd", "delta"
	From     *verify.Digest // delta only: SHA-256 of the installed file it starts from
	Stored   verify.ID      // the stored bytes: what is downloaded
	Requires []string
}

func (d Download) Path() string { panic("contract") }

// OpenChannel, OpenManifest: verify, then parse, then compare with what the client is (app, channel name / id, app, version).
func OpenChannel(file []byte, keys verify.Keys, app, channel string) (*Channel, error) {
	panic("contract")
}
func OpenManifest(file []byte, keys verify.Keys, app string, e Entry) (*Manifest, error) {
	panic("contract")
}

// Sign: publisher's side. Validates exactly as Open does, lists what restricts under requires by itself.
func SignChannel(c *Channel, signers ...verify.Signer) (file []byte, err error) { panic("contract") }
func SignManifest(m *Manifest, signers ...verify.Signer) (file []byte, err error) {
	panic("contract")
}

// Client is everything that selection compares a channel with.
type Client struct {
	Platform
	Installed    *semver.Version // what is at the path
	Now          time.Time
	Installation string            // random id of this installation, for rollout buckets
	Failed       map[string]string // version -> why, never offered unless named
	Want         *semver.Version   // nil: the newest
	Manual       bool              // a person asked: bypasses the rollout
}

// Offer is what a client should install now.
type Offer struct {
	Entry     Entry
	Manifest  *Manifest
	Artifact  *Artifact
	Critical  bool
	Downgrade bool // signed: the target of a yank
}

// Rule is one step of an explanation.
type Rule struct {
	Release string `json:"release,omitzero"` // version judged; "" for rules about the channel or client
	Rule    string `json:"rule"`             // short name: newer, failed, yanked, paused, rollout, minimum, floor, platform, requires
	Input   string `json:"input"`
	Passed  bool   `json:"passed"`
	Detail  string `json:"detail,omitzero"` // a sentence for a person
}

// Select chooses: newest first, each entry judged by every rule; manifest(e) is called only for entries that passed the channel's rules.
// offer nil and err nil: up to date. err: *Nothing (newer exists but none may be installed here; names the rule) or what manifest returned.
func Select(c *Channel, client Client, manifest func(Entry) (*Manifest, error)) (offer *Offer, rules []Rule, err error) {
	panic("contract")
}

// Nothing: there is something newer, but not for this machine now.
type Nothing struct {
	Rule    string
	Version *semver.Version
	Reason  string
}

func (n *Nothing) Error() string { panic("contract") }

// Errors (errors.Is): ErrApp, ErrChannel, ErrVersion, ErrMalformed wraps, ErrID (bytes are not those the channel names), ErrAmbiguous, ErrNoArtifact
