package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// Options says how Diff works. The zero value is what publishing wants.
type Options struct {
	// Predictors are tried in turn and the smallest patch is kept; one that does
	// not fit the files is passed over. Nil means Go, then Plain. For executables
	// by the Go linker Go alone gives the same patch in half the time.
	Predictors []Predictor
}

// Stats says what a patch is made of. Byte counts of parts are of the coded
// patch; they add up to Size.
type Stats struct {
	Header
	Size int64 // of the patch

	Layout    int64 // where sections, bases and tables are, with the header
	Copies    int64 // the list of copies
	Runs      int64 // the address map's explicit part
	Residue   int64 // corrections of wrong predictions
	Novel     int64 // bytes that nothing predicts
	Generated int64 // bytes of the new file that were made and not shipped

	// Of Residue and Novel, what is there for parts of the new file that a publisher
	// may do something about. Only predictor Go knows them.
	Debug    int64 // debugging information and symbols, which -ldflags='-s -w' leaves out
	Standard int64 // code of the standard library, which is the same in builds by one Go release

	CopyCount  int // copies
	NovelBytes int64
	RunCount   int
	References int // references in copies, all of them predicted
	Wrong      int // of those, predicted wrongly
	WrongBytes int // other bytes corrected one by one
}

// Diff writes a patch that makes new out of old. It is deterministic.
//
// It needs about 16 times the size of old in memory, more where debugging information is packed (see DiffMemory), and
// some seconds of one processor for every 20 MB and predictor. Calls may run at the same time.
func Diff(ctx context.Context, old, new []byte, patch io.Writer, o Options) (Stats, error) {
	for _, b := range [][]byte{old, new} {
		if len(b) > maxFile {
			return Stats{}, fmt.Errorf("%w: deltas are for files up to 2 GiB", ErrTooLarge)
		}
	}
	predictors := o.Predictors
	if predictors == nil {
		predictors = []Predictor{Go, Plain}
	}
	h := Header{
		Old: File{int64(len(old)), sha256.Sum256(old)},
		New: File{int64(len(new)), sha256.Sum256(new)},
	}
	var best []byte
	var stats Stats
	for _, p := range predictors {
		h.Predictor = p
		b, s, err := diff(ctx, h, old, new)
		if err != nil {
			return Stats{}, err
		}
		if b != nil && (best == nil || len(b) < len(best)) {
			best, stats = b, s
		}
	}
	if best == nil {
		return Stats{}, fmt.Errorf("%w: predictors %v do not fit these files", ErrUnsupported, predictors)
	}
	if _, err := patch.Write(best); err != nil {
		return Stats{}, fmt.Errorf("writing the delta: %w", err)
	}
	return stats, nil
}

// DiffMemory estimates how many bytes of memory Diff needs at its peak, for whoever runs several at once within a bound.
// Of the new file, which has size bytes, the headers are read: they say how much debugging information Diff unpacks. The
// old file, of which only the size is asked, is taken to be built in the same way.
func DiffMemory(old int64, new io.ReaderAt, size int64) int64 {
	unpacked, left := size, int64(DefaultMaxUnpacked)
	for _, s := range executable.Packed(executable.NewPages(new, size)) {
		if s.Plain <= left {
			left -= s.Plain
			unpacked += s.Plain - s.N
		}
	}
	was := old
	if size > 0 {
		was = min(old*unpacked/size, old+DefaultMaxUnpacked)
	}
	return 14*was + 5*unpacked + 16<<20
}

