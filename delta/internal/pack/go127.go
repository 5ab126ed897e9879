package pack

import "math"

// What compress/zlib of Go 1.27 makes at level 1. It goes on with the codes of the block before where new ones would
// not pay, and ends a block only when the next one needs codes of its own.
type later struct {
	table [1 << laterBits]int32 // as in matcher, of five bytes
	done  int32

	codes        // in force while header is not 0: then the block that has them is not ended
	header  int  // bits of their header
	literal bool // they are for literals alone
}

const (
	laterBits   = 15
	laterFactor = 889523592379
	laterMargin = 11
	penalty     = 7   // new codes must save one bit in 128
	fewTokens   = 250 // for which the fixed codes may do
)

func laterHash(v uint64) uint32 { return uint32(v << 24 * laterFactor >> (64 - laterBits)) }

// tokens cuts buf[from:] into tokens. With no match at all there are none.
func (m *later) tokens(out *block, buf []byte, from int) {
	base := m.done + far - int32(from)
	m.done += int32(len(buf) - from)
	last := len(buf) - laterMargin
	set := func(hash uint32, s int) { m.table[hash] = int32(s) + base }
	is := func(was, s, most int, v uint64) bool { return s-was <= most && uint32(v) == le.Uint32(buf[was:]) }
	rest := func(emitted int) {
		if len(out.tokens) > 0 {
			out.add(buf[emitted:])
		}
	}
	s, emitted := from, from
	v := le.Uint64(buf[s:])
	for {
		var next, was int
		for {
			hash := laterHash(v)
			was = int(m.table[hash] - base)
			if next = s + 2 + (s-emitted)>>5; next > last {
				rest(emitted)
				return
			}
			now := le.Uint64(buf[next:])
			set(hash, s)
			hash = laterHash(now)
			if is(was, s, maxDistance-1, v) {
				set(hash, next)
				break
			}
			// And at once the next one, of which the table forgets at a match that it was here.
			v, s = now, next
			next++
			was = int(m.table[hash] - base)
			set(hash, s)
			if is(was, s, maxDistance-1, v) {
				set(hash, next)
				break
			}
			v, s = now>>8, next
		}
		for {
			n := 4 + common(buf[s+4:], buf[was+4:])
			for s > emitted && m.reaches(base, was) && buf[was-1] == buf[s-1] {
				s, was, n = s-1, was-1, n+1
			}
			out.add(buf[emitted:s])
			for rest, distance := n, s-was; rest > 0; {
				k := rest
				if k > maxLength+3 {
					k = maxLength
				} else if k > maxLength {
					k = maxLength - 3
				}
				out.match(k, distance)
				rest -= k
			}
			s += n
			if emitted = s; next >= s {
				s = next + 1
			}
			if s >= last {
				if s+n+8 < len(buf) {
					set(laterHash(le.Uint64(buf[s:])), s)
				}
				if emitted < len(buf) {
					rest(emitted)
				}
				return
			}
			x := le.Uint64(buf[s-2:])
			set(laterHash(x), s-2)
			x >>= 16
			hash := laterHash(x)
			was = int(m.table[hash] - base)
			set(hash, s)
			if !is(was, s, maxDistance, x) {
				v = x >> 8
				s++
				break
			}
		}
	}
}

// reaches reports whether there is a byte before was: not at the very start.
func (m *later) reaches(base int32, was int) bool { return int32(was)+base > far }

// end writes the end of a block that is not ended.
func (m *later) end(w *bitWriter) {
	if m.header > 0 {
		w.code(m.symbolCode[endOfBlock])
		m.header = 0
	}
}

func (m *later) stored(w *bitWriter, b []byte) {
	m.end(w)
	w.stored(b, false)
}

// close ends the stream: an empty block with the fixed codes.
func (m *later) close(w *bitWriter) {
	m.end(w)
	w.write(1|1<<1, 3)
	w.write(0, 7)
	w.align()
}

// write writes one block; the last one is ended.
func (m *later) write(w *bitWriter, blk *block, buf []byte, from int, last bool) {
	b := buf[from:]
	switch {
	case last && len(b) <= 32:
		m.stored(w, b)
		return
	case last && len(b) < 128:
		m.literals(w, blk, b, last)
		return
	}
	blk.reset()
	m.tokens(blk, buf, from)
	switch n := len(blk.tokens); {
	case n == 0:
		m.stored(w, b)
	case n > len(b)-len(b)>>4:
		m.literals(w, blk, b, last)
	default:
		m.matches(w, blk, b, last)
	}
}

