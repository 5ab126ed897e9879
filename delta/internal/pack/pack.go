// Package pack packs a section of debugging information as the Go linker does: byte for
// byte what compress/zlib of the release that it belongs to makes at its level BestSpeed.
//
// A patch for a file with packed sections is made of what is in them, and whoever
// applies it packs that again. Then the compressor is part of the format. The one of
// the standard library is not: Go 1.27 has another one than Go 1.7 to 1.26 had, the next
// release may too, and a client's own Go release is not the one that linked what it
// updates to. So these are here for good, and every client has them.
//
// A block is 65,535 bytes, the last one what is left. Each is cut into literals and
// matches by a hash table of positions (see matcher), and written with Huffman codes of
// its own (RFC 1951, 3.2.7), or as it is if that saves less than a sixteenth.
package pack

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
	"io"
)

// Header is what a packed stream begins with (RFC 1950): deflate, a window of
// 32 KiB, the fastest level.
const Header = "\x78\x01"

// A Method is one of the compressors. Its number is part of the format.
type Method uint8

const (
	Go17    Method = iota // of Go 1.7 to 1.26
	Go127                 // of Go 1.27
	Methods               // how many there are
)

const blockSize = 1<<16 - 1

// A Writer packs what is written to it.
type Writer struct {
	bits  bitWriter
	sum   hash.Hash32
	buf   []byte // the block before, then the one that is being filled
	from  int    // where that one begins
	block block

	matcher *matcher // of Go17
	later   *later   // of Go127
}

// NewWriter returns a Writer to w. It holds half a megabyte, whatever is written.
func NewWriter(w io.Writer, by Method) *Writer {
	z := &Writer{bits: bitWriter{w: w}, sum: adler32.New(), buf: make([]byte, 0, 2*blockSize)}
	if by == Go127 {
		z.later = new(later)
	} else {
		z.matcher = new(matcher)
	}
	z.bits.buf = append(z.bits.buf, Header...)
	return z
}

func (z *Writer) Write(b []byte) (int, error) {
	z.sum.Write(b)
	for rest := b; len(rest) > 0; {
		if len(z.buf) == z.from+blockSize {
			z.writeBlock(false)
			z.buf = append(z.buf[:0], z.buf[z.from:]...)
			z.from = len(z.buf)
		}
		n := min(len(rest), z.from+blockSize-len(z.buf))
		z.buf, rest = append(z.buf, rest[:n]...), rest[n:]
	}
	return len(b), z.bits.err
}

// Close writes what is left, and the checksum. It does not close the writer below.
func (z *Writer) Close() error {
	z.writeBlock(true)
	if z.later != nil {
		z.later.close(&z.bits)
	} else {
		z.bits.stored(nil, true)
	}
	z.bits.buf = binary.BigEndian.AppendUint32(z.bits.buf, z.sum.Sum32())
	z.bits.flush()
	return z.bits.err
}

func (z *Writer) writeBlock(last bool) {
	defer z.bits.drain()
	if z.later != nil {
		z.later.write(&z.bits, &z.block, z.buf, z.from, last)
		return
	}
	const (
		least   = 128 // bytes that matches are looked for in
		tiniest = 16  // bytes that are not worth any codes
	)
	b := z.buf[z.from:]
	switch {
	case len(b) == 0:
		return
	case len(b) <= tiniest:
		z.bits.stored(b, false)
		return
	case len(b) < least:
		z.block.literals(b)
	default:
		z.block.reset()
		z.matcher.tokens(&z.block, z.buf, z.from)
		if len(z.block.tokens) > len(b)-len(b)>>4 {
			z.block.literals(b)
		}
	}
	z.block.write(&z.bits, b)
}
