// Package fetch gets bytes that nobody vouches for yet: with caps, resume, stall detection, mirrors and conditional requests.
package fetch

import (
	"context"
	"github.com/theseus-go/theseus/verify"
	"net/http"
	"os"
	"time"
)

// CONTRACT. (internal packages may import verify for its ID type.)

type Client struct {
	Sources   []string      // base URLs in order: https, http (loopback, or AllowHTTP), file (absolute folder)
	HTTP      *http.Client  // nil: own transport (proxy from environment, DisableCompression, header timeout, keep-alive)
	CAFile    string        // PEM added to the system's roots
	AllowHTTP bool          // plain http to other than loopback
	Stall     time.Duration // minimum progress window; 0: 30 s
	UserAgent string
}

// Check parses the sources: the one place that judges URLs. Errors name the source and say what to do.
func (c *Client) Check() error { panic("contract") }

// Validator remembers what makes a later request conditional. Stored in state as it is.
type Validator struct {
	Source string `json:"source"`
	ETag   string `json:"etag"`
}
type Attempt struct { // one source that failed and why; shown in status
	Source string `json:"source"`
	Err    error  `json:"-"`
	Error  string `json:"error"`
}
type Result struct {
	Source      string
	Validator   Validator
	NotModified bool
	Failed      []Attempt
	RetryAfter  time.Duration
}

// Document gets a small file of at most max bytes, source by source, until accept returns nil for its bytes.
// accept's error decides: ErrStale wrapped -> one retry with Cache-Control: no-cache first; any other -> next source. All failed: the joined error, best cause first (a refusal outranks unreachable).
func (c *Client) Document(ctx context.Context, path string, max int64, v *Validator, accept func(b []byte) error) (Result, error) {
	panic("contract")
}

// File brings dst (a private file, opened read-write) to the bytes named by want: resumes from what is there (hashing it first), never writes past want.Size, checks the whole hash at the end; on a mismatch starts once from zero, then next source.
// progress may be nil; it gets bytes so far and is called at most 10 times a second. dst is left positioned at 0, not fsynced.
func (c *Client) File(ctx context.Context, path string, want verify.ID, dst *os.File, progress func(done, total int64)) (Result, error) {
	panic("contract")
}

// Errors: ErrTooLarge, ErrSize, ErrHash, ErrStalled, ErrInsecure (plain http, downgrade on redirect), ErrNotFound, ErrStale (for accept), *StatusError{Code, RetryAfter}; net errors wrapped
