package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var le = binary.LittleEndian

// magic is "delta" with a first byte that no text has and a format version
// last. Another version is another format.
const magic = "\xd1delta\x00\x02"

// headerSize is the size of magic, predictor, two sizes and two hashes, and another size.
const headerSize = len(magic) + 1 + 2*(4+32) + 4

func (h *Header) append(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, byte(h.Predictor))
	for _, f := range []*File{&h.Old, &h.New} {
		b = le.AppendUint32(b, uint32(f.Size))
		b = append(b, f.SHA256[:]...)
	}
	return le.AppendUint32(b, uint32(h.Unpacked))
}

// ReadHeader reads the header of a patch: 85 bytes, and no more, from patch.
// It returns ErrUnsupported for anything that this version cannot apply.
func ReadHeader(patch io.Reader) (Header, error) {
	var h Header
	var b [headerSize]byte
	switch _, err := io.ReadFull(patch, b[:]); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return h, damaged("shorter than its header")
	case err != nil:
		return h, fmt.Errorf("reading the delta's header: %w", err)
	}
	if string(b[:len(magic)]) != magic {
		return h, ErrUnsupported
	}
	p := b[len(magic):]
	h.Predictor, p = Predictor(p[0]), p[1:]
	for _, f := range []*File{&h.Old, &h.New} {
		f.Size = int64(le.Uint32(p))
		copy(f.SHA256[:], p[4:36])
		p = p[36:]
	}
	h.Unpacked = int64(le.Uint32(p))
	if h.Predictor > Go {
		return h, fmt.Errorf("%w (%v)", ErrUnsupported, h.Predictor)
	}
	return h, nil
}
