package verify

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Signer makes one minisign block (four lines, each ending in LF) over text: a [PrivateKey], or whatever holds a key
// elsewhere. The block is checked before it is used, so that a signer needs no trust beyond its key.
type Signer interface {
	Key() Key
	Sign(text []byte) (block []byte, err error)
}

// Sign marshals body (members in the order of the struct, maps sorted, indented by two spaces, no blank line), puts the
// type line before it and signs it with each signer. What [Document.Decode] would refuse is not signed: ErrMalformed.
func Sign(t Type, body any, signers ...Signer) (file []byte, err error) {
	if len(signers) == 0 {
		return nil, refuse(ErrThreshold, "nobody signs: give at least one key")
	}
	if file, err = Text(t, body); err != nil {
		return nil, err
	}
	for _, s := range signers {
		if file, err = AddSignature(file, s); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// Text returns what Sign signs: the text of a document without any signature, which holders of keys may pass on and add
// theirs to with [AddSignature]. A string with a DEL (0x7f) or invalid UTF-8 in it cannot be written: ErrMalformed.
func Text(t Type, body any) ([]byte, error) {
	object, err := json.Marshal(body, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, refuse(ErrMalformed, "the %s cannot be written as JSON: %v", t, err)
	}
	text := fmt.Appendf(nil, "%s\n%s\n", t, object)
	if _, known := textCap[t]; !known {
		return nil, refuse(ErrType, "%q is not a type of document", t)
	}
	if _, err := parseText(text); err != nil {
		return nil, err
	}
	back := reflect.New(reflect.Indirect(reflect.ValueOf(body)).Type())
	if err := (&Document{Text: text}).Decode(back.Interface()); err != nil {
		return nil, err
	}
	return text, nil
}

// AddSignature appends a block to a document of any type, in the place of one with the same key id if there is one.
// file may also be the text of a document that nobody has signed yet. The other blocks are kept as they are and not
// judged.
func AddSignature(file []byte, s Signer) ([]byte, error) {
	f, err := parseSignedOrNot(file)
	if err != nil {
		return nil, err
	}
	made, err := signBlock(f.text, s)
	if err != nil {
		return nil, err
	}
	out := append(bytes.Clone(f.text), '\n')
	for _, b := range f.blocks {
		if b.id != made.id {
			out = append(out, b.raw...)
		}
	}
	out = append(out, made.raw...)
	if _, err := parse(out); err != nil { // over a cap
		return nil, err
	}
	return out, nil
}

// signBlock has s sign and checks that what comes back is one strict block by the key that s says it has.
func signBlock(text []byte, s Signer) (block, error) {
	key := s.Key()
	raw, err := s.Sign(text)
	if err != nil {
		return block{}, within(err, "signing with key %s", key.ID())
	}
	made, err := parseBlocks(raw)
	if err != nil {
		return block{}, within(err, "what the signer of key %s returned", key.ID())
	}
	f := file{text: text, blocks: made}
	signers, err := f.signers(Keys{1, []Key{key}})
	if err == nil && len(made) == 1 && len(signers) == 1 {
		return made[0], nil
	}
	return block{}, refuse(ErrSignature, "the signer of key %s returned a signature that this key does not verify: check that private and public key belong together, and that the signer signs exactly the bytes it is given", key.ID())
}
