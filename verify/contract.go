package verify

import (
	"time"
)

// CONTRACT (to be replaced by real files; keep these names and signatures unless something better is found,
// and then tell everyone who uses them by changing the callers too).

// Type is the first line of a signed document.
type Type string

const (
	TypeTrust    Type = "theseus/trust/v1"
	TypeManifest Type = "theseus/manifest/v1"
	TypeChannel  Type = "theseus/channel/v1"
)

// MaxSize is the greatest size of a whole file of this type (text cap + 1 + 16 KiB of blocks): the cap a fetcher puts beside its reader.
func (t Type) MaxSize() int64 { panic("contract") }

// Digest is a SHA-256; it marshals as 64 lower-case hex digits and nothing else unmarshals.
type Digest [32]byte

func (d Digest) String() string               { panic("contract") }
func (d Digest) MarshalText() ([]byte, error) { panic("contract") }
func (d *Digest) UnmarshalText([]byte) error  { panic("contract") }

// ID is the identity of some bytes: their size and SHA-256. Of a document: of its text.
type ID struct {
	Size   int64  `json:"size"`
	SHA256 Digest `json:"sha256"`
}

func IDOf(b []byte) ID { panic("contract") }

// Time is a signed date: RFC 3339, UTC, whole seconds, "Z"; nothing else unmarshals.
type Time struct{ time.Time }

// Key is a minisign public key. Comparable; two keys are the same key if their 32 bytes are, whatever their ids say (Equal).
type Key struct {
	id    uint64
	bytes [32]byte
}

func ParseKey(text string) (Key, error) { panic("contract") } // the .pub file (comment + base64) or the bare base64 line
func (k Key) String() string            { panic("contract") } // base64 line
func (k Key) ID() string                { panic("contract") } // 16 upper-case hex digits, as minisign prints it
func (k Key) Fingerprint() Digest       { panic("contract") } // SHA-256 of the 32 key bytes
func (k Key) Equal(o Key) bool          { panic("contract") }

// Keys is a set of keys of which Threshold many must have signed. The zero Keys trusts nobody.
type Keys struct {
	threshold int
	keys      []Key
}

func NewKeys(threshold int, keys ...Key) (Keys, error) { panic("contract") } // distinct bytes; 1 <= threshold <= len(keys)
func (k Keys) Threshold() int                          { panic("contract") }
func (k Keys) All() []Key                              { panic("contract") }

// Document is a document whose signatures were checked: verified text and who signed it.
type Document struct {
	Type    Type
	Text    []byte // what is signed: type line, JSON object, final LF
	Signers []Key  // distinct keys of the set whose block verified
}

func (d *Document) ID() ID { panic("contract") }

// Decode parses the verified JSON object strictly into the struct that v points to. The struct is the schema: fields without omitzero/omitempty are required.
func (d *Document) Decode(v any) error { panic("contract") }

// Open checks structure, algorithm, signatures and threshold, then the type line.
func Open(file []byte, t Type, keys Keys) (*Document, error) { panic("contract") }

// Signer makes one minisign block (four lines, each ending in LF) over text.
type Signer interface {
	Key() Key
	Sign(text []byte) (block []byte, err error)
}

// Sign marshals body (deterministic, indented, no blank line), puts the type line before it and signs it with each signer.
func Sign(t Type, body any, signers ...Signer) (file []byte, err error) { panic("contract") }

// AddSignature appends a block to a document of any type, replacing one of the same key.
func AddSignature(file []byte, s Signer) ([]byte, error) { panic("contract") }

// Split takes a file apart without trusting it: for tools that show or split documents.
func Split(file []byte) (text []byte, blocks [][]byte, err error) { panic("contract") }

// Trust says who may sign what: a trust document, or a bare public key (version 0).
type Trust struct {
	App     string // "" for version 0
	Version int
	Expires time.Time // zero for version 0
	Trust   Keys
	Release Keys
	Channel Keys
	File    []byte // the signed file as it was opened; nil for version 0
}

// ParseTrust reads what a program is built with: a minisign public key, or a whole trust document (checked against its own trust keys).
func ParseTrust(text string) (*Trust, error) { panic("contract") }

// Next opens trust version t.Version+1: signed by a threshold of t.Trust and of its own. Expiry is not judged here.
func (t *Trust) Next(file []byte) (*Trust, error) { panic("contract") }
