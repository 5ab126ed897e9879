package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"
)

var update = flag.Bool("update", false, "write the vectors that this package makes")

const vectorFolder = "../testdata/vectors"

// expectations are the words after "expect:" and the error that each stands for.
var expectations = map[string]error{
	"ok": nil, "malformed": ErrMalformed, "too-large": ErrTooLarge, "algorithm": ErrAlgorithm, "signature": ErrSignature,
	"threshold": ErrThreshold, "type": ErrType, "app": ErrApp, "version": ErrVersion,
}

// vector is one file of testdata/vectors; its README says what the headers mean.
type vector struct {
	header map[string][]string
	body   []byte
}

func (v vector) get(name string) string {
	if len(v.header[name]) == 0 {
		return ""
	}
	return v.header[name][0]
}

func (v vector) encode() []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(v.header)) {
		for _, value := range v.header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteByte('\n')
	b.Write(v.body)
	return b.Bytes()
}

func readVector(tb testing.TB, path string) vector {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	head, body, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		tb.Fatalf("%s has no empty line between header and body", path)
	}
	v := vector{header: map[string][]string{}, body: body}
	for line := range strings.SplitSeq(string(head), "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			tb.Fatalf("%s: %q is not a header", path, line)
		}
		v.header[name] = append(v.header[name], value)
	}
	if _, known := expectations[v.get("expect")]; !known {
		tb.Fatalf("%s: unknown expectation %q", path, v.get("expect"))
	}
	return v
}

// vectors reads all files of a folder and fails if there are fewer than least: a corpus that loads nothing proves
// nothing.
func vectors(tb testing.TB, folder string, least int) map[string]vector {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(vectorFolder, folder, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]vector{}
	for _, p := range paths {
		all[filepath.Base(p)] = readVector(tb, p)
	}
	if len(all) < least {
		tb.Fatalf("%d vectors in %s, expected at least %d", len(all), folder, least)
	}
	return all
}

