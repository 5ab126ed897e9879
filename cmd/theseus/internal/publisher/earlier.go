package publisher

import (
	"context"
	"errors"
	"io/fs"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// walkBack finds what leads to the root, which programs need that were built before it. Nobody has to be believed: who signed
// each of them by its own rule has signed its successor too, by the same rule. Where the memory is lost, this is how it
// learns them again.
func (p *Publisher) walkBack(ctx context.Context, root *verify.Trust) error {
	for next := root; next.Version > 1; {
		file, _, err := p.read(ctx, release.TrustPath(next.Version-1), verify.TypeTrust)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		before, err := verify.ParseTrust(string(file))
		if err != nil || before.Version != next.Version-1 {
			return nil
		}
		if _, err := before.Next(next.File, p.app); err != nil {
			return nil
		}
		p.earlier = append(p.earlier, before)
		next = before
	}
	return nil
}
