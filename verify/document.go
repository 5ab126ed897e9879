package verify

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"unicode/utf8"

	"aead.dev/minisign"
)

// Type is the first line of a signed document. It is part of the signed text, so that a signature for one type is none
// for another.
type Type string

const (
	TypeTrust    Type = "theseus/trust/v1"
	TypeManifest Type = "theseus/manifest/v1"
	TypeChannel  Type = "theseus/channel/v1"
)

// Caps in bytes and blocks. A file over a cap is refused with ErrTooLarge, never cut.
const (
	maxText   = 1 << 20  // text of any type
	maxSigned = 16 << 10 // all blocks together
	maxBlocks = 16
)

var textCap = map[Type]int{
	TypeTrust:    64 << 10,
	TypeChannel:  256 << 10,
	TypeManifest: maxText,
}

// MaxSize is the greatest size in bytes of a whole file of this type, text, empty line and blocks: the cap that a
// fetcher puts beside its reader. It is 0 for a type that this package does not know.
func (t Type) MaxSize() int64 {
	if n, ok := textCap[t]; ok {
		return int64(n) + 1 + maxSigned
	}
	return 0
}

// Document is a document whose signatures were checked: verified text and who signed it.
type Document struct {
	Type    Type
	Text    []byte // what is signed: type line, JSON object, final LF
	Signers []Key  // distinct keys of the set whose block verified, in the order of the blocks
}

// ID is the identity of the document: that of its text.
func (d *Document) ID() ID { return IDOf(d.Text) }

// Open checks structure, algorithm, signatures and threshold, then the type line. What it returns was signed by at
// least keys.Threshold() of keys. It does not look into the JSON object; [Document.Decode] does.
//
// Errors: ErrTooLarge, ErrMalformed, ErrAlgorithm, ErrSignature, ErrThreshold, ErrType.
func Open(file []byte, t Type, keys Keys) (*Document, error) {
	// Size and form, without a key and without reading the JSON.
	if limit := t.MaxSize(); int64(len(file)) > limit {
		return nil, refuse(ErrTooLarge, "the file has more than the %d bytes that a %s may have: check the address", limit, t)
	}
	f, err := parse(file)
	if err != nil {
		return nil, err
	}

	// Which of the keys signed this text, and are they enough? A signature that names one of them and does not fit ends
	// it.
	signers, err := f.signers(keys)
	if err != nil {
		return nil, err
	}
	if err := f.enough(signers, keys); err != nil {
		return nil, err
	}

	// The type line is part of what was signed, so from here on it can be believed.
	if f.typ != t {
		return nil, refuse(ErrType, "the document is signed, but it is a %s and not a %s: check the address, or somebody passes one off as the other", f.typ, t)
	}
	return &Document{Type: t, Text: f.text, Signers: signers}, nil
}

// Split takes a file apart without trusting it: for tools that show or split documents. Text and blocks are parts of
// file. Only the structure was checked (ErrMalformed, ErrTooLarge, ErrAlgorithm); nothing in them is known to be true.
func Split(file []byte) (text []byte, blocks [][]byte, err error) {
	f, err := parse(file)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range f.blocks {
		blocks = append(blocks, b.raw)
	}
	return f.text, blocks, nil
}

// file is a document whose structure is right and whose signatures nobody has looked at.
type file struct {
	typ    Type
	text   []byte
	blocks []block
}

const typePrefix = "theseus/"

var typeLine = regexp.MustCompile(`^` + typePrefix + `[a-z]{1,32}/v[1-9][0-9]{0,3}$`)

// parse checks everything about a file that can be checked without a key and without reading the JSON.
func parse(b []byte) (*file, error) {
	if len(b) > maxText+1+maxSigned {
		return nil, refuse(ErrTooLarge, "the file has %d bytes, more than any signed document: check the address", len(b))
	}
	if !bytes.HasPrefix(b, []byte(typePrefix)) {
		return nil, refuse(ErrMalformed, "%s", looksLike(b))
	}

	// The first empty line, which must be the only one, ends what is signed.
	end := bytes.Index(b, []byte("\n\n")) + 1
	text, signed := b, []byte(nil)
	if end > 0 {
		text, signed = b[:end], b[end+1:]
	}

	// What is signed.
	f, err := parseText(text)
	if err != nil {
		return nil, err
	}

	// The signatures.
	if end == 0 {
		return nil, refuse(ErrMalformed, "the document has no signatures (after the text comes one empty line, then the signatures): sign it, or fetch it again if it was cut short")
	}
	if len(signed) > maxSigned {
		return nil, refuse(ErrTooLarge, "the signatures have %d bytes, more than %d: remove those of keys that are no longer used", len(signed), maxSigned)
	}
	f.blocks, err = parseBlocks(signed)
	return f, err
}

