package delta

import (
	"fmt"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// A recipe is the first part of a patch's body: all that must be known before
// the first byte of the new file can be made.
type recipe struct {
	image  *executable.Image // of the old file; nil for Plain
	layout executable.Layout // of the new one
	made   []executable.Table
	ops    []op
	runs   []run

	shares // what each part takes, for Stats
}

// codeRecipe codes the recipe in the order of the format. Decoding, old parses the
// old file if the patch needs it.
func codeRecipe(c *coding.Coder, h Header, old func() (*executable.Image, error), r *recipe) (*recipe, error) {
	if r == nil {
		r = &recipe{}
	}
	if h.Predictor == Go {
		if !c.Encoding {
			im, err := old()
			if err != nil {
				return nil, fmt.Errorf("reading the old file: %w", err)
			}
			r.image = im
		}
		l, err := codeLayout(c, &r.layout, &r.image.Layout, h.New.Size)
		if err != nil {
			return nil, err
		}
		r.layout = *l
		if r.made, err = codeGenerated(c, r.made, r.image.Tables()); err != nil {
			return nil, err
		}
	}
	r.account(c, partLayout)
	var err error
	if r.ops, err = codeOps(c, r.ops, h.Old.Size, h.New.Size); err != nil {
		return nil, err
	}
	r.account(c, partCopies)
	if h.Predictor == Go {
		if r.runs, err = codeRuns(c, r.runs, h.New.Size); err != nil {
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
	m.seal(r.image.Lo, r.image.Hi)
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
