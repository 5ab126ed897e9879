package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/theseus-go/theseus/internal/text"
)

// The errors that a caller may want to tell apart; see also StatusError and Refusal.
var (
	ErrTooLarge = errors.New("larger than it may be")           // a document above its cap
	ErrSize     = errors.New("not of the signed size")          // a file that ends early or goes on
	ErrHash     = errors.New("not what was signed")             // a file with another SHA-256
	ErrStalled  = errors.New("too slow")                        // no answer, or less than the minimum progress
	ErrInsecure = errors.New("insecure")                        // plain http, or a redirect that must not be followed
	ErrTLS      = errors.New("the server is not authenticated") // a certificate that proves nothing
	ErrNotFound = errors.New("not found")                       // no source has a file of this name
	ErrStale    = errors.New("older than what is remembered")   // for accept: ask again past the caches
)

// StatusError is an HTTP status other than the ones that bring bytes. 404 and 410 are ErrNotFound as well.
// Note that S3 answers 403 for a missing file to whoever may not list the bucket.
type StatusError struct {
	Code       int
	RetryAfter time.Duration // how long the server asks to be left alone; at most an hour, 0 if it does not say
}

func (e *StatusError) Error() string {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code)))
	switch {
	case e.Is(ErrNotFound):
		return status + ": check that the source is the folder that was published to"
	case e.Code == http.StatusUnauthorized, e.Code == http.StatusForbidden:
		return status + ": Theseus sends no credentials; make the folder readable for everyone who may update (some stores also say so of a missing file)"
	case e.Code == http.StatusProxyAuthRequired:
		return status + ": give the proxy's user name and password in HTTPS_PROXY"
	case e.RetryAfter > 0:
		return fmt.Sprintf("%s: the server asks to wait %v", status, e.RetryAfter)
	case e.Code >= 500 || e.Code == http.StatusTooManyRequests:
		return status + ": the server is in trouble; try again later"
	}
	return status + ": not an answer that brings a file"
}

// Is makes a missing file an ErrNotFound.
func (e *StatusError) Is(target error) bool {
	return target == ErrNotFound && (e.Code == http.StatusNotFound || e.Code == http.StatusGone)
}

// Refusal says that a source did answer, and that its bytes are not good: accept's error, or that a file is not the
// signed one. It comes first in a joined error, because it may mean an attack where all else means bad luck.
type Refusal struct{ Err error }

func (e *Refusal) Error() string { return e.Err.Error() }
func (e *Refusal) Unwrap() error { return e.Err }

// Unreachable reports whether err is a failure to get bytes at all, from any source: neither a Refusal, nor a fault of
// this machine's own files, nor the caller's own cancellation.
func Unreachable(err error) bool {
	var f *failure
	var r *Refusal
	return errors.As(err, &f) && !errors.As(err, &r)
}

// failure joins what the sources answered, best cause first.
type failure struct {
	path     string
	attempts []Attempt
}

func newFailure(path string, attempts []Attempt) *failure {
	attempts = slices.Clone(attempts)
	sort.SliceStable(attempts, func(i, j int) bool { return rank(attempts[i].Err) < rank(attempts[j].Err) })
	return &failure{path, attempts}
}

func (f *failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fetching %s", f.path)
	for i, a := range f.attempts {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " from %s: %s", a.Source, a.Error)
	}
	return b.String()
}

func (f *failure) Unwrap() []error {
	errs := make([]error, len(f.attempts))
	for i, a := range f.attempts {
		errs[i] = a.Err
	}
	return errs
}

// rank orders causes by how much an operator learns from them.
func rank(err error) int {
	var refusal *Refusal
	var status *StatusError
	switch {
	case errors.As(err, &refusal):
		return 0
	case errors.Is(err, ErrTLS), errors.Is(err, ErrInsecure):
		return 1
	case errors.Is(err, ErrNotFound):
		return 3
	case errors.As(err, &status), errors.Is(err, ErrStalled), errors.Is(err, ErrSize):
		return 2
	}
	return 4
}

// localError is a fault of this machine's files: no other source can mend it.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// brokenError is an answer that was cut off: the same source may well send the rest.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// explained is an error whose text is a sentence, and which still unwraps to its cause. Its cause's own text is not
// shown: it may name URLs with signed queries, or carry bytes that the other side chose.
type explained struct {
	text  text.Line
	cause error
}

func (e *explained) Error() string { return e.text.String() }
func (e *explained) Unwrap() error { return e.cause }

// explain turns an error of a round trip into a sentence for the operator.
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // ErrStalled, or the caller's own
	}
	var (
		wrapped     *url.Error
		dns         *net.DNSError
		op          *net.OpError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		timeout     interface{ Timeout() bool }
	)
	if errors.As(err, &wrapped) { // names the whole URL
		err = wrapped.Err
	}
	as := func(format string, args ...any) error { return sentence(err, format, args...) }
	asTLS := func(format string, args ...any) error { return sentence(errors.Join(ErrTLS, err), format, args...) }
	switch {
	case errors.Is(err, ErrInsecure):
		return err // ours, and a sentence already
	case errors.As(err, &authority):
		return asTLS("its certificate is signed by an authority that this machine does not know; if your network has one of its own, name its certificate as the CA file")
	case errors.As(err, &hostname):
		return asTLS("its certificate is for another host name (%s); check the spelling of the source", plain(strings.Join(hostname.Certificate.DNSNames, ", ")))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return asTLS("its certificate is expired or not valid yet; check this machine's clock first, then tell whoever runs the server")
	case errors.As(err, &certificate), errors.As(err, &invalid):
		return asTLS("its certificate is not valid: %s", plain(err.Error()))
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return asTLS("it does not speak TLS on this port; check the port of the source")
	case errors.As(err, &alert):
		return asTLS("no TLS connection: %s", plain(err.Error()))
	case errors.As(err, &dns) && dns.IsNotFound:
		return as("the host name %q is not known; check the spelling of the source and this machine's DNS", plain(dns.Name))
	case errors.As(err, &dns):
		return as("the host name %q could not be looked up; check this machine's DNS and network", plain(dns.Name))
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return as("the proxy cannot be reached; check HTTPS_PROXY and HTTP_PROXY: %s", plain(op.Err.Error()))
	case errors.Is(err, syscall.ECONNREFUSED):
		return as("nothing listens there (%s); check host and port of the source, and that the server runs", address(err))
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return as("no route to %s; check this machine's network", address(err))
	case errors.As(err, &timeout) && timeout.Timeout():
		return sentence(errors.Join(ErrStalled, err), "no answer in time; check the network and the proxy settings")
	case errors.As(err, &op) && op.Op == "dial":
		return as("no connection: %s", plain(op.Err.Error()))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &op) && op.Op == "read":
		return &brokenError{as("the connection was closed before everything had arrived")}
	}
	return &brokenError{as("%s", plain(err.Error()))}
}

// address names the other end of a failed connection.
func address(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return op.Addr.String()
	}
	return "this address"
}

// maxPlain caps, in bytes, what one answer can add to an error.
const maxPlain = 256

// sentence makes an explained error.
func sentence(cause error, format string, args ...any) error {
	return &explained{text.Of(fmt.Sprintf(format, args...)), cause}
}

// plain makes text of the other side fit for a log: printable, short, and without the queries of URLs, in which object
// stores put signatures that grant access.
func plain(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		if before, _, found := strings.Cut(w, "?"); found && strings.Contains(before, "/") {
			words[i] = before
		}
	}
	return text.Short(strings.Join(words, " "), maxPlain).String()
}
