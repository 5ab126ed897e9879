package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/theseus-go/theseus/verify"
)

// claims is what a document says of itself, whoever signed it. It may be shown, and it may be a reason to refuse;
// nothing is ever allowed because of it.
type claims struct {
	Type     verify.Type `json:"-"`
	App      string      `json:"app"`
	Channel  any         `json:"channel"` // a name, or a role in a trust document
	Version  any         `json:"version"` // a string in a manifest, a number in a trust document
	Sequence int64       `json:"sequence"`
	body     []byte
}

// peek reads a document without checking its signatures.
func peek(file []byte) (*claims, error) {
	text, _, err := verify.Split(file)
	if err != nil {
		return nil, err
	}
	return peekText(text)
}

func peekText(text []byte) (*claims, error) {
	line, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("a document has a type line and a body")
	}
	c := &claims{Type: verify.Type(line), body: body}
	return c, json.Unmarshal(body, c)
}
