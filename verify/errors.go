package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// What a caller may branch on, with errors.Is. Every error of this package about a document or a key wraps one of
// these, and its text is one sentence for an operator.
var (
	// ErrMalformed means that the bytes are not a document (or key) of this format, as an HTML page or half a download.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge means that the file, its text or its signatures are larger than the format allows.
	ErrTooLarge = errors.New("too large")
	// ErrAlgorithm means that a signature is not of the prehashed kind, "ED".
	ErrAlgorithm = errors.New("signature algorithm refused")
	// ErrSignature means that a signature by one of the keys does not fit the text, or that none of the keys signed.
	ErrSignature = errors.New("signature refused")
	// ErrThreshold means that some of the keys signed, but fewer than it takes.
	ErrThreshold = errors.New("too few signatures")
	// ErrType means that the document is signed, but of another type than the one asked for.
	ErrType = errors.New("document of another type")
	// ErrApp means that the document is signed, but for another app.
	ErrApp = errors.New("document of another app")
	// ErrVersion means that the document is signed, but not the trust version that comes next.
	ErrVersion = errors.New("document of another version")
	// ErrEncrypted means that the private key has a passphrase: see [DecryptPrivateKey].
	ErrEncrypted = errors.New("private key is encrypted")
	// ErrPassphrase means that the passphrase does not open the private key.
	ErrPassphrase = errors.New("wrong passphrase")
)

// refusal is an error of one of the kinds above with a sentence of its own.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

// within puts where it happened before an error and keeps its kind.
func within(err error, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// looksLike says what a file is that is not a signed document, and what to do: most often the address is wrong or a
// machine in between answered.
func looksLike(file []byte) string {
	head := file[:min(len(file), 512)]
	start := strings.ToLower(string(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\uFEFF")), " \t\r\n")))
	const notDocument = ", not a signed document"
	switch {
	case len(file) == 0:
		return "the file is empty: check the address, and that it was uploaded whole"
	case bytes.HasPrefix(head, []byte("\uFEFF")):
		return "the file begins with a byte order mark" + notDocument + ": store it again exactly as it was signed"
	case strings.HasPrefix(start, "<!doctype") || strings.HasPrefix(start, "<html") || strings.HasPrefix(start, "<head") || strings.HasPrefix(start, "<body"):
		return "this is an HTML page" + notDocument + ": check the URL, and whether a login page or proxy answers in its place"
	case strings.HasPrefix(start, "<"):
		return "this is XML or HTML, perhaps an error message of a store" + notDocument + ": check the URL"
	case strings.HasPrefix(start, "{") || strings.HasPrefix(start, "["):
		return "this is plain JSON without a type line and signatures" + notDocument + ": sign it first"
	case strings.HasPrefix(start, "untrusted comment:"):
		return "this is a minisign key or signature on its own" + notDocument + ": a document carries its signatures in the same file, after the text"
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "this is compressed data" + notDocument + ": the server must send documents as they are"
	case bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("MZ")):
		return "this is a program" + notDocument + ": check the URL"
	}
	return "this is not a signed document, its first line is not a type line such as " + string(TypeChannel) + ": check the address"
}
