package delta

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
	"github.com/theseus-go/theseus/delta/internal/pack"
)

// Debugging information is packed in most executables, and then one byte more in it
// changes all that follow. So predictor Go speaks of both files as they are with these
// streams unpacked; Apply unpacks those of the old file, and packs those of the new one
// again with package pack.

// streamCoder holds the models of the two lists.
type streamCoder struct {
	count, gap coding.Number
	n, plain   coding.Signed
	by         coding.Number
}

// A stream is a range of a file, and of the new one what packs it again.
type stream struct {
	executable.Stream
	by pack.Method
}

// codeStreams codes one list, each stream relative to the one with its number in old,
// and how they are packed if again.
func (m *streamCoder) codeStreams(c *coding.Coder, list, old []stream, size int64, again bool) ([]stream, error) {
	n := int(min(c.Number(&m.count, uint64(len(list))), executable.MaxStreams+1))
	if n > executable.MaxStreams {
		return nil, damaged("too many packed sections")
	}
	if !c.Encoding {
		list = make([]stream, n)
	}
	end := int64(0)
	for i := range list {
		s, was := &list[i], stream{}
		if i < len(old) {
			was = old[i]
		}
		gap := c.Number(&m.gap, uint64(s.Off-end))
		s.Off = end + int64(min(gap, maxFile))
		s.N = was.N + c.Signed(&m.n, s.N-was.N)
		s.Plain = was.Plain + c.Signed(&m.plain, s.Plain-was.Plain)
		if s.Off > size || s.N <= 0 || s.N > size-s.Off || s.Plain <= 0 || s.Plain > maxFile {
			return nil, damaged("packed section %d lies outside", i)
		}
		if again {
			by := c.Number(&m.by, uint64(s.by))
			if by >= uint64(pack.Methods) {
				return nil, damaged("section %d is packed in an unknown way", i)
			}
			s.by = pack.Method(by)
		}
		end = s.Off + s.N
	}
	return list, c.Err()
}

// unpackedSize is how large a file is with its streams unpacked.
func unpackedSize(size int64, streams []stream) int64 {
	for _, s := range streams {
		size += s.Plain - s.N
	}
	return size
}

// plainSize is how much the streams have unpacked.
func plainSize(streams []stream) (n int64) {
	for _, s := range streams {
		n += s.Plain
	}
	return n
}

// maxRatio is what deflate can do: a match of 258 bytes in two bits.
const maxRatio = 1032

// unpack returns what the stream holds, which must be as many bytes as it says.
func unpack(r io.ReaderAt, s executable.Stream) ([]byte, error) {
	if s.Plain/maxRatio > s.N {
		return nil, errors.New("a packed section that promises too much")
	}
	in := bufio.NewReader(io.NewSectionReader(r, s.Off, s.N))
	z, err := zlib.NewReader(in)
	if err != nil {
		return nil, err
	}
	b := make([]byte, s.Plain)
	if _, err := io.ReadFull(z, b); err != nil {
		return nil, err
	}
	if n, err := z.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, errors.New("a packed section of another size")
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.New("a packed section with something behind it")
	}
	return b, nil
}

// An unpacked file reads as a file does with its streams unpacked.
type unpacked struct {
	file    io.ReaderAt
	size    int64
	streams []stream
	plain   [][]byte
}

func newUnpacked(ctx context.Context, file io.ReaderAt, size int64, streams []stream) (*unpacked, error) {
	u := &unpacked{file: file, size: unpackedSize(size, streams), streams: streams}
	for _, s := range streams {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := unpack(file, s.Stream)
		if err != nil {
			return nil, err
		}
		u.plain = append(u.plain, b)
	}
	return u, nil
}

func (u *unpacked) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("offset before the file")
	}
	shift := int64(0) // of the bytes behind the streams passed
	for i, s := range u.streams {
		at := s.Off + shift
		if len(b) > n && off < at {
			k, err := u.file.ReadAt(b[n:n+int(min(int64(len(b)-n), at-off))], off-shift)
			if n, off = n+k, off+int64(k); off < at && len(b) > n {
				return n, err
			}
		}
		if off >= at && off < at+s.Plain {
			k := copy(b[n:], u.plain[i][off-at:])
			n, off = n+k, off+int64(k)
		}
		shift += s.Plain - s.N
	}
	if n == len(b) {
		return n, nil
	}
	k, err := u.file.ReadAt(b[n:], off-shift)
	return n + k, err
}