func (v vector) keys(tb testing.TB) Keys {
	tb.Helper()
	if len(v.header["key"]) == 0 {
		return Keys{}
	}
	var keys []Key
	for _, line := range v.header["key"] {
		k, err := ParseKey(line)
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, k)
	}
	threshold, err := strconv.Atoi(v.get("threshold"))
	if err != nil {
		tb.Fatal(err)
	}
	set, err := NewKeys(threshold, keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func (v vector) judge(t *testing.T, err error) bool {
	t.Helper()
	want := expectations[v.get("expect")]
	switch {
	case want == nil && err != nil:
		t.Errorf("refused: %v", err)
	case want != nil && !errors.Is(err, want):
		t.Errorf("got %v, want an error that is %v", err, want)
	case want != nil:
		t.Logf("%v", err)
		oneSentence(t, err)
	}
	return err == nil && want == nil
}

// oneSentence: what an operator reads is one line of moderate length.
func oneSentence(t *testing.T, err error) {
	t.Helper()
	if s := err.Error(); strings.ContainsAny(s, "\n\r\x1b") || len(s) > 900 || strings.Contains(s, "%!") {
		t.Errorf("not one sentence: %q", s)
	}
}

func TestVectors(t *testing.T) {
	t.Run("key", func(t *testing.T) {
		for name, v := range vectors(t, "key", 15) {
			t.Run(name, func(t *testing.T) {
				k, err := ParseKey(string(v.body))
				if !v.judge(t, err) {
					return
				}
				if k.ID() != v.get("id") || k.Fingerprint().String() != v.get("fingerprint") {
					t.Errorf("id %s, fingerprint %s", k.ID(), k.Fingerprint())
				}
				if again, err := ParseKey(k.File()); err != nil || again != k {
					t.Errorf("written and read again: %v", err)
				}
			})
		}
	})
	t.Run("document", func(t *testing.T) {
		for name, v := range vectors(t, "document", 50) {
			t.Run(name, func(t *testing.T) {
				d, err := Open(v.body, Type(v.get("type")), v.keys(t))
				if !v.judge(t, err) {
					return
				}
				var signers []string
				for _, k := range d.Signers {
					signers = append(signers, k.Fingerprint().String())
				}
				if !slices.Equal(signers, v.header["signer"]) {
					t.Errorf("signers %v, want %v", signers, v.header["signer"])
				}
				if d.ID().SHA256.String() != v.get("text-sha256") {
					t.Errorf("text has SHA-256 %s", d.ID().SHA256)
				}
			})
		}
	})
	t.Run("trust", func(t *testing.T) {
		all := vectors(t, "trust", 50)
		for name, v := range all {
			t.Run(name, func(t *testing.T) {
				root := v.get("from-key")
				if from := v.get("from"); from != "" {
					root = string(all[from].body)
				}
				trust, err := ParseTrust(root)
				if err != nil {
					t.Fatal(err)
				}
				next, err := trust.Next(v.body, v.get("app"))
				if v.judge(t, err) && strconv.Itoa(next.Version) != v.get("version") {
					t.Errorf("version %d", next.Version)
				}
				if err != nil && next != nil {
					t.Error("an error and a trust document")
				}
			})
		}
	})
}

// TestVectorsAreThoseMadeHere holds the files against what made them; those with a header "made-by" came from
// elsewhere.
func TestVectorsAreThoseMadeHere(t *testing.T) {
	made := map[string]vector{}
	add := func(folder string, vs map[string]vector) {
		for name, v := range vs {
			made[filepath.Join(folder, name)] = v
		}
	}
	add("key", keyVectors(t))
	add("document", documentVectors(t))
	add("trust", trustVectors(t))
	for name, v := range made {
		path := filepath.Join(vectorFolder, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, v.encode(), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, v.encode()) {
			t.Errorf("%s is not what is made here (%v): go test ./verify -run VectorsAre -update", name, err)
		}
	}
	for _, folder := range []string{"key", "document", "trust"} {
		for name, v := range vectors(t, folder, 15) {
			if _, ok := made[filepath.Join(folder, name)]; !ok && v.get("made-by") == "" {
				t.Errorf("%s/%s is made by nobody: delete it", folder, name)
			}
		}
	}
}

// --- what makes them

func keyVectors(t *testing.T) map[string]vector {
	all := map[string]vector{}
	good := testKey(t, 1).Public()
	add := func(name, expect, body string) {
		v := vector{map[string][]string{"expect": {expect}}, []byte(body)}
		if expect == "ok" {
			v.header["id"], v.header["fingerprint"] = []string{good.ID()}, []string{good.Fingerprint().String()}
		}
		all[name] = v
	}
	line := good.String()
	add("file", "ok", good.File())
	add("line", "ok", line)
	add("line-lf", "ok", line+"\n")
	add("file-no-final-lf", "ok", strings.TrimSuffix(good.File(), "\n"))
	add("empty", "malformed", "")
	add("comment-only", "malformed", comment+"nothing\n")
	add("two-keys", "malformed", line+"\n"+line+"\n")
	add("empty-line", "malformed", line+"\n\n")
	add("crlf", "malformed", strings.ReplaceAll(good.File(), "\n", "\r\n"))
	add("cr-within", "malformed", line[:20]+"\r"+line[20:])
	add("space", "malformed", " "+line)
	add("short", "malformed", line[:52])
	add("padded", "malformed", base64.StdEncoding.EncodeToString(make([]byte, 41)))
	add("url-alphabet", "malformed", strings.NewReplacer("+", "-", "/", "_").Replace(keyWithPlusOrSlash(t).String()))
	add("prehashed-algorithm", "malformed", "RUQ"+line[3:])
	add("signature-file", "malformed", string(rawBlock(t, 1, "text", "timestamp:1")))
	add("private-key", "malformed", privateText(t, 1))
	add("html", "malformed", "<!DOCTYPE html>\n<title>404</title>\n")
	add("zero", "malformed", Key{}.String())
	for i, y := range smallOrder[1:] {
		y[31] |= 0x80 * byte(i%2)
		add(fmt.Sprintf("small-order-%d", i+1), "malformed", Key{id: 1, bytes: y}.String())
	}
	return all
}

func keyWithPlusOrSlash(t *testing.T) Key {
	for seed := byte(1); seed > 0; seed++ {
		if k := testKey(t, seed).Public(); strings.ContainsAny(k.String(), "+/") {
			return k
		}
	}
	t.Fatal("no key with + or /")
	return Key{}
}

func privateText(tb testing.TB, seed byte) string {
	tb.Helper()
	b, err := testKey(tb, seed).private.MarshalText()
	if err != nil {
		tb.Fatal(err)
	}
	return string(b) + "\n"
}

func rawBlock(tb testing.TB, seed byte, text, trusted string) []byte {
	tb.Helper()
	b, err := signer{testKey(tb, seed), trusted}.Sign([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// edited changes the second line of a block, which is not base64 while f sees it.
func edited(tb testing.TB, block []byte, f func(signature []byte)) []byte {
	tb.Helper()
	lines := strings.Split(string(block), "\n")
	b, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil {
		tb.Fatal(err)
	}
	f(b)
	lines[1] = base64.StdEncoding.EncodeToString(b)
	return []byte(strings.Join(lines, "\n"))
}

func withID(tb testing.TB, block []byte, id uint64) []byte {
	return edited(tb, block, func(b []byte) { binary.LittleEndian.PutUint64(b[2:], id) })
}

func legacyBlock(tb testing.TB, seed byte, text string) []byte {
	return minisign.SignWithComments(testKey(tb, seed).private, []byte(text), "timestamp:1", "legacy")
}

func join(text string, blocks ...[]byte) []byte {
	return append([]byte(text+"\n"), bytes.Join(blocks, nil)...)
}

func documentVectors(t *testing.T) map[string]vector {
	all := map[string]vector{}
	// who is trusted: threshold and the seeds of keys
	add := func(name, expect string, trusted Keys, body []byte, signers ...byte) {
		v := vector{map[string][]string{"expect": {expect}, "type": {string(TypeChannel)}}, body}
		if trusted.threshold > 0 {
			v.header["threshold"] = []string{strconv.Itoa(trusted.threshold)}
		}
		for _, k := range trusted.keys {
			v.header["key"] = append(v.header["key"], k.String())
		}
		if expect == "ok" {
			text, _, _ := bytes.Cut(body, []byte("\n\n"))
			v.header["text-sha256"] = []string{IDOf(append(bytes.Clone(text), '\n')).SHA256.String()}
			for _, s := range signers {
				v.header["signer"] = append(v.header["signer"], testKey(t, s).Public().Fingerprint().String())
			}
		}
		all[name] = v
	}
	const stamp = "timestamp:1795251600"
	const text = "theseus/channel/v1\n{\n  \"app\": \"hello\"\n}\n"
	one, two, three := rawBlock(t, 1, text, stamp), rawBlock(t, 2, text, stamp), rawBlock(t, 3, text, stamp)
	only1, of2, of3 := testKeys(t, 1, 1), testKeys(t, 2, 1, 2), testKeys(t, 2, 1, 2, 3)
	key1, key2 := testKey(t, 1).Public(), testKey(t, 2).Public()

	add("one-key", "ok", only1, join(text, one), 1)
	add("two-of-three", "ok", of3, join(text, three, one), 3, 1)
	add("three-of-three", "ok", testKeys(t, 3, 1, 2, 3), join(text, one, two, three), 1, 2, 3)
	add("more-than-needed", "ok", of3, join(text, one, two, three), 1, 2, 3)
	add("unknown-key-skipped", "ok", only1, join(text, two, one), 1)
	add("object-on-one-line", "ok", only1, join("theseus/channel/v1\n{}\n", rawBlock(t, 1, "theseus/channel/v1\n{}\n", stamp)), 1)
	add("P15-other-trusted-comment", "ok", only1, join(text, rawBlock(t, 1, text, "approved for everything")), 1)
	add("P15-two-trusted-comments", "ok", only1, join(text, one, rawBlock(t, 1, text, "another")), 1)
	add("empty-comments", "ok", only1, join(text, bytes.Replace(rawBlock(t, 1, text, ""), []byte("signature from key "+key1.ID()), nil, 1)), 1)
	sixteen := [][]byte{one}
	for range maxBlocks - 1 {
		sixteen = append(sixteen, two)
	}
	add("sixteen-blocks", "ok", only1, join(text, sixteen...), 1)
	add("seventeen-blocks", "too-large", only1, join(text, append(sixteen, two)...))
	add("P16-huge-trusted-comment", "too-large", only1, join(text, rawBlock(t, 1, text, strings.Repeat("x", maxSigned))))

	// who signed
	add("A01-unknown-key-only", "signature", only1, join(text, two))
	add("no-keys-trusted", "signature", Keys{}, join(text, one))
	add("A19-one-of-two", "threshold", of3, join(text, one))
	add("A20-same-block-twice", "threshold", of2, join(text, one, one))
	add("A20-same-key-two-comments", "threshold", of2, join(text, one, rawBlock(t, 1, text, "again")))
	add("A20-same-key-under-unknown-id", "threshold", of2, join(text, one, withID(t, one, 7)))
	add("A20-same-key-under-other-known-id", "signature", of2, join(text, one, withID(t, one, key2.id)))
	add("id-of-no-key", "signature", only1, join(text, withID(t, one, 7)))
	sameID, err := NewKeys(2, key1, Key{id: key1.id, bytes: key2.bytes})
	if err != nil {
		t.Fatal(err)
	}
	add("two-keys-with-one-id", "ok", sameID, join(text, one, withID(t, two, key1.id)), 1, 2)
	add("two-keys-with-one-id-one-signed", "threshold", sameID, join(text, one, one))
	add("two-keys-with-one-id-neither", "signature", sameID, join(text, one, withID(t, three, key1.id)))
	add("known-key-bad-among-enough", "signature", of3, join(text, one, two, withID(t, one, testKey(t, 3).Public().id)))
	other := "theseus/channel/v1\n{\n  \"app\": \"other\"\n}\n"
	add("A12-signature-of-other-text", "signature", only1, join(other, one))
	add("P15-trusted-comment-swapped", "signature", only1, join(text, bytes.Replace(one, []byte(stamp), []byte("timestamp:1795251601"), 1)))
	add("P17-signature-of-a-prefix", "signature", only1, join(text, rawBlock(t, 1, text[:len(text)-1], stamp)))
	add("P17-signature-of-nothing", "signature", only1, join(text, rawBlock(t, 1, "", stamp)))
	add("signature-with-the-empty-line", "signature", only1, join(text, rawBlock(t, 1, text+"\n", stamp)))
	add("scalar-above-order", "signature", only1, join(text, edited(t, one, func(b []byte) { addOrder(b[42:]) })))

	// which algorithm
	add("P12-flipped-to-legacy", "algorithm", only1, join(text, edited(t, one, func(b []byte) { b[1] = 'd' })))
	add("P13-legacy", "algorithm", only1, join(text, legacyBlock(t, 1, text)))
	add("P13-legacy-of-unknown-key", "algorithm", only1, join(text, one, legacyBlock(t, 2, text)))
	add("P13-legacy-flipped-to-prehashed", "signature", only1, join(text, edited(t, legacyBlock(t, 1, text), func(b []byte) { b[1] = 'D' })))
	digest := blake2b.Sum512([]byte(text))
	add("P14-payload-is-the-digest", "malformed", only1, join(string(digest[:]), edited(t, one, func(b []byte) { b[1] = 'd' })))
	add("algorithm-unknown", "algorithm", only1, join(text, edited(t, one, func(b []byte) { b[0] = 'X' })))

	// which type
	signedText := func(s string) []byte { return join(s, rawBlock(t, 1, s, stamp)) }
	add("A16-trust-as-channel", "type", only1, signedText("theseus/trust/v1\n{}\n"))
	add("A16-manifest-as-channel", "type", only1, signedText("theseus/manifest/v1\n{}\n"))
	add("A16-newer-version", "type", only1, signedText("theseus/channel/v2\n{}\n"))
	add("A16-artifact", "malformed", only1, signedText("\x7fELF program\n"))
	add("type-line-changed", "signature", only1, join(strings.Replace(text, "channel", "manifest", 1), one))
	add("type-unknown", "malformed", only1, signedText("theseus/Channel/v1\n{}\n"))
	add("type-version-zero", "malformed", only1, signedText("theseus/channel/v0\n{}\n"))
	add("type-trailing-space", "malformed", only1, signedText("theseus/channel/v1 \n{}\n"))

	// which bytes: all of these are signed, the form alone is wrong
	add("P03-byte-order-mark", "malformed", only1, signedText("\uFEFF"+text))
	add("P11-crlf-signed", "malformed", only1, signedText(strings.ReplaceAll(text, "\n", "\r\n")))
	add("P11-crlf-file", "malformed", only1, bytes.ReplaceAll(join(text, one), []byte("\n"), []byte("\r\n")))
	add("P11-crlf-block", "malformed", only1, join(text, bytes.ReplaceAll(one, []byte("\n"), []byte("\r\n"))))
	add("P11-cr-within-base64", "malformed", only1, join(text, bytes.Replace(one, []byte("\nRUQ"), []byte("\nRU\rQ"), 1)))
	add("P11-lf-within-base64", "malformed", only1, join(text, bytes.Replace(one, []byte("\nRUQ"), []byte("\nRU\nQ"), 1)))
	add("P11-unused-bits", "malformed", only1, join(text, unusedBits(t, one, 1)))
	add("P11-unused-bits-comment-signature", "malformed", only1, join(text, unusedBits(t, one, 3)))
	add("P11-padding-missing", "malformed", only1, join(text, bytes.Replace(one, []byte("=\ntrusted"), []byte("\ntrusted"), 1)))
	add("P11-five-lines", "malformed", only1, join(text, one, []byte("\n")))
	add("P11-no-final-lf", "malformed", only1, bytes.TrimSuffix(join(text, one), []byte("\n")))
	add("P11-two-empty-lines", "malformed", only1, join(text+"\n", one))
	add("P11-empty-line-between-blocks", "malformed", only1, join(text, one, []byte("\n"), two))
	add("P11-comment-prefix", "malformed", only1, join(text, bytes.Replace(one, []byte("untrusted comment: "), []byte("Untrusted comment: "), 1)))
	add("P11-trusted-comment-prefix", "malformed", only1, join(text, bytes.Replace(one, []byte("\ntrusted comment: "), []byte("\ntrusted comment:"), 1)))
	add("P11-prefix-signature-short", "malformed", only1, join(text, []byte(comment+"\nRUQ=\ntrusted comment: \n"+strings.Split(string(one), "\n")[3]+"\n")))
	add("P03-two-documents", "malformed", only1, append(join(text, one), join(text, one)...))
	add("P03-text-after", "malformed", only1, join(text, one, []byte("hello\n")))
	add("tab", "malformed", only1, signedText("theseus/channel/v1\n{\t}\n"))
	add("tab-in-trusted-comment", "malformed", only1, join(text, rawBlock(t, 1, text, "timestamp:1\tfile:x\thashed")))
	add("nul-byte", "malformed", only1, signedText("theseus/channel/v1\n{\x00}\n"))
	add("delete", "malformed", only1, signedText("theseus/channel/v1\n{\x7f}\n"))
	add("escape", "malformed", only1, join(text, bytes.Replace(one, []byte("signature from"), []byte("\x1b[2Jsignature from"), 1)))
	add("P05-invalid-utf8", "malformed", only1, signedText("theseus/channel/v1\n{\"\xff\"}\n"))
	add("P05-invalid-utf8-comment", "malformed", only1, join(text, bytes.Replace(one, []byte("signature from"), []byte("signature \xff from"), 1)))
	add("P05-encoded-surrogate", "malformed", only1, signedText("theseus/channel/v1\n{\"\xed\xa0\x80\"}\n"))
	add("no-object", "malformed", only1, signedText("theseus/channel/v1\n"))
	add("array", "malformed", only1, signedText("theseus/channel/v1\n[]\n"))
	add("text-without-lf", "malformed", only1, join("theseus/channel/v1\n{}", rawBlock(t, 1, "theseus/channel/v1\n{}", stamp)))
	add("space-before-object", "malformed", only1, signedText("theseus/channel/v1\n {}\n"))
	add("space-after-object", "malformed", only1, signedText("theseus/channel/v1\n{} \n"))
	add("empty-line-in-text", "malformed", only1, signedText("theseus/channel/v1\n{\n\n}\n"))
	add("no-blocks", "malformed", only1, []byte(text+"\n"))
	add("text-only", "malformed", only1, []byte(text))
	add("blocks-only", "malformed", only1, one)
	add("cut-in-text", "malformed", only1, []byte(text[:len(text)-4]))
	add("cut-in-block", "malformed", only1, join(text, one[:len(one)-30]))
	add("empty", "malformed", only1, nil)
	add("N01-html", "malformed", only1, []byte("<!DOCTYPE html>\n<html><body>\n\nPlease log in</body></html>\n"))
	add("json-only", "malformed", only1, []byte("{}\n"))
	return all
}

// addOrder adds the order of the group to a scalar: the signature equation still holds, and only a strict verifier
// refuses.
func addOrder(s []byte) {
	order := [32]byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
	carry := 0
	for i := range s {
		carry += int(s[i]) + int(order[i])
		s[i], carry = byte(carry), carry>>8
	}
}

// unusedBits sets one of the bits that base64 padding leaves over.
func unusedBits(t *testing.T, block []byte, line int) []byte {
	t.Helper()
	lines := strings.Split(string(block), "\n")
	s := []byte(lines[line])
	i := bytes.IndexByte(s, '=') - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	s[i] = alphabet[strings.IndexByte(alphabet, s[i])|1]
	lines[line] = string(s)
	return []byte(strings.Join(lines, "\n"))
}

// roles is a trust draft for hello: the seeds of the trust keys, which are those of the other roles too.
func roles(t *testing.T, version, threshold int, seeds ...byte) TrustDraft {
	t.Helper()
	var role Role
	role.Threshold = threshold
	for _, s := range seeds {
		role.Keys = append(role.Keys, NamedKey{testKey(t, s).Public(), fmt.Sprintf("holder %d", s)})
	}
	return TrustDraft{App: "hello", Version: version, Issued: Time{signed}, Expires: Time{signed.AddDate(1, 0, 0)}, Trust: role, Release: role, Channel: role}
}

func signTrust(t *testing.T, d TrustDraft, seeds ...byte) []byte {
	t.Helper()
	file, err := d.Sign(testSigners(t, seeds...)...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func trustVectors(t *testing.T) map[string]vector {
	all := map[string]vector{}
	bare := testKey(t, 1).Public().String()
	add := func(name, expect, from string, body []byte) {
		v := vector{map[string][]string{"expect": {expect}, "app": {"hello"}}, body}
		if from == "" {
			v.header["from-key"] = []string{bare}
		} else {
			v.header["from"] = []string{from}
		}
		if expect == "ok" {
			d, err := ParseTrustDraft(body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v.header["version"] = []string{strconv.Itoa(d.Version)}
		}
		all[name] = v
	}
	// rotation: the old keys, the new keys, who signed
	add("1-same-key", "ok", "", signTrust(t, roles(t, 1, 1, 1), 1))
	add("1-key-replaced", "ok", "", signTrust(t, roles(t, 1, 1, 2), 1, 2))
	add("1-grown-to-2-of-3", "ok", "", signTrust(t, roles(t, 1, 2, 1, 2, 3), 1, 2))
	add("1-grown-to-2-of-3-without-the-old-key", "ok", "", signTrust(t, roles(t, 1, 2, 2, 3, 4), 1, 2, 3))
	add("1-extra-signatures-not-used", "ok", "", signTrust(t, roles(t, 1, 1, 1), 5, 1, 6))
	add("1-3-of-5", "ok", "", signTrust(t, roles(t, 1, 3, 1, 2, 3, 4, 5), 1, 3, 5))
	add("2-3-of-5-other-combination", "ok", "1-3-of-5", signTrust(t, roles(t, 2, 3, 1, 2, 3, 4, 5), 2, 4, 5))
	add("2-one-of-2-of-3-replaced", "ok", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 2, 1, 2, 4), 1, 2))
	add("2-all-rotated-at-once", "ok", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 2, 4, 5, 6), 1, 3, 4, 6))
	add("2-rotated-with-intermediate-step", "ok", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 2, 3, 4, 5), 2, 3, 4))
	add("3-rotated-with-intermediate-step", "ok", "2-rotated-with-intermediate-step", signTrust(t, roles(t, 3, 2, 4, 5, 6), 4, 5))
	add("2-threshold-up", "ok", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 3, 1, 2, 3), 1, 2, 3))
	add("2-threshold-down", "ok", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 1, 1, 2, 3), 1, 2))
	expired := roles(t, 1, 1, 1)
	expired.Issued, expired.Expires = Time{signed.AddDate(-3, 0, 0)}, Time{signed.AddDate(-2, 0, 0)}
	add("A28-1-expired-step", "ok", "", signTrust(t, expired, 1))
	add("A28-2-after-expired-step", "ok", "A28-1-expired-step", signTrust(t, roles(t, 2, 1, 1), 1))
	largest := roles(t, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	add("1-most-keys", "ok", "", signTrust(t, largest, 1, 2, 3, 4, 5, 6, 7, 8))
	wholly := roles(t, 2, 8, 21, 22, 23, 24, 25, 26, 27, 28)
	add("2-largest-rotation", "ok", "1-most-keys", signTrust(t, wholly, 9, 10, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26, 27, 28))

	add("A22-not-signed-by-the-old", "signature", "", signTrust(t, roles(t, 1, 1, 2), 2))
	add("A22-not-signed-by-the-new", "signature", "", signTrust(t, roles(t, 1, 1, 2), 1))
	add("A22-too-few-of-the-old", "threshold", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 2, 4, 5, 6), 1, 4, 5))
	add("A22-too-few-of-the-new", "threshold", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 2, 4, 5, 6), 1, 2, 4))
	add("A22-threshold-raised-but-not-reached", "threshold", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 3, 1, 2, 3), 1, 2))
	add("A22-threshold-lowered-by-itself", "threshold", "1-grown-to-2-of-3", signTrust(t, roles(t, 2, 1, 1, 2, 3), 1))
	add("A22-removed-key-signs", "threshold", "2-one-of-2-of-3-replaced", signTrust(t, roles(t, 3, 2, 1, 2, 3), 1, 3))
	weakRole := roles(t, 1, 1, 2)
	weakRole.Trust.Keys = weakRole.Trust.Keys[:1]
	weakRole.Release.Keys = append(weakRole.Release.Keys, NamedKey{Key: testKey(t, 3).Public()})
	add("A22-new-release-key-signs-for-trust", "signature", "", signTrust(t, weakRole, 1, 3))
	oldRole := roles(t, 1, 1, 1)
	oldRole.Channel = roles(t, 1, 1, 9).Trust
	add("1-channel-key-of-its-own", "ok", "", signTrust(t, oldRole, 1))
	add("A22-channel-key-signs-trust", "signature", "1-channel-key-of-its-own", signTrust(t, roles(t, 2, 1, 9), 9))
	add("A23-skip", "version", "", signTrust(t, roles(t, 2, 1, 1), 1))
	add("A23-replayed", "version", "1-same-key", signTrust(t, roles(t, 1, 1, 1), 1))
	add("A23-far-ahead", "version", "", signTrust(t, roles(t, maxVersion, 1, 1), 1))
	otherApp := roles(t, 1, 1, 1)
	otherApp.App = "other"
	add("A31-other-app", "app", "", signTrust(t, otherApp, 1))
	otherApp.Version = 2
	add("A31-other-app-later", "app", "1-same-key", signTrust(t, otherApp, 1))
	add("A16-channel-as-trust", "type", "", sign(t, TypeChannel, roles(t, 1, 1, 1), 1))

	// strict JSON: all of these are signed by the one key, the object alone is wrong
	object := strings.TrimPrefix(string(mustText(t, roles(t, 1, 1, 1))), string(TypeTrust)+"\n")
	wrong := func(name, old, new string) {
		if strings.Count(object, old) == 0 {
			t.Fatalf("%s: no %q in\n%s", name, old, object)
		}
		text := string(TypeTrust) + "\n" + strings.Replace(object, old, new, 1)
		add(name, "malformed", "", join(text, rawBlock(t, 1, text, "timestamp:1")))
	}
	right := func(name, old, new string) {
		wrong(name, old, new)
		v := all[name]
		v.header["expect"], v.header["version"] = []string{"ok"}, []string{"1"}
	}
	const app = `"app": "hello",`
	right("unknown-member", app, app+` "seen": {"deep": [true, {"x": 1}]},`)
	right("unknown-member-equal-but-for-punctuation", app, app+` "a_p-p": "x",`)
	right("members-in-another-order", `"app": "hello",`, "")
	{
		v := all["members-in-another-order"]
		text := string(TypeTrust) + "\n" + strings.Replace(strings.Replace(object, `  "app": "hello",`+"\n", "", 1), "\n}\n", ",\n  \"app\": \"hello\"\n}\n", 1)
		v.body = join(text, rawBlock(t, 1, text, "timestamp:1"))
		all["members-in-another-order"] = v
	}
	wrong("P01-duplicate", app, app+app)
	wrong("P01-duplicate-escaped", app, app+`"\u0061pp": "hello",`)
	wrong("P01-duplicate-unknown", app, app+`"x": 1, "x": 1,`)
	wrong("P01-duplicate-within-unknown", app, app+`"x": {"y": 1, "y": 2},`)
	wrong("P02-other-case", app, app+`"APP": "hello",`)
	wrong("P02-other-case-instead", `"app"`, `"App"`)
	wrong("P02-long-s", `"issued"`, "\"i\u017fsued\"")
	wrong("P02-long-s-beside", app, app+"\"i\u017fsued\": 1,")
	wrong("P02-kelvin-sign", `"keys": [`, "\"\u212aeys\": 1, \"keys\": [")
	wrong("P02-kelvin-sign-instead", `"keys"`, "\"\u212aeys\"")
	wrong("P02-kelvin-sign-escaped", `"keys"`, `"\u212aeys"`)
	wrong("P03-two-objects", "\n}\n", "\n}{}\n")
	wrong("P03-object-then-text", "\n}\n", "\n} x}\n")
	wrong("P04-null", `"hello"`, "null")
	wrong("P04-null-object", `"key": `, `"key": null, "other": `)
	wrong("P04-null-optional", `"holder 1"`, "null")
	wrong("P04-null-unknown", app, app+`"x": null,`)
	wrong("P04-missing", app, "")
	wrong("P04-missing-within", `"threshold": 1,`, "")
	wrong("P04-missing-key", `"key"`, `"kez"`)
	wrong("P05-lone-surrogate", `"hello"`, `"\ud800"`)
	wrong("P05-lone-surrogate-name", app, app+`"\udc00": 1,`)
	for name, n := range map[string]string{
		"exponent": "1e0", "minus-zero": "-0", "fraction": "1.0", "2-53": "9007199254740992", "2-64": "18446744073709551616", "negative": "-1", "leading-zero": "01", "plus": "+1",
		"string": `"1"`, "true": "true", "nan": "NaN", "hundred-digits": strings.Repeat("9", 100),
	} {
		wrong("P06-"+name, `"version": 1`, `"version": `+n)
	}
	wrong("P06-unknown-fraction", app, app+`"x": 1.5,`)
	right("P06-unknown-greatest", app, app+`"x": 9007199254740991,`)
	wrong("P06-unknown-2-53", app, app+`"x": 9007199254740992,`)
	wrong("P06-unknown-minus-zero", app, app+`"x": -0,`)
	wrong("P06-version-zero", `"version": 1`, `"version": 0`)
	wrong("P06-version-2-31", `"version": 1`, `"version": 2147483648`)
	wrong("P07-depth", app, app+`"x": `+strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)+",")
	right("P07-greatest-depth", app, app+`"x": `+strings.Repeat("[", maxDepth-1)+strings.Repeat("]", maxDepth-1)+",")
	wrong("A21-threshold-zero", `"threshold": 1`, `"threshold": 0`)
	wrong("A21-threshold-negative", `"threshold": 1`, `"threshold": -1`)
	wrong("A21-threshold-above-keys", `"threshold": 1`, `"threshold": 2`)
	wrong("A21-no-keys", `"keys": [`, `"keys": [], "old": [`)
	wrong("A20-key-twice", `"keys": [`, `"keys": [{"key": "`+bare+`"},`)
	wrong("A20-key-twice-under-two-ids", `"keys": [`, `"keys": [{"key": "`+Key{id: 7, bytes: testKey(t, 1).Public().bytes}.String()+`"},`)
	wrong("key-worthless", `"keys": [`, `"keys": [{"key": "`+Key{id: 7}.String()+`"},`)
	wrong("key-not-base64", bare, "!"+bare[1:])
	wrong("key-with-line-end", bare, bare[:8]+`\n`+bare[8:])
	wrong("role-missing", `"channel"`, `"chanel"`)
	wrong("role-not-an-object", `"channel": {`, `"channel": 1, "x": {`)
	wrong("app-empty", `"hello"`, `""`)
	wrong("app-in-capitals", `"hello"`, `"Hello"`)
	wrong("app-a-path", `"hello"`, `"../hello"`)
	wrong("R13-app-with-an-escape", `"hello"`, `"hello\u001b[2J"`)
	wrong("R13-name-with-an-escape", `"holder 1"`, `"holder \u001b[2J1"`)
	wrong("R13-name-in-another-direction", `"holder 1"`, `"holder \u202e1"`)
	wrong("name-too-long", `"holder 1"`, `"`+strings.Repeat("x", maxName+1)+`"`)
	right("name-longest", `"holder 1"`, `"`+strings.Repeat("x", maxName)+`"`)
	wrong("date-with-offset", "2026-11-21T09:00:00Z", "2026-11-21T09:00:00+00:00")
	wrong("date-with-fraction", "2026-11-21T09:00:00Z", "2026-11-21T09:00:00.5Z")
	wrong("date-impossible", "2026-11-21T09:00:00Z", "2026-02-30T09:00:00Z")
	wrong("date-lower-case", "2026-11-21T09:00:00Z", "2026-11-21t09:00:00z")
	wrong("A33-issued-after-expiry", "2026-11-21T09:00:00Z", "2100-01-01T00:00:00Z")
	wrong("issued-at-expiry", "2026-11-21T09:00:00Z", "2027-11-21T09:00:00Z")
	var many strings.Builder
	for seed := byte(31); seed <= 31+maxKeys; seed++ {
		fmt.Fprintf(&many, `{"key": "%s"},`, testKey(t, seed).Public())
	}
	wrong("keys-too-many", `"keys": [`, `"keys": [`+many.String())
	nine := roles(t, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	text := strings.Replace(string(mustText(t, nine)), `"threshold": 8`, `"threshold": 9`, 1)
	var blocks [][]byte
	for seed := byte(1); seed <= 9; seed++ {
		blocks = append(blocks, rawBlock(t, seed, text, "timestamp:1"))
	}
	add("threshold-above-eight", "malformed", "", join(text, blocks...))
	return all
}

func mustText(t *testing.T, d TrustDraft) []byte {
	t.Helper()
	text, err := Text(TypeTrust, d)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Weak keys are refused because signatures for them need no secret; that is shown here rather than believed.
func TestSmallOrderKeysAreForgeable(t *testing.T) {
	for i, y := range smallOrder {
		forged := false
		for n := 0; n < 1000 && !forged; n++ {
			message := binary.BigEndian.AppendUint64(nil, uint64(n))
			for _, r := range smallOrder[:4] {
				for _, sign := range []byte{0, 0x80} {
					signature := append(bytes.Clone(r[:]), make([]byte, 32)...) // R of small order, S = 0
					signature[31] |= sign
					forged = forged || ed25519.Verify(y[:], message, signature)
				}
			}
		}
		if !forged {
			t.Errorf("point %d is not forgeable, it does not belong into the list", i)
		}
	}
	if _, err := NewKeys(1, Key{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("the zero key in a set: %v", err)
	}
}
