// Package verify answers one question: who signed these bytes?
//
// Bytes and keys go in, verified text and its signers come out. The package does no I/O and knows no clock. It is used in
// two ways: a client calls [ParseTrust], [Trust.Next], [Open] and [Document.Decode]; a publisher's tool calls
// [GenerateKey], [Sign] and [AddSignature]. Everything is safe for concurrent use as long as nobody changes what is shared.
//
// # Signed documents
//
// A document is one file:
//
//		theseus/channel/v1                       type line
//		{                                        JSON object
//		  "app": "hello"
//		}
//		                                         one empty line, the only one
//		untrusted comment: free text             1 to 16 minisign blocks of four lines
//		RUQ…
//		trusted comment: timestamp:1795251600
//		…==
//
//	  - The text is what is signed: the type line, the JSON object and the LF after its last brace. The empty line and the
//	    blocks are not part of it.
//	  - The type line is theseus/NAME/vN with a NAME of 1 to 32 letters a-z and an N of 1 to 4 digits without leading zero. The object
//	    begins with { directly after the type line's LF, and } and LF end the text.
//	  - In the whole file occur only LF and bytes from 0x20 up, without 0x7f, and it is valid UTF-8: no CR, no tab, no byte
//	    order mark. After the last block's LF the file ends.
//	  - Caps: the text of a trust document has at most 65,536 bytes, of a channel 262,144, of a manifest and of any other type 1,048,576;
//	    the blocks together have at most 16,384 bytes and are at most 16. More is an error, nothing is cut off.
//
// A block's lines each end in LF. The first begins with "untrusted comment: " and nobody vouches for the rest of it. The
// second is the base64 of 74 bytes: "ED", eight bytes of key id (little endian), the Ed25519 signature of the 64 bytes
// BLAKE2b-512(text). The third begins with "trusted comment: ". The fourth is the base64 of 64 bytes: the Ed25519 signature
// of those 64 signature bytes and the rest of the third line. Base64 is the standard alphabet with padding and unused bits zero,
// so that it re-encodes to itself. Stock minisign verifies a block once [Split] has taken the file apart; that it
// reads more than this (CR, tabs, legacy signatures) is why the structure is checked here and not there.
//
// # Who has signed
//
// [Open] checks in this order, and the first that fails refuses the document: size; structure; of every block the
// algorithm; the signatures; the threshold; the type line.
//
//   - Every block must be prehashed, "ED", whether its key is known or not. The legacy "Ed" is refused everywhere, because
//     the algorithm is not signed: one signature is at once a prehashed one of a text and a legacy one of the text's 64-byte hash.
//     For the same reason a key that signs documents must never make legacy signatures (minisign -l) of files that
//     others choose.
//   - The key id of a block is a hint that finds the key and proves nothing. A block with an id that no key has is skipped, and no key
//     is tried on it. A block with the id of a known key must verify, in both of its signatures, by a key of this id; if it does not,
//     the document is refused, however many other blocks do.
//   - The threshold counts distinct keys by their 32 bytes: not blocks, not ids.
//   - Trusted comments are verified, as part of minisign, and never interpreted. Two valid blocks with other comments are the same document.
//   - The zero [Keys] trusts nobody. Points of small order, which anybody can sign for, are not keys.
//   - The type line is signed, so that a document of one type is never one of another.
//
// A document's identity is size and SHA-256 of its text ([Document.ID]), never of the file: blocks come and go without changing it.
//
// # JSON
//
// Nothing is parsed before it is verified, and then strictly ([Document.Decode]): no duplicate names, also not
// in other members; no name that equals a known one but for case by Unicode's simple folding (which takes U+017F for s and U+212A for k); no null;
// numbers are integers from 0 to 9007199254740991 without sign, leading zero, fraction and exponent; strings are valid Unicode; at
// most 16 levels and 65,536 values; nothing after the object. Every member that is not optional must be there. Unknown
// members are ignored, but these rules hold within them too. Dates have the form 2026-11-21T09:00:00Z, hashes 64
// lower-case hex digits, keys the 56 characters of minisign's base64 line.
//
// # Trust
//
// A trust document says who may sign what:
//
//	theseus/trust/v1
//	{
//	  "app": "hello",
//	  "version": 1,
//	  "issued": "2026-11-21T09:00:00Z",
//	  "expires": "2027-11-21T09:00:00Z",
//	  "trust": {
//	    "threshold": 2,
//	    "keys": [
//	      {
//	        "key": "RWQ…",
//	        "name": "alice, token in the safe"
//	      },
//	      …
//	    ]
//	  },
//	  "release": { "threshold": 1, "keys": [ … ] },
//	  "channel": { "threshold": 1, "keys": [ … ] }
//	}
//
// All members but name are required. app is not empty; version is from 1 to 2147483647; expires is after issued. A role has 1 to 16
// keys, no key twice (by its bytes), and a threshold from 1 to the number of its keys and at most 8, so that a rotation,
// which carries the signatures of two thresholds, fits into 16 blocks.
//
// Version N+1 follows version N ([Trust.Next]) if a threshold of N's trust keys and a threshold of its own trust keys
// signed it, its app is the program's and N's, and its version is exactly N+1. A bare public key is version 0: this key,
// every role, threshold 1, no expiry. A client takes every version in turn and judges expiry on the last one only ([Trust.Expired]).
// What it remembers of a channel is forgotten when the keys that vouched for it were replaced ([ResetDue]).
package verify