// repacker writes a file whose bytes it gets with the streams unpacked.
type repacker struct {
	w       io.Writer
	streams []stream // that are not done
	at      int64    // bytes that came
	end     int64    // of the stream under way
	packing bool
	pack    *pack.Writer // kept from one stream to the next
	packed  int64        // bytes of it
}

func (r *repacker) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := int64(len(rest))
		if !r.packing && len(r.streams) > 0 {
			if before := r.streams[0].Off - r.at; before > 0 {
				n = min(n, before)
			} else {
				r.begin()
			}
		}
		to := r.w
		if r.packing {
			to, n = r.pack, min(n, r.end-r.at)
		}
		if _, err := to.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
		if r.at += n; r.packing && r.at == r.end {
			if err := r.close(); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

// begin begins the next stream.
func (r *repacker) begin() {
	s := r.streams[0]
	r.packing, r.packed, r.end = true, 0, r.at+s.Plain
	w := writerFunc(func(b []byte) (int, error) {
		if r.packed += int64(len(b)); r.packed > s.N {
			return 0, damaged("a section packs to more than %d bytes", s.N)
		}
		return r.w.Write(b)
	})
	if r.pack == nil {
		r.pack = pack.NewWriter(w, s.by)
	} else {
		r.pack.Reset(w, s.by)
	}
}

// close ends the stream under way; from there on r.at counts as in the file.
func (r *repacker) close() error {
	s := r.streams[0]
	if err := r.pack.Close(); err != nil {
		return err
	}
	if r.packed != s.N {
		return damaged("a section packs to %d bytes, not to %d", r.packed, s.N)
	}
	r.packing, r.streams, r.at = false, r.streams[1:], s.Off+s.N
	return nil
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// unpackBoth returns both files with those streams unpacked that can be packed again,
// in the new one, and that can be unpacked, in the old one. There are none where the
// new file has none.
func unpackBoth(ctx context.Context, old, new []byte) (from, to *side, err error) {
	from, to = &side{bytes: old}, &side{bytes: new}
	if err := to.unpack(ctx, new, true); err != nil || len(to.streams) == 0 {
		return from, to, err
	}
	return from, to, from.unpack(ctx, old, false)
}

// ranges returns the streams without what packs them.
func ranges(list []stream) (out []executable.Stream) {
	for _, s := range list {
		out = append(out, s.Stream)
	}
	return out
}

// A side is one file as predictor Go sees it.
type side struct {
	bytes   []byte
	streams []stream
}

func (s *side) unpack(ctx context.Context, file []byte, again bool) error {
	r := bytes.NewReader(file)
	var plain [][]byte
	left := int64(DefaultMaxUnpacked)
	for _, c := range executable.Packed(executable.NewPages(r, int64(len(file)))) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.Plain > left {
			continue
		}
		b, err := unpack(r, c)
		if err != nil {
			continue
		}
		by := pack.Method(0)
		for again && by < pack.Methods && !packsTo(b, file[c.Off:c.Off+c.N], by) {
			by++
		}
		if by == pack.Methods {
			continue // another compressor's: the bytes stay as they are
		}
		left -= c.Plain
		s.streams, plain = append(s.streams, stream{c, by}), append(plain, b)
	}
	if unpackedSize(int64(len(file)), s.streams) > maxFile {
		s.streams = nil
	}
	if len(s.streams) == 0 {
		return nil
	}
	u := &unpacked{file: r, size: unpackedSize(int64(len(file)), s.streams), streams: s.streams, plain: plain}
	s.bytes = make([]byte, u.size)
	_, err := u.ReadAt(s.bytes, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("unpacking debugging information: %w", err)
	}
	return nil
}

// packsTo reports whether package pack makes these bytes of b.
func packsTo(b, want []byte, by pack.Method) bool {
	same := true
	z := pack.NewWriter(writerFunc(func(b []byte) (int, error) {
		if same = same && bytes.HasPrefix(want, b); same {
			want = want[len(b):]
			return len(b), nil
		}
		return 0, errors.New("packed in another way")
	}), by)
	_, err := z.Write(b)
	return err == nil && z.Close() == nil && len(want) == 0
}
