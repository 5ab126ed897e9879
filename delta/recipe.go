package delta

import (
	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// A recipe is the first part of a patch's body: all that must be known before
// the first byte of the new file can be made.
type recipe struct {
	was, is []stream // that are unpacked, of the old file and the new one
	size    int64    // of the new file with them unpacked

	image  *executable.Image // of the old file; nil for Plain
	layout executable.Layout // of the new one
	made   []executable.Table
	ops    []op
	runs   []run

	shares                                    // what each part takes, for Stats
	regions func(off int64) executable.Region // of the new file, for Stats; nil for Plain
}

// codeRecipe codes the recipe in the order of the format. Decoding, old parses the
// old file if the patch needs it, its streams unpacked.
func codeRecipe(c *coding.Coder, h Header, old func(*recipe) (*executable.Image, error), r *recipe) (*recipe, error) {
	if r == nil {
		r = &recipe{}
	}
	var err error
	if h.Predictor == Go {
		var m streamCoder
		if r.was, err = m.codeStreams(c, r.was, nil, h.Old.Size, false); err != nil {
			return nil, err
		}
		if r.is, err = m.codeStreams(c, r.is, r.was, h.New.Size, true); err != nil {
			return nil, err
		}
	}
	oldSize := unpackedSize(h.Old.Size, r.was)
	if r.size = unpackedSize(h.New.Size, r.is); oldSize > maxFile || r.size > maxFile {
		return nil, damaged("too much debugging information")
	}
	if h.Predictor == Go {
		if !c.Encoding {
			im, err := old(r)
			if err != nil {
				return nil, err
			}
			r.image = im
		}
		l, err := codeLayout(c, &r.layout, &r.image.Layout, r.size)
		if err != nil {
			return nil, err
		}
		r.layout = *l
		if r.made, err = codeGenerated(c, r.made, r.image.Tables()); err != nil {
			return nil, err
		}
	}
	r.account(c, partLayout)
	if r.ops, err = codeOps(c, r.ops, oldSize, r.size); err != nil {
		return nil, err
	}
	r.account(c, partCopies)
	if h.Predictor == Go {
		if r.runs, err = codeRuns(c, r.runs, r.size); err != nil {
			return nil, err
		}
	}
	r.account(c, partRuns)
	return r, c.Err()
}

// predictor returns what predicts copies, nil for Plain.
func (r *recipe) predictor() *predictor {
	if r.image == nil {
		return nil
	}
	m := mapOfOps(&r.image.Layout, &r.layout, r.ops).with(r.runs)
	m.seal(r.image.Lo, r.image.Top)
	return &predictor{r.image, &r.layout, m}
}

// A part of the body, for Stats.
type part uint8

const (
	partLayout part = iota
	partCopies
	partRuns
	partResidue
	partNovel
	parts
)

// shares counts the bytes of the body by part.
type shares struct {
	parts   [parts]int64
	counted int64
}

// account puts what was encoded since the last call down to p.
func (s *shares) account(c *coding.Coder, p part) {
	n := c.Written()
	s.parts[p] += n - s.counted
	s.counted = n
}