// parseSignedOrNot is parse for tools, to which a text that nobody has signed yet is a document without blocks.
func parseSignedOrNot(b []byte) (*file, error) {
	if bytes.Contains(b, []byte("\n\n")) {
		return parse(b)
	}
	return parseText(b)
}

// parseText checks the form of what is signed: type line, JSON object, LF.
func parseText(text []byte) (*file, error) {
	// The type line: what is this, and how large may it be?
	line, object, _ := bytes.Cut(text, []byte("\n"))
	t := Type(line)
	if !typeLine.Match(line) {
		if err := characters(line); err != nil && bytes.HasPrefix(line, []byte(typePrefix)) {
			return nil, err
		}
		return nil, refuse(ErrMalformed, "%s", looksLike(text))
	}
	if limit, ok := textCap[t]; len(text) > maxText || ok && len(text) > limit {
		return nil, refuse(ErrTooLarge, "the text has %d bytes, more than a %s may have", len(text), t)
	}

	// Printable UTF-8 and LF, and one JSON object as far as its first and last byte tell.
	if err := characters(text); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(object, []byte("{")) || !bytes.HasSuffix(object, []byte("}\n")) {
		return nil, refuse(ErrMalformed, "between the type line and the empty line there must be one JSON object, from { to } and a line end, without an empty line in it: the file was cut short or edited")
	}
	return &file{typ: t, text: text}, nil
}

// characters allows LF and printable UTF-8: no CR, no tab, no other control byte.
func characters(b []byte) error {
	for i, c := range b {
		if c >= 0x20 && c != 0x7f || c == '\n' {
			continue
		}
		line := 1 + bytes.Count(b[:i], []byte("\n"))
		switch c {
		case '\r':
			return refuse(ErrMalformed, "line %d ends in CR LF: something changed the line ends, store the file exactly as it was signed", line)
		case '\t':
			return refuse(ErrMalformed, "line %d has a tab, which documents do not have: indent with spaces; stock minisign puts tabs into its own trusted comment, sign with -t 'timestamp:N' instead", line)
		}
		return refuse(ErrMalformed, "line %d has the control byte 0x%02x, which documents do not have: the file is damaged", line, c)
	}
	if !utf8.Valid(b) {
		return refuse(ErrMalformed, "the file is not valid UTF-8: it is damaged or no document")
	}
	return nil
}

// signers returns the distinct keys whose block verifies. A block of an unknown id is skipped: its id is all that is
// looked at, the known keys are not tried on it. A block that names a known key and does not verify refuses the
// document.
func (f *file) signers(keys Keys) (signers []Key, err error) {
	text := hashed(f.text)
	for _, b := range f.blocks {
		// A key that is not one of ours says nothing, for or against.
		named := keys.named(b.id)
		if len(named) == 0 {
			continue
		}
		// One of ours must fit. Otherwise the text was changed, or somebody uses its id.
		i := slices.IndexFunc(named, func(k Key) bool { return k.verifies(text, b.raw) })
		if i < 0 {
			return nil, refuse(ErrSignature, "the signature that names key %s does not fit the text: the document or the signature was changed, or another key says that it is this one", keyID(b.id))
		}
		// Each key counts once.
		if !slices.ContainsFunc(signers, named[i].Equal) {
			signers = append(signers, named[i])
		}
	}
	return signers, nil
}

// hashed returns the module's reader after all of text, which is the only state in which it may sign or verify: before
// the end it does so for a prefix.
func hashed(text []byte) *minisign.Reader {
	r := minisign.NewReader(bytes.NewReader(text))
	io.Copy(io.Discard, r) // from memory, which never fails
	return r
}

// enough compares the signers with the threshold.
func (f *file) enough(signers []Key, keys Keys) error {
	switch n := len(signers); {
	case keys.threshold < 1:
		return refuse(ErrSignature, "no keys are trusted here, so that no document can be: give the public key of the publisher")
	case n == 0:
		return refuse(ErrSignature, "signed by %s, none of which is trusted here (trusted: %s): it is not from the publisher, or the publisher's keys were replaced", f.blockIDs(), ids(keys.keys))
	case n < keys.threshold:
		return refuse(ErrThreshold, "signed by %s, and it takes %d of %s: more signatures are needed", ids(signers), keys.threshold, ids(keys.keys))
	}
	return nil
}

func (f *file) blockIDs() string {
	var s []byte
	for i, b := range f.blocks {
		if i > 0 {
			s = append(s, ", "...)
		}
		s = fmt.Appendf(s, "%s", keyID(b.id))
	}
	return string(s)
}
