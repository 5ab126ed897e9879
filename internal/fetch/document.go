package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Document gets a small file of at most limit bytes, source by source, until accept returns nil for its bytes.
//
// accept decides about each answer. Its error, wrapped in a Refusal, leads to the next source; if it is an ErrStale,
// the same source is first asked once more past its caches. v, if not nil, makes the request to its own source
// conditional, so that Result.NotModified may be true, and then accept is not called.
//
// If all sources fail, the error joins their errors, best cause first: refused, insecure, an HTTP status, not found,
// unreachable. Result.Failed and Result.RetryAfter are set with an error too. If ctx ends, its error is returned.
func (c *Client) Document(ctx context.Context, path string, limit int64, v *Validator, accept func(b []byte) error) (Result, error) {
	return c.each(ctx, path, nil, func(s source, res *Result) error {
		q := query{}
		if v != nil && v.Source == s.String() {
			q.etag = validETag(v.ETag)
		}
		b, reply, err := document(ctx, s, path, limit, q)
		if broken := (*brokenError)(nil); errors.As(err, &broken) {
			b, reply, err = document(ctx, s, path, limit, q) // a server may close as it restarts
		}
		if err != nil {
			return err
		}
		if !reply.notModified {
			err = accept(b)
			if errors.Is(err, ErrStale) {
				if b, r, again := document(ctx, s, path, limit, query{fresh: true}); again == nil {
					reply, err = r, accept(b)
				}
			}
			if err != nil {
				return reply.refuse(err)
			}
		}
		res.NotModified = reply.notModified
		if reply.etag != "" {
			res.Validator = Validator{Source: s.String(), ETag: reply.etag}
		}
		return nil
	})
}

// document makes one request. The bytes are nil if nothing was modified.
func document(ctx context.Context, s source, path string, limit int64, q query) ([]byte, *reply, error) {
	r, err := s.get(ctx, path, q)
	if err != nil || r.notModified {
		return nil, r, err
	}
	defer r.body.Close()
	if r.length > limit {
		return nil, nil, tooLarge(limit)
	}
	var b bytes.Buffer
	// One byte more than the cap tells a whole answer from a cut one; nothing else about the length is believed.
	if n, err := b.ReadFrom(io.LimitReader(r.body, limit+1)); n > limit {
		return nil, nil, tooLarge(limit)
	} else if err != nil {
		return nil, nil, err
	}
	return b.Bytes(), r, nil
}

func tooLarge(limit int64) error {
	return &Refusal{fmt.Errorf("the answer is %w: more than %d bytes", ErrTooLarge, limit)}
}

// refuse says that these bytes are not good.
func (r *reply) refuse(err error) error {
	if r.encoding != "" {
		err = fmt.Errorf("%w (the server sent it with Content-Encoding %q although none was asked for; turn that off for this folder)", err, plain(r.encoding))
	}
	return &Refusal{err}
}

// each asks one source after the other until ask succeeds. first, if not nil, takes the place of the first one.
func (c *Client) each(ctx context.Context, path string, first source, ask func(s source, res *Result) error) (Result, error) {
	var res Result
	if err := c.Check(); err != nil {
		return res, err
	}
	if err := validPath(path); err != nil {
		return res, err
	}
	for i, s := range c.sources {
		if i == 0 && first != nil {
			s = first
		}
		err := ask(s, &res)
		if err == nil {
			res.Source = s.String()
			return res, nil
		}
		if local := (*localError)(nil); errors.As(err, &local) {
			return res, fmt.Errorf("fetching %s: %w", path, local.error)
		}
		if ctx.Err() != nil {
			return res, fmt.Errorf("fetching %s: %w", path, ctx.Err())
		}
		res.fail(s, err)
	}
	return res, newFailure(path, res.Failed)
}