// diff makes the patch for one predictor, nil if that does not fit the files.
func diff(ctx context.Context, h Header, old, new []byte) ([]byte, Stats, error) {
	stats := Stats{Header: h}
	r := &recipe{}
	var err error
	switch h.Predictor {
	case Plain:
		if r.ops, err = align(ctx, old, new, slack); err != nil {
			return nil, stats, err
		}
		r.ops = limitOps(prune(old, new, r.ops, least), h.New.Size)
	case Go:
		packed := new
		from, to, err := unpackBoth(ctx, old, new)
		if err != nil {
			return nil, stats, err
		}
		old, new = from.bytes, to.bytes
		r.was, r.is = from.streams, to.streams
		h.Unpacked = plainSize(r.was)
		stats.Header = h
		ok, err := r.plan(ctx, old, new, packed, &stats)
		if err != nil || !ok {
			return nil, stats, err
		}
	default:
		return nil, stats, fmt.Errorf("%w (%v)", ErrUnsupported, h.Predictor)
	}

	// What is wrong in the copies, and what no copy covers.
	m := r.predictor()
	wrong := collector{new: new}
	for _, o := range r.ops {
		b := bytes.Clone(old[o.old : o.old+o.n])
		if _, err := m.predict(b, o.old, o.new, false, &wrong); err != nil {
			return nil, stats, err
		}
	}
	e := &encoder{recipe: r, c: coding.NewEncoder(), new: new, list: wrong.list}
	if _, err := codeRecipe(e.c, h, nil, r); err != nil {
		return nil, stats, err
	}
	e.charged = e.c.Written()
	e.gather(r.ops)
	stats.NovelBytes = int64(len(e.bytes))
	e.step()
	for _, o := range r.ops {
		e.fill(o.new)
		e.correct(o.new + o.n)
	}
	e.fill(r.size)
	stats.Debug, stats.Standard = e.cost[executable.RegionDebug], e.cost[executable.RegionStandard]
	stats.CopyCount, stats.RunCount = len(r.ops), len(r.runs)
	for _, c := range wrong.list {
		if c.k == executable.KindNone {
			stats.WrongBytes++
		} else {
			stats.Wrong++
		}
	}
	out := append(h.append(nil), e.c.Finish()...)
	parts := &e.parts
	stats.Copies, stats.Runs, stats.Residue, stats.Novel = parts[partCopies], parts[partRuns], parts[partResidue], parts[partNovel]
	stats.Size = int64(len(out))
	stats.Layout = stats.Size - stats.Copies - stats.Runs - stats.Residue - stats.Novel
	return out, stats, nil
}

// How much better a match must be than the alignment in force, and how many
// bytes an op must explain: fewer are cheaper as novel bytes (measured).
const (
	slack = 8
	least = 8
)

// limitOps drops the shortest copies beyond what a patch may have.
func limitOps(ops []op, newSize int64) []op {
	for least := int64(16); uint64(len(ops)) > maxOps(newSize); least *= 2 {
		kept := ops[:0]
		for _, o := range ops {
			if o.n >= least {
				kept = append(kept, o)
			}
		}
		ops = kept
	}
	return ops
}

// plan fills the recipe for predictor Go; false if old is no executable that
// it knows, or new is none of the same kind.
// Both files have their streams unpacked; packed is the new one as it is.
func (r *recipe) plan(ctx context.Context, old, new, packed []byte, stats *Stats) (bool, error) {
	was, err := executable.Parse(bytes.NewReader(old), int64(len(old)), ranges(r.was))
	if err != nil {
		return false, err
	}
	is, err := executable.Parse(bytes.NewReader(new), int64(len(new)), ranges(r.is))
	if err != nil {
		return false, err
	}
	if was.Arch == executable.ArchNone || was.Arch != is.Arch || was.Narrow != is.Narrow || was.Big != is.Big {
		return false, nil
	}
	r.image, r.layout, r.regions = was, is.Layout, is.Regions()

	maskedOld, maskedNew := was.Mask(old), is.Mask(new)
	ops, err := align(ctx, maskedOld, maskedNew, slack)
	if err != nil {
		return false, err
	}
	ops = prune(maskedOld, maskedNew, ops, least)
	// A table that follows from the address map is known to do so only when there
	// is a map, and the copies depend on which tables are made.
	candidates := is.Tables()
	for {
		r.made = is.Verified(new, packed, candidates, nil)
		stats.References = r.follow(old, new, is, ops)
		checked := is.Verified(new, packed, r.made, r.predictor().mover())
		if len(checked) == len(r.made) {
			r.made = checked
			break
		}
		candidates = checked
	}
	for _, g := range r.made {
		stats.Generated += g.N
	}
	return true, nil
}