// matches writes the block's tokens.
func (m *later) matches(w *bitWriter, blk *block, b []byte, last bool) {
	blk.symbol[endOfBlock] = 1
	count := len(blk.tokens)
	if last {
		count++
	}
	if m.literal && m.header > 0 {
		m.end(w)
		m.literal = false
	}
	if m.header > 0 && !(writes(m.symbolCode[:], blk.symbol[:]) && writes(m.distanceCode[:], blk.distance[:])) {
		m.end(w)
	}
	extra := blk.extra()
	fixed := 3 + sizeOf(fixedCodes.symbolCode[:], blk.symbol[:]) + sizeOf(fixedCodes.distanceCode[:], blk.distance[:]) + extra
	withFixed := func() {
		m.end(w)
		w.write(1<<1, 3)
		blk.writeTokens(w, &fixedCodes)
		w.code(fixedCodes.symbolCode[endOfBlock])
	}
	stored := storedSize(b)
	if m.header > 0 {
		anew := m.header + blk.estimate(count)
		anew += int(m.symbolCode[endOfBlock].length) + anew>>penalty
		size := sizeOf(m.symbolCode[:], blk.symbol[:]) + sizeOf(m.distanceCode[:], blk.distance[:]) + extra
		if anew < size {
			m.end(w)
			size = anew
		}
		switch {
		case count < fewTokens && fixed+7 < size && stored > size:
			withFixed()
			return
		case stored <= size:
			m.stored(w, b)
			return
		}
	}
	if m.header == 0 {
		header := blk.makeCodes()
		size := header + sizeOf(blk.symbolCode[:], blk.symbol[:]) + sizeOf(blk.distanceCode[:], blk.distance[:]) + extra
		if count < fewTokens && fixed <= size {
			if stored <= fixed {
				m.stored(w, b)
			} else {
				withFixed()
			}
			return
		}
		if stored <= size {
			m.stored(w, b)
			return
		}
		blk.writeHeader(w)
		m.codes, m.header, m.literal = blk.codes, header, false
	}
	blk.writeTokens(w, &m.codes)
	if last {
		m.end(w)
	}
}

// literals writes the bytes without any match.
func (m *later) literals(w *bitWriter, blk *block, b []byte, last bool) {
	const (
		guess = 70 * 8 // bits of a header
		most  = 1024   // bytes that are not looked at for being noise
	)
	blk.literals(b)
	stored := storedSize(b)
	if len(b) > most {
		// Noise: each byte about as often as any other.
		off, average := 0.0, float64(len(b))/256
		for _, n := range blk.symbol[:256] {
			d := float64(n) - average
			off += float64(d * d)
		}
		if off < float64(2*len(b)) {
			m.stored(w, b)
			return
		}
	}
	header := blk.makeCodes()
	size := sizeOf(blk.symbolCode[:], blk.symbol[:]) + m.header
	if m.header == 0 {
		size += guess
	}
	if size += size >> penalty; stored <= size {
		m.stored(w, b)
		return
	}
	if m.header > 0 {
		blk.symbol[endOfBlock] = 0
		if !writes(m.symbolCode[:], blk.symbol[:]) || size < sizeOf(m.symbolCode[:], blk.symbol[:]) {
			m.end(w)
		}
	}
	if m.header == 0 {
		blk.writeHeader(w)
		m.codes, m.header, m.literal = blk.codes, header, true
	}
	blk.writeTokens(w, &m.codes)
	if last {
		m.end(w)
		m.literal = false
	}
}

// writes reports whether there is a code for every symbol that occurs.
func writes(codes []code, counts []uint32) bool {
	for i, n := range counts {
		if n != 0 && codes[i].length == 0 {
			return false
		}
	}
	return true
}

// extra is how many bits follow the codes of the block's matches.
func (b *block) extra() (n int) {
	for c, k := range b.symbol[257:] {
		n += int(k) * int(lengthExtra[c])
	}
	for c, k := range b.distance {
		n += int(k) * max(c/2-1, 0)
	}
	return n
}

// estimate is about how many bits count tokens take with codes of their own: their entropy, each product rounded as on
// amd64, whose linkers are those of most releases.
func (b *block) estimate(count int) int {
	bits, matches := float32(0), uint32(0)
	add := func(n uint32, of float32) {
		if n > 0 {
			f := float32(n)
			bits += float32(min(15, max(1, -log2(f*of))) * f)
		}
	}
	of := 1 / float32(count)
	for _, n := range b.symbol[:256] {
		add(n, of)
	}
	bits += 15
	for _, n := range b.symbol[257:] {
		add(n, of)
		matches += n
	}
	if matches > 0 {
		of = 1 / float32(matches)
		for _, n := range b.distance {
			add(n, of)
		}
	}
	return int(bits) + b.extra()
}

// log2 is a parabola through the mantissa.
func log2(v float32) float32 {
	u := math.Float32bits(v)
	m := math.Float32frombits(u&^0x7f800000 + 127<<23)
	p := float32(float32(-0.34484843*m) + 2.02466578)
	return float32(int32(u>>23&255)-128) + float32(float32(p*m)-0.67487759)
}

// fixedCodes are those of RFC 1951, 3.2.6.
var fixedCodes = func() (c codes) {
	for s := range c.symbolCode {
		switch length := &c.symbolCode[s].length; {
		case s < 144:
			*length = 8
		case s < 256:
			*length = 9
		case s < 280:
			*length = 7
		default:
			*length = 8
		}
	}
	// Two symbols that no stream has complete the code.
	all := append(c.symbolCode[:len(c.symbolCode):len(c.symbolCode)], code{length: 8}, code{length: 8})
	assign(all)
	copy(c.symbolCode[:], all)
	for d := range c.distanceCode {
		c.distanceCode[d].length = 5
	}
	assign(c.distanceCode[:])
	return c
}()
