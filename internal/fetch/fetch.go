// Package fetch gets bytes that nobody vouches for yet: with caps, resume, stall detection, mirrors and conditional
// requests.
//
// It expects the worst of the network and of whoever answers, and believes nothing of what an answer says about itself:
// lengths, offsets, encodings and validators only ever end a transfer early. What makes bytes good is decided by the
// caller: the accept function of [Client.Document], the signed size and SHA-256 of [Client.File].
//
// It is on purpose that these have no switch: TLS certificates are checked, https never turns into http, at most five
// redirects are followed, and no request carries credentials. A proxy is taken from HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY; whoever controls these can withhold an update, not forge one.
package fetch

import (
	"net/http"
	"sync"
	"time"
)

// Client fetches files from the first of its sources that has them. Its fields must not change once it is in use.
// Its methods may be called by several goroutines at once.
type Client struct {
	// Sources are the base URLs to try, in this order: https; http of this machine, or of others with AllowHTTP;
	// file:///ABSOLUTE/FOLDER, or in place of the folder a bundle. No user name, query or fragment. Required.
	Sources []string

	// HTTP is used instead of a client of Theseus's own, with its transport, cookies and timeout. Its timeout, if
	// it has one, limits whole transfers, which Theseus itself does not; its CheckRedirect is replaced. Only
	// Theseus's own client can refuse a redirect whose host name resolves to a private address.
	HTTP *http.Client

	// CAFile names a file of PEM certificates to trust beside the system's.
	CAFile string

	// AllowHTTP allows plain http to and from other machines. Signatures still protect what is installed; who
	// listens on the way can see it and can withhold it.
	AllowHTTP bool

	// Stall is how long to wait for an answer, and the window in which each KiB per second of it has to arrive:
	// a source that brings less than Stall × 1 KiB/s in a window is given up with ErrStalled. 30 s if zero.
	Stall time.Duration

	// UserAgent is sent as it is. "theseus" if empty.
	UserAgent string

	once    sync.Once
	err     error // what Check found
	sources []source
}

// Validator is what makes a later request for the same document conditional: an ETag, and the source it is from, the
// only one to which it is sent. It may be stored and comes back as untrusted as the rest of what is fetched.
type Validator struct {
	Source string `json:"source"`
	ETag   string `json:"etag"`
}

// Attempt is a source that failed, and why.
type Attempt struct {
	Source string `json:"source"`
	Err    error  `json:"-"`
	Error  string `json:"error"` // Err as a sentence for the operator
}

// Result says where bytes came from, also when an error came with it.
type Result struct {
	Source      string        // the source that answered; "" if none did, or nothing had to be asked
	Validator   Validator     // for the next request; zero if the source gave no ETag
	NotModified bool          // the document is the one that the validator belongs to
	Failed      []Attempt     // the sources that failed before, in the order of the attempts
	RetryAfter  time.Duration // the longest wait that a failed source asked for, at most an hour
}

func (r *Result) fail(s source, err error) {
	r.Failed = append(r.Failed, Attempt{Source: s.String(), Err: err, Error: err.Error()})
	r.RetryAfter = max(r.RetryAfter, retryAfter(err))
}

// Check judges the sources and reads CAFile; nothing is asked of the network. An error names the source and says what
// to do. Document and File call it too.
func (c *Client) Check() error {
	c.once.Do(func() { c.sources, c.err = c.open() })
	return c.err
}

const defaultStall = 30 * time.Second
