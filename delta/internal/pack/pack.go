// Package pack packs a section of debugging information as the Go linker does: byte for byte what compress/zlib of the
// release that it belongs to makes at its level BestSpeed.
//
// A patch for a file with packed sections is made of what is in them, and whoever applies it packs that again. Then the
// compressor is part of the format. The one of the standard library is not: Go 1.27 has another one than Go 1.7 to 1.26
// had, the next release may too, and a client's own Go release is not the one that linked what it updates to. So these
// are here for good, and every client has them.
//
// A block is 65,535 bytes, the last one what is left. Each is cut into literals and matches by a hash table of
// positions (see matcher), and written with Huffman codes of its own (RFC 1951, 3.2.7), or as it is if that saves less
// than a sixteenth.
package pack

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
	"io"
)

// Header is what a packed stream begins with (RFC 1950): deflate, a window of 32 KiB, the fastest level.
const Header = "\x78\x01"

// A Method is one of the compressors. Its number is part of the format.
type Method uint8

const (
	Go17    Method = iota // of Go 1.7 to 1.26
	Go127                 // of Go 1.27
	Methods               // how many there are
)

const blockSize = 1<<16 - 1

// A compressor is a Method at work.
type compressor interface {
	// write writes the block buf[from:], before which is the one before.
	write(w *bitWriter, b *block, buf []byte, from int, last bool)
	// close writes what a stream ends with behind the last block.
	close(w *bitWriter)
}

// A Writer packs what is written to it. It holds half a megabyte, whatever that is.
type Writer struct {
	bits  bitWriter
	sum   hash.Hash32
	buf   []byte // the block before, then the one that is being filled
	from  int    // where that one begins
	block block
	by    compressor
}

func NewWriter(w io.Writer, by Method) *Writer {
	z := &Writer{sum: adler32.New(), buf: make([]byte, 0, 2*blockSize)}
	z.Reset(w, by)
	return z
}

// Reset begins another stream.
func (z *Writer) Reset(w io.Writer, by Method) {
	z.bits = bitWriter{w: w, buf: append(z.bits.buf[:0], Header...)}
	z.sum.Reset()
	z.buf, z.from = z.buf[:0], 0
	if z.by = new(matcher); by == Go127 {
		z.by = new(later)
	}
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
	z.by.close(&z.bits)
	z.bits.buf = binary.BigEndian.AppendUint32(z.bits.buf, z.sum.Sum32())
	z.bits.flush()
	return z.bits.err
}

func (z *Writer) writeBlock(last bool) {
	if z.from < len(z.buf) {
		z.by.write(&z.bits, &z.block, z.buf, z.from, last)
		z.bits.drain()
	}
}
