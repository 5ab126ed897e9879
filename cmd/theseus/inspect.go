package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"aead.dev/minisign"
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/verify"
)

type inspectOptions struct {
	payload, signature bool
	signer, key        string
	json               bool
}

func inspectCommand() *cobra.Command {
	var o inspectOptions
	c := &cobra.Command{
		Use:   "inspect FILE|URL",
		Short: "Show a signed document, or take it apart for minisign",
		Long: `Shows a channel, a manifest, a trust document or a public key for a person. Without --key nothing is checked: it shows
what the document claims and which keys it says have signed it.

--payload and --signature write one half of the document to standard output, so that stock minisign can check it.`,
		Example: `  theseus inspect dl/stable --key theseus.pub
  theseus inspect --payload dl/stable > text
  theseus inspect --signature dl/stable > text.minisig
  minisign -V -p theseus.pub -m text`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.payload && (o.signature || o.json) || o.signature && o.json {
				return ui.Usage("--payload, --signature and --json each write to standard output: give one of them")
			}
			return inspect(c.Context(), args[0], &o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.payload, "payload", false, "write the signed text and nothing else")
	f.BoolVar(&o.signature, "signature", false, "write the signature and nothing else")
	f.StringVar(&o.signer, "signer", "", "with --signature, whose: the `ID` of the key (needed if several have signed)")
	f.StringVar(&o.key, "key", "", "check the signatures by the public key or trust document in this `FILE`")
	f.StringVar(&o.key, "root", "", "`FILE`: the same as --key")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

type inspectReport struct {
	Type       verify.Type     `json:"type"`
	Size       int64           `json:"size"`
	SHA256     verify.Digest   `json:"sha256"` // of the text: the document's identity
	Body       json.RawMessage `json:"body"`
	Signatures []signatureInfo `json:"signatures"`
	Verified   *bool           `json:"verified,omitempty"` // absent: nobody said by which key
}

type signatureInfo struct {
	KeyID            string `json:"key_id"`
	TrustedComment   string `json:"trusted_comment"`
	UntrustedComment string `json:"untrusted_comment"`
}

func inspect(ctx context.Context, name string, o *inspectOptions) error {
	file, err := readDocument(ctx, name)
	if err != nil {
		return err
	}
	if key, err := verify.ParseKey(string(file)); err == nil {
		return inspectKey(key, o)
	}
	if _, err := verify.ParsePrivateKey(string(file)); err == nil || errors.Is(err, verify.ErrEncrypted) {
		return ui.Fail(ui.ExitUsage, "%s is a private key, which nothing should show: give the .pub file", name)
	}
	text, blocks, err := verify.Split(file)
	if err != nil {
		return ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	claimed, err := publisher.PeekText(text)
	if err != nil {
		return ui.Fail(ui.ExitRefused, "%s is a signed text, but not a document of Theseus: %w: check the path or URL", name, err)
	}
	id := verify.IDOf(text)
	r := &inspectReport{Type: claimed.Type, Size: id.Size, SHA256: id.SHA256, Body: bytes.TrimSpace(claimed.Body)}
	var chosen [][]byte
	for _, b := range blocks {
		var s minisign.Signature
		if err := s.UnmarshalText(b); err != nil {
			return ui.Fail(ui.ExitRefused, "%s has a damaged signature: %w: fetch it again", name, err)
		}
		info := signatureInfo{fmt.Sprintf("%016X", s.KeyID), s.TrustedComment, s.UntrustedComment}
		r.Signatures = append(r.Signatures, info)
		if o.signer == "" || strings.EqualFold(o.signer, info.KeyID) {
			chosen = append(chosen, b)
		}
	}
	switch {
	case o.payload:
		_, err := os.Stdout.Write(text)
		return err
	case o.signature && len(chosen) != 1:
		return ui.Usage("%s of %s, and minisign takes one: choose it with --signer, one of %s", ui.Plural(len(chosen), "signature"), name, r.signers())
	case o.signature:
		_, err := os.Stdout.Write(chosen[0])
		return err
	}
	var verr error
	if o.key != "" {
		verr = checkBy(file, claimed.Type, o.key)
		good := verr == nil
		r.Verified = &good
	}
	if err := ui.Result(o.json, r, r.print); err != nil {
		return err
	}
	return verr
}

// checkBy checks a document by the keys that have the role for its type.
func checkBy(file []byte, t verify.Type, key string) error {
	trust, err := readTrust(key)
	if err != nil {
		return err
	}
	var keys verify.Keys
	switch t {
	case verify.TypeChannel:
		keys = trust.Channel
	case verify.TypeManifest:
		keys = trust.Release
	case verify.TypeTrust:
		keys = trust.Trust
	}
	_, err = verify.Open(file, t, keys)
	return err
}

func (r *inspectReport) signers() string {
	var ids []string
	for _, s := range r.Signatures {
		ids = append(ids, s.KeyID)
	}
	return strings.Join(ids, ", ")
}

func (r *inspectReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d bytes, SHA-256 %s\n\n", ui.Clean(string(r.Type)), r.Size, r.SHA256)
	newBodyPrinter(w, r.Body).value("", "")
	fmt.Fprintln(w)
	for _, s := range r.Signatures {
		fmt.Fprintf(w, "signed by %s  %s\n", s.KeyID, ui.Clean(s.TrustedComment))
	}
	switch {
	case r.Verified == nil:
		fmt.Fprintln(w, "\nThe signatures were not checked: give --key FILE.")
	case *r.Verified:
		fmt.Fprintln(w, "\nThe signatures hold.")
	default:
		fmt.Fprintln(w, "\nTHE SIGNATURES DO NOT HOLD: believe nothing of the above.")
	}
}

// A bodyPrinter writes any JSON as lines of name and value, in the document's own order: members that this version does
// not know are shown like all others.
type bodyPrinter struct {
	w    io.Writer
	d    *json.Decoder
	now  time.Time
	item bool // the next line begins an item of a list
}

func newBodyPrinter(w io.Writer, body []byte) *bodyPrinter {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return &bodyPrinter{w: w, d: d, now: time.Now()}
}

func (p *bodyPrinter) line(indent, name, format string, args ...any) {
	if p.item {
		indent, p.item = strings.TrimSuffix(indent, "  ")+"- ", false
	}
	fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf("%s%-10s %s", indent, name, fmt.Sprintf(format, args...)), " "))
}

// value prints the next value under a name; of an item of a list the name is empty.
func (p *bodyPrinter) value(indent, name string) {
	token, err := p.d.Token()
	if err != nil {
		return // PeekText has parsed it already
	}
	switch t := token.(type) {
	case json.Delim:
		p.members(t, indent, name)
	case string:
		if at, err := time.Parse(time.RFC3339, t); err == nil {
			p.line(indent, name, "%s (%s)", t, p.relative(at))
			return
		}
		for _, l := range strings.Split(t, "\n") {
			p.line(indent, name, "%s", ui.Clean(l))
			name = ""
		}
	case json.Number:
		if n, err := t.Int64(); err == nil && name == "size" && n >= 1000 {
			p.line(indent, name, "%d (%s)", n, ui.Bytes(n))
			return
		}
		p.line(indent, name, "%s", t)
	default:
		p.line(indent, name, "%v", t)
	}
}

func (p *bodyPrinter) members(open json.Delim, indent, name string) {
	if name != "" {
		p.line(indent, name, "")
		indent += "  "
	}
	for p.d.More() {
		if open == '[' {
			p.item = true
			p.value(indent+"  ", "")
			continue
		}
		key, _ := p.d.Token()
		p.value(indent, ui.Clean(fmt.Sprint(key)))
	}
	p.item = false
	p.d.Token() // the closing one
}

func (p *bodyPrinter) relative(t time.Time) string {
	if d := t.Sub(p.now); d > 0 {
		return "in " + ui.Span(d)
	}
	return ui.Span(p.now.Sub(t)) + " ago"
}

func inspectKey(k verify.Key, o *inspectOptions) error {
	v := map[string]any{"type": "minisign public key", "id": k.ID(), "key": k.String(), "fingerprint": k.Fingerprint()}
	return ui.Result(o.json, v, func(w io.Writer) {
		fmt.Fprintf(w, "minisign public key\nid           %s\nkey          %s\nfingerprint  %s (SHA-256 of the key bytes)\n", k.ID(), k, k.Fingerprint())
	})
}

// openRef is os.Open that ends with ctx: a pipe may have no writer.
func openRef(ctx context.Context, name string) (*os.File, error) {
	return await(ctx, func() (*os.File, error) { return os.Open(name) })
}

// readAll reads at most one byte more than max, until ctx ends: the writer of a pipe may never write.
func readAll(ctx context.Context, r io.Reader, max int64) ([]byte, error) {
	return await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(r, max+1)) })
}

