package publisher

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/verify"
)

// Claims is what a document says of itself, whoever signed it. It may be shown, and it may be a reason to refuse;
// nothing is ever allowed because of it.
type Claims struct {
	Type     verify.Type `json:"-"`
	App      string      `json:"app"`
	Channel  any         `json:"channel"` // a name, or a role in a trust document
	Version  any         `json:"version"` // a string in a manifest, a number in a trust document
	Sequence int64       `json:"sequence"`
	Body     []byte      `json:"-"`
	ID       verify.ID   `json:"-"`
}

// Peek reads a document without checking its signatures.
func Peek(file []byte) (*Claims, error) {
	text, _, err := verify.Split(file)
	if err != nil {
		return nil, err
	}
	return PeekText(text)
}

// PeekText reads the text of a document.
func PeekText(text []byte) (*Claims, error) {
	line, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("a document has a type line and a body")
	}
	c := &Claims{Type: verify.Type(line), Body: body, ID: verify.IDOf(text)}
	return c, json.Unmarshal(body, c)
}

// String is the document in words.
func (c *Claims) String() string {
	app := ui.Clean(c.App)
	switch c.Type {
	case verify.TypeChannel:
		return fmt.Sprintf("channel %s of %s, sequence %d", ui.Clean(fmt.Sprint(c.Channel)), app, c.Sequence)
	case verify.TypeManifest:
		return fmt.Sprintf("release %s of %s", ui.Clean(fmt.Sprint(c.Version)), app)
	case verify.TypeTrust:
		return fmt.Sprintf("trust document %s of %s", ui.Clean(fmt.Sprint(c.Version)), app)
	}
	return "a document of type " + ui.Clean(string(c.Type))
}