// follow makes the copies and the runs from what was aligned, and returns the
// number of references in the copies.
func (r *recipe) follow(old, new []byte, is *executable.Image, ops []op) (references int) {
	was := r.image
	r.ops = limitOps(split(ops, cuts(was), cuts(is), r.made), int64(len(new)))

	// Let every reference that a copy brings along vote for the map.
	m := mapOfOps(&was.Layout, &is.Layout, r.ops)
	m.seal(was.Lo, was.Top)
	var votes []vote
	for _, o := range r.ops {
		from, to := was.At(o.old), is.At(o.new)
		if from == nil || to == nil {
			continue
		}
		was.References(o.old, o.old+o.n, from, func(off int64, k executable.Kind) {
			references++
			at := o.new + off - o.old
			target := was.Target(k, old[off:], from.Addr+uint64(off-from.Off))
			now := is.Target(k, new[at:], to.Addr+uint64(at-to.Off))
			if was.Maps(target) && now+4096 >= is.Lo && now < is.Top+4096 {
				votes = append(votes, vote{target, now - target})
			}
		})
	}
	r.runs = findRuns(m, votes, was.Top)
	if uint64(len(r.runs)) > maxOps(int64(len(new))) {
		r.runs = nil
	}
	return references
}

// cuts returns where sections begin and end; no op crosses those.
func cuts(im *executable.Image) []int64 {
	var out []int64
	for _, s := range im.Sections {
		out = append(out, s.Off, s.Off+s.FileSize)
	}
	for _, g := range im.Tables() {
		out = append(out, g.Off, g.Off+g.N)
	}
	return out
}

// encoder writes the second part of the body: novel bytes and corrections, in
// the order in which Apply asks for them.
type encoder struct {
	*recipe
	c   *coding.Coder
	new []byte

	cost    [executable.Regions]int64 // bytes written for each region
	charged int64

	list    []correction // still to come
	residue residueCoder

	novel  novelCoder
	bytes  []byte // all novel bytes
	tokens []token
	done   int   // novel bytes whose tokens are written
	asked  int   // novel bytes that the decoder has asked for
	at     int64 // in the new file
}

// step writes where the next correction is; after the last one, past the end.
func (e *encoder) step() {
	next := int64(len(e.new))
	if len(e.list) > 0 {
		next = e.list[0].off
	}
	e.residue.place(e.c, next)
}

// charge puts what was written since the last call down to the region of off.
func (e *encoder) charge(off int64) {
	n := e.c.Written()
	if e.regions != nil {
		e.cost[e.regions(off)] += n - e.charged
	}
	e.charged = n
}

// correct writes the corrections before to.
func (e *encoder) correct(to int64) {
	for len(e.list) > 0 && e.list[0].off < to {
		w := e.list[0]
		e.list = e.list[1:]
		if w.k == executable.KindNone {
			e.residue.wrongByte(e.c, w.off, e.layout.Place(w.off), byte(w.v))
		} else {
			e.residue.wrongReference(e.c, w.off, w.k, w.raw, w.v)
		}
		e.step()
		e.charge(w.off)
	}
	e.at = to
	e.account(e.c, partResidue)
}

// spans calls f for every stretch of novel bytes before to.
func (e *encoder) spans(at, to int64, f func(from, to int64)) {
	made := e.made
	for at < to {
		n := to - at
		for len(made) > 0 && made[0].Off+made[0].N <= at {
			made = made[1:]
		}
		if len(made) > 0 && made[0].Off < at+n {
			if n = made[0].Off - at; n <= 0 {
				at = made[0].Off + made[0].N
				continue
			}
		}
		f(at, at+n)
		at += n
	}
}

// gather collects the novel bytes and chooses their tokens.
func (e *encoder) gather(ops []op) {
	at := int64(0)
	take := func(from, to int64) { e.bytes = append(e.bytes, e.new[from:to]...) }
	for _, o := range ops {
		e.spans(at, o.new, take)
		at = o.new + o.n
	}
	e.spans(at, int64(len(e.new)), take)
	e.tokens = novelTokens(e.bytes)
	storeBlocks(e.bytes, e.tokens)
}

// fill writes the tokens of the novel bytes up to to, as the decoder asks for
// them: a token when the byte that it begins with is due.
func (e *encoder) fill(to int64) {
	z := &e.novel
	e.spans(e.at, to, func(from, to int64) {
		for pos := from; pos < to; {
			if e.done == e.asked {
				t := e.tokens[0]
				e.tokens = e.tokens[1:]
				z.token(e.c, e.layout.Place(pos), t, e.bytes[e.done])
				e.done += max(t.length, 1)
				e.charge(pos)
			}
			n := min(to-pos, int64(e.done-e.asked))
			for range n {
				z.put(e.bytes[e.asked])
				e.asked++
			}
			pos += n
		}
	})
	e.at = to
	e.account(e.c, partNovel)
}
