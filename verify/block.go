package verify

import (
	"bytes"
	"encoding/binary"
)

// block is one minisign signature of four lines, each ending in LF:
//
//	untrusted comment: free text, not signed
//	base64 of "ED", 8 bytes of key id, 64 bytes of signature over BLAKE2b-512(text)
//	trusted comment: free text, signed by the next line
//	base64 of 64 bytes of signature over (signature, trusted comment)
type block struct {
	raw []byte
	id  uint64
}

const (
	prehashed      = "ED"
	trustedComment = "trusted comment: "
	signatureSize  = 2 + 8 + 64
	linesPerBlock  = 4
)

// parseBlocks takes 1 to 16 blocks and nothing else. Stricter than the module, which takes CR, line ends within base64
// and unused bits: one signature has one text here. Every block must be prehashed, that of an unknown key too.
func parseBlocks(b []byte) ([]block, error) {
	if err := characters(b); err != nil {
		return nil, within(err, "signatures")
	}
	var blocks []block
	for len(b) > 0 {
		if len(blocks) == maxBlocks {
			return nil, refuse(ErrTooLarge, "the document has more than %d signatures: remove those of keys that are no longer used", maxBlocks)
		}
		var lines [linesPerBlock][]byte
		rest := b
		for i := range lines {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				return nil, refuse(ErrMalformed, "signature %d is not whole, it has four lines and each ends in LF: the file was cut short", len(blocks)+1)
			}
			lines[i], rest = rest[:end], rest[end+1:]
		}
		one, err := parseBlock(lines)
		if err != nil {
			return nil, within(err, "signature %d", len(blocks)+1)
		}
		one.raw = b[:len(b)-len(rest)]
		blocks, b = append(blocks, one), rest
	}
	if len(blocks) == 0 {
		return nil, refuse(ErrMalformed, "the document ends where its signatures should be: sign it, or fetch it again if it was cut short")
	}
	return blocks, nil
}

func parseBlock(lines [linesPerBlock][]byte) (block, error) {
	if !bytes.HasPrefix(lines[0], []byte(comment)) || !bytes.HasPrefix(lines[2], []byte(trustedComment)) {
		return block{}, refuse(ErrMalformed, "this is not a minisign signature of four lines, untrusted comment, signature, trusted comment, signature, without empty lines")
	}
	signature, err := decodeBase64(lines[1])
	if err != nil || len(signature) != signatureSize {
		return block{}, refuse(ErrMalformed, "its second line is not the strict base64 of a minisign signature")
	}
	if global, err := decodeBase64(lines[3]); err != nil || len(global) != 64 {
		return block{}, refuse(ErrMalformed, "its fourth line is not the strict base64 of a signature")
	}
	id := binary.LittleEndian.Uint64(signature[2:])
	if a := string(signature[:2]); a != prehashed {
		return block{}, refuse(ErrAlgorithm, "the signature of key %s says algorithm %q and not the prehashed %q: sign again without minisign's -l", keyID(id), a, prehashed)
	}
	return block{id: id}, nil
}
