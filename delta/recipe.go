package delta

import "fmt"

// A recipe is the first part of a patch's body: all that must be known before
// the first byte of the new file can be made.
type recipe struct {
	image  *image // of the old file; nil for Plain
	layout layout // of the new one
	made   []generated
	ops    []op
	runs   []run
}

// recipe codes the recipe in the order of the format. Decoding, old parses the
// old file if the patch needs it.
func (c *coder) recipe(h Header, old func() (*image, error), r *recipe) (*recipe, error) {
	if r == nil {
		r = &recipe{}
	}
	if h.Predictor == Go {
		if !c.encoding {
			im, err := old()
			if err != nil {
				return nil, fmt.Errorf("reading the old file: %w", err)
			}
			r.image = im
		}
		l, err := c.layout(&r.layout, &r.image.layout, h.New.Size)
		if err != nil {
			return nil, err
		}
		r.layout = *l
		if r.made, err = c.generated(r.made, r.image.generated()); err != nil {
			return nil, err
		}
	}
	c.account(partLayout)
	var err error
	if r.ops, err = c.ops(r.ops, h.Old.Size, h.New.Size); err != nil {
		return nil, err
	}
	c.account(partCopies)
	if h.Predictor == Go {
		if r.runs, err = c.runs(r.runs, h.New.Size); err != nil {
			return nil, err
		}
	}
	c.account(partRuns)
	return r, c.err()
}

// mover returns what predicts copies, nil for Plain.
func (r *recipe) mover() *mover {
	if r.image == nil {
		return nil
	}
	m := mapOfOps(&r.image.layout, &r.layout, r.ops).with(r.runs)
	m.seal(r.image.lo, r.image.hi)
	return &mover{r.image, &r.layout, m}
}
