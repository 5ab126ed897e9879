package executable

import (
	"crypto/sha256"
	"hash"
	"math/bits"
)

// A Mach-O code signature holds the SHA-256 of every page of what precedes it
// (cmd/internal/codesign; <kern/cs_blobs.h>). All numbers in it are big-endian.
const (
	signatureMagic     = 0xfade0cc0
	codeDirectoryMagic = 0xfade0c02
	hashTypeSHA256     = 2
)

// pageHashes returns where the signature's hashes lie.
func (im *Image) pageHashes() (Table, bool) {
	f, at := im.File, im.macho.signature.off
	be := func(off int64) int64 { return int64(bits.ReverseBytes32(f.u32(off))) }
	if im.macho.signature.n < 20 || be(at) != signatureMagic {
		return Table{}, false
	}
	for i := range min(be(at+8), 16) {
		d := at + be(at+12+8*i+4)
		if be(d) != codeDirectoryMagic || f.u8(d+36) != sha256.Size || f.u8(d+37) != hashTypeSHA256 {
			continue
		}
		off, n, limit, page := d+be(d+16), be(d+28), be(d+32), int64(1)<<min(f.u8(d+39), 30)
		if g := (Table{Kind: madePageHashes, Off: off, N: n * sha256.Size, P: [4]int64{limit, page}}); off >= limit {
			return g, true
		}
	}
	return Table{}, false
}

// pageHashMaker hashes pages as they go by.
type pageHashMaker struct {
	limit, page int64 // of what is hashed, of a page
	sum         hash.Hash
	sums        []byte
	at          int64
}

func newPageHashMaker(limit, page, n int64) *pageHashMaker {
	return &pageHashMaker{limit: limit, page: page, sum: sha256.New(), sums: make([]byte, 0, n)}
}

func (m *pageHashMaker) See(b []byte, off int64) {
	for len(b) > 0 && m.at < m.limit {
		n := min(int64(len(b)), m.page-m.at%m.page, m.limit-m.at)
		m.sum.Write(b[:n])
		b = b[n:]
		if m.at += n; m.at%m.page == 0 || m.at == m.limit {
			m.sums = m.sum.Sum(m.sums)
			m.sum.Reset()
		}
	}
}

func (m *pageHashMaker) Make() []byte { return m.sums }
