package remote

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/verify"
)

// errExchanged: the bytes are not those that were signed.
var errExchanged = errors.New("the bytes are not those that were signed")

// sealed reads what r has, and fails rather than give out the last byte of what is not the file of this identity. So it
// cannot arrive anywhere as a whole.
func sealed(r io.Reader, want verify.ID) io.Reader { return &seal{r, want, sha256.New(), 0} }

type seal struct {
	r    io.Reader
	want verify.ID
	hash hash.Hash
	n    int64
}

func (s *seal) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.hash.Write(p[:n])
	s.n += int64(n)
	switch {
	case s.n > s.want.Size,
		s.n == s.want.Size && verify.Digest(s.hash.Sum(nil)) != s.want.SHA256,
		err == io.EOF && s.n < s.want.Size:
		return 0, errExchanged
	}
	return n, err
}

// during reads until the context ends.
func during(ctx context.Context, r io.Reader) io.Reader { return &bounded{ctx, r} }

type bounded struct {
	ctx context.Context
	r   io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// short is a name that a line has room for. Whoever can write to a store gives his files what names he likes.
func short(name string) string {
	if hash, ok := strings.CutPrefix(name, "files/"); ok && len(hash) >= 64 {
		name = "files/" + hash[:12] + "…" + hash[64:]
	}
	return ui.Clean(name)
}
