// Package fetch gets bytes that nobody vouches for yet.
//
//	c := &fetch.Client{Sources: []string{"https://dl.example.com/hello"}} // or a folder, or a bundle: see Base
//	res, err := c.Document(ctx, "stable", limit, nil, accept)             // small, judged by accept
//	res, err = c.File(ctx, path, id, file, progress)                      // large, judged by size and SHA-256
//
// It puts caps on everything, resumes, gives up what is too slow, goes on to the next source, and asks servers whether
// something changed. It is the one reader of every source there is: servers, folders, bundles.
//
// It expects the worst of the network and of whoever answers, and believes nothing of what an answer says about itself:
// lengths, offsets, encodings and validators only ever end a transfer early. What makes bytes good is decided by the caller.
// What an answer says reaches errors and results as [text.Line] only.
//
// Deliberately not configurable: TLS certificates are checked, https never turns into http, at most five redirects are
// followed and none from a public host into this machine's own network, and no request carries credentials. A proxy is
// taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY; whoever controls these can withhold an update, not forge one.
//
// [text.Line]: https://pkg.go.dev/github.com/theseus-go/theseus/internal/text#Line
package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/text"
)

// Client fetches files from the first of its sources that has them. Its fields must not change once it is in use.
// Its methods may be called by several goroutines at once.
type Client struct {
	// Sources are the base URLs to try, in this order: https; http of this machine, or of others with AllowHTTP;
	// file:///ABSOLUTE/FOLDER, or in place of the folder a bundle. No user name, query or fragment. Required.
	Sources []string

	// Files says where the files of the first source lie, if that is not below it: an https or http URL with {name} in it,
	// and {version} if they lie with their release. A query is kept, and reaches no error. The other sources have theirs
	// below them.
	Files string

	// HTTP is used instead of a client of Theseus's own, with its transport, cookies and timeout. Its timeout, if
	// it has one, limits whole transfers, which Theseus itself does not; its CheckRedirect is replaced. Only
	// Theseus's own client can refuse a redirect whose host name resolves to a private address.
	HTTP *http.Client

	// CAFile names a file of PEM certificates to trust beside the system's.
	CAFile string

	// AllowHTTP allows plain http to and from other machines. Signatures still protect what is installed; who
	// listens on the way can see it and can withhold it.
	AllowHTTP bool

	// Stall is how long to wait for an answer, and the window over which MinRate is measured. 30 s if zero.
	Stall time.Duration

	// MinRate is the least throughput, in bytes per second averaged over Stall, for which a source is kept: one that
	// brings less is given up with ErrStalled, and what it brought is resumed later. 4 KiB if zero, which a line of
	// 64 kbit/s reaches; 1 takes whatever still moves.
	MinRate int64

	// UserAgent is sent as it is. "theseus" if empty.
	UserAgent string

	once    sync.Once
	err     error // what Check found
	sources []source
	files   *template // nil: below the first source
}

// Validator is what makes a later request for the same document conditional: an ETag, and the source it is from, the
// only one to which it is sent. It may be stored and comes back as untrusted as the rest of what is fetched.
type Validator struct {
	Source string `json:"source"`
	ETag   string `json:"etag"`
}

// Attempt is a source that failed, and why.
type Attempt struct {
	Source string    `json:"source"`
	Err    error     `json:"-"`
	Error  text.Line `json:"error"` // Err as a sentence for the operator
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
	r.Failed = append(r.Failed, Attempt{Source: s.String(), Err: err, Error: text.Of(err.Error())})
	r.RetryAfter = max(r.RetryAfter, retryAfter(err))
}

// Check judges the sources and reads CAFile; nothing is asked of the network. An error names the source and says what
// to do. Document and File call it too.
func (c *Client) Check() error {
	c.once.Do(func() { c.sources, c.files, c.err = c.open() })
	return c.err
}

// List returns the names of the files at the top of the first source, channels among them. Only a folder and a bundle can
// list what they have; for a server the error is errors.ErrUnsupported.
func (c *Client) List() ([]string, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	local, ok := c.sources[0].(*folder)
	if !ok {
		return nil, fmt.Errorf("%s cannot list what it has: %w", c.sources[0], errors.ErrUnsupported)
	}
	names, err := local.names()
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", local, err)
	}
	return names, nil
}

const (
	defaultStall   = 30 * time.Second
	defaultMinRate = 4 << 10
)
