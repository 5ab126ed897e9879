package fetch

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter bounds how long one answer can keep a client away. It may come from anybody on the way.
const maxRetryAfter = time.Hour

// Backoff is the wait before the next try after so many failures in a row: a random part of first·2^(failures-1), which
// never exceeds limit. That the whole wait is random ("full jitter") spreads a fleet best after an outage that all of
// it saw at once; see Brooker, Exponential Backoff And Jitter, AWS Architecture Blog 2015. random is rand.Float64 or
// alike.
func Backoff(first, limit time.Duration, failures int, random func() float64) time.Duration {
	d := min(first, limit)
	for i := 1; i < failures && d < limit; i++ {
		if d > limit/2 {
			d = limit
		} else {
			d *= 2
		}
	}
	return time.Duration(random() * float64(d))
}

// Jitter is the wait before the next regular poll: interval ± 20 %, so that clients which started together drift apart.
func Jitter(interval time.Duration, random func() float64) time.Duration {
	return time.Duration((0.8 + 0.4*random()) * float64(interval))
}

// parseRetryAfter reads the header's both forms. A date counts from the server's own Date, if it gives one: this
// machine's clock may be wrong.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(s, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

// retryAfter is what a failed source asked for.
func retryAfter(err error) time.Duration {
	var status *StatusError
	if errors.As(err, &status) {
		return status.RetryAfter
	}
	return 0
}
