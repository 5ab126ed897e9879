package delta

import (
	"math/bits"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// The residue is where predictions are wrong, in the order of the new file: how
// many bytes are right before the next wrong place, and then what to do there.

// A correction is one wrong place. A wrong byte has kind KindNone and v is what
// to add. A wrong reference has v to add to the target, or, when no target
// gives the bytes, is raw and v is what to xor.
type correction struct {
	off int64
	k   executable.Kind
	raw bool
	v   uint64
}

// residueCoder holds the models.
type residueCoder struct {
	skip  [executable.Kinds][4]coding.Number // by the kind of the correction before, and the length of the last skip
	raw   [executable.Kinds]coding.Model     // a reference is replaced bytewise
	again [executable.Kinds][2]coding.Model  // same value to add as last for this kind
	delta [executable.Kinds]coding.Signed
	xor   [executable.Kinds][8][256]coding.Model

	// A wrong byte, by place: as much as the last one there, or else how much,
	// apart from whether the byte before is wrong too.
	same  [executable.Places][3]coding.Model
	bytes [executable.Places][2][256]coding.Model

	last     [executable.Kinds]uint64
	hit      [executable.Kinds]uint8
	lastByte [executable.Places]byte
	hitByte  [executable.Places]uint8
	prev     executable.Kind
	near     uint8
	after    int64 // end of the last correction
}

// place codes where the next correction lies.
func (m *residueCoder) place(c *coding.Coder, off int64) int64 {
	skip := int64(c.Number(&m.skip[m.prev][m.near], uint64(off-m.after)))
	m.near = [...]uint8{0, 0, 1, 1, 2, 2, 2, 3}[min(bits.Len64(uint64(skip)), 7)]
	return m.after + skip
}

// wrongByte codes what to add to the byte at off.
func (m *residueCoder) wrongByte(c *coding.Coder, off int64, where executable.Place, v byte) byte {
	if off != m.after {
		h := m.hitByte[where]
		if c.Bit(&m.same[where][h], bit(v == m.lastByte[where])) != 0 {
			v = m.lastByte[where]
			m.hitByte[where] = min(h+1, 2)
		} else {
			m.hitByte[where] = 0
			v = byte(c.Tree(m.bytes[where][0][:], 8, uint32(v)))
			m.lastByte[where] = v
		}
	} else {
		v = byte(c.Tree(m.bytes[where][1][:], 8, uint32(v)))
	}
	m.prev, m.after = executable.KindNone, off+1
	return v
}

// wrongReference codes the correction of a reference of kind k.
func (m *residueCoder) wrongReference(c *coding.Coder, off int64, k executable.Kind, raw bool, v uint64) (bool, uint64) {
	defer func() { m.prev, m.after = k, off+k.Width() }()
	if c.Bit(&m.raw[k], bit(raw)) != 0 {
		var got uint64
		for i := range int(k.Width()) {
			got |= uint64(c.Tree(m.xor[k][i][:], 8, uint32(v>>(8*i)&255))) << (8 * i)
		}
		return true, got
	}
	again := c.Bit(&m.again[k][m.hit[k]], bit(v == m.last[k])) != 0
	m.hit[k] = uint8(bit(again))
	if !again {
		m.last[k] = uint64(c.Signed(&m.delta[k], int64(v)))
	}
	return false, m.last[k]
}

// A residue decodes corrections while predictions go by.
type residue struct {
	c  *coding.Coder
	l  *executable.Layout
	m  residueCoder
	at int64
}

func newResidue(c *coding.Coder, l *executable.Layout) *residue {
	r := &residue{c: c, l: l}
	r.at = r.m.place(c, 0)
	return r
}

func (r *residue) due() int64 { return r.at }

// step moves to the next correction, which is never before the last one's end.
func (r *residue) step() error {
	r.at = r.m.place(r.c, 0)
	if r.at < r.m.after {
		return damaged("a correction lies outside")
	}
	return r.c.Err()
}

func (r *residue) bytes(b []byte, off int64) error {
	for end := off + int64(len(b)); r.at < end; {
		if r.at < off {
			return damaged("a correction lies outside")
		}
		b[r.at-off] += r.m.wrongByte(r.c, r.at, r.l.Place(r.at), 0)
		if err := r.step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *residue) reference(b []byte, off int64, k executable.Kind, l *executable.Layout, addr, target uint64) error {
	raw, v := r.m.wrongReference(r.c, off, k, false, 0)
	if raw {
		l.Refer(k, b, addr, target)
		for i := range b {
			b[i] ^= byte(v >> (8 * i))
		}
	} else {
		l.Refer(k, b, addr, target+v)
	}
	return r.step()
}

// A collector finds the corrections by comparing predictions with the new file.
type collector struct {
	new  []byte
	list []correction
}

func (*collector) due() int64 { return -1 }

func (l *collector) bytes(b []byte, off int64) error {
	want := l.new[off:]
	for i := 0; i < len(b); {
		i += matchLength(b[i:], want[i:])
		if i < len(b) {
			l.list = append(l.list, correction{off: off + int64(i), v: uint64(want[i] - b[i])})
			i++
		}
	}
	return nil
}

func (l *collector) reference(b []byte, off int64, k executable.Kind, to *executable.Layout, addr, target uint64) error {
	want := l.new[off : off+k.Width()]
	var old [8]byte
	copy(old[:], b)
	to.Refer(k, b, addr, target)
	if string(b) == string(want) {
		return nil
	}
	c := correction{off: off, k: k}
	// Does another target give these bytes?
	c.v = to.Target(k, want, addr) - target
	try := old[:k.Width()]
	if to.Refer(k, try, addr, target+c.v); string(try) != string(want) {
		c.raw, c.v = true, 0
		for i := range want {
			c.v |= uint64(b[i]^want[i]) << (8 * i)
		}
	}
	l.list = append(l.list, c)
	return nil
}