// await returns what do does, or the end of ctx: then do is left behind, for the program is about to end.
func await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// readDocument reads a whole document from a file, a URL or standard input.
func readDocument(ctx context.Context, name string) ([]byte, error) {
	max := verify.TypeManifest.MaxSize() // the largest of all types
	if !strings.Contains(name, "://") {
		f := os.Stdin
		if name != "-" {
			var err error
			if f, err = openRef(ctx, name); err != nil {
				return nil, err
			}
			defer f.Close()
			if info, err := f.Stat(); err == nil && info.IsDir() {
				return nil, ui.Fail(ui.ExitUsage, "%s is a folder: give one document in it, for example %s/stable", name, strings.TrimRight(name, "/"))
			}
		}
		b, err := readAll(ctx, f, max)
		if err == nil && int64(len(b)) > max {
			err = ui.Fail(ui.ExitRefused, "%s is larger than any document: check the path", name)
		}
		return b, err
	}
	i := strings.LastIndex(name, "/")
	c := &fetch.Client{Sources: []string{name[:i]}, UserAgent: "theseus"}
	if err := c.Check(); err != nil {
		return nil, ui.Usage("%w", err)
	}
	var file []byte
	_, err := c.Document(ctx, name[i+1:], max, nil, func(b []byte) error {
		file = b
		return nil
	})
	return file, err
}
