package pack

import "io"

// bitWriter writes bits, the lowest first. An error sticks.
type bitWriter struct {
	w    io.Writer
	buf  []byte
	bits uint64
	n    uint // of them
	err  error
}

func (w *bitWriter) write(v uint32, n uint) {
	w.bits |= uint64(v) << w.n
	if w.n += n; w.n >= 32 {
		w.buf = le.AppendUint32(w.buf, uint32(w.bits))
		w.bits >>= 32
		w.n -= 32
	}
}

func (w *bitWriter) code(c code) { w.write(uint32(c.bits), uint(c.length)) }

// align fills the last byte up.
func (w *bitWriter) align() {
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.buf = append(w.buf, byte(w.bits))
		w.bits >>= 8
	}
}

// stored writes bytes as they are.
func (w *bitWriter) stored(b []byte, last bool) {
	final := uint32(0)
	if last {
		final = 1
	}
	w.write(final, 3)
	w.align()
	w.write(uint32(len(b))|^uint32(len(b))<<16, 32)
	w.buf = append(w.buf, b...)
}

// drain hands whole bytes on once there are many of them.
func (w *bitWriter) drain() {
	if len(w.buf) >= 32<<10 {
		w.flush()
	}
}

func (w *bitWriter) flush() {
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}
