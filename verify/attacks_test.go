package verify

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"
)

// Every change of one byte of a document with one signature refuses it, but for the free text that nobody signs.
func TestEveryByteCounts(t *testing.T) {
	file := sign(t, TypeChannel, note{"hello", 42}, 1)
	keys := testKeys(t, 1, 1)
	free := bytes.Index(file, []byte(comment)) + len(comment)
	end := free + bytes.IndexByte(file[free:], '\n')
	accepted := 0
	for i := range file {
		for _, change := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			changed := bytes.Clone(file)
			changed[i] ^= change
			d, err := Open(changed, TypeChannel, keys)
			if err != nil {
				continue
			}
			if accepted++; i < free || i >= end {
				t.Fatalf("byte %d (%q) changed to %q: accepted", i, file[i], changed[i])
			}
			if !bytes.Equal(d.Text, file[:len(d.Text)]) || len(d.Signers) != 1 {
				t.Fatalf("byte %d: another text", i)
			}
		}
	}
	if accepted == 0 {
		t.Error("the untrusted comment was refused too, so that nothing shows that the test can accept")
	}
	for i := range file {
		if _, err := Open(file[:i], TypeChannel, keys); err == nil {
			t.Errorf("cut to %d bytes: accepted", i)
		}
		without := append(bytes.Clone(file[:i]), file[i+1:]...)
		if _, err := Open(without, TypeChannel, keys); err == nil && (i < free || i >= end) {
			t.Errorf("without byte %d: accepted", i)
		}
		for _, more := range []string{"\n", " ", "a", "="} {
			with := append(append(bytes.Clone(file[:i]), more...), file[i:]...)
			if _, err := Open(with, TypeChannel, keys); err == nil && (!bytes.HasPrefix(with, file[:free]) || i > end) {
				t.Errorf("%q before byte %d: accepted", more, i)
			}
		}
	}
}

func TestP07CapsBeforeDecoding(t *testing.T) {
	documentOf := func(object string) *Document {
		return &Document{TypeManifest, []byte("theseus/manifest/v1\n" + object + "\n"), nil}
	}
	for name, d := range map[string]*Document{
		"half a million arrays":      documentOf(`{"app":"x","size":1,"x":` + strings.Repeat("[", 1<<19-40) + strings.Repeat("]", 1<<19-40) + "}"),
		"half a million objects":     documentOf(`{"app":"x","size":1,"x":` + strings.Repeat(`{"":`, 1<<18-40) + "1}"),
		"half a million elements":    documentOf(`{"app":"x","size":1,"x":[` + strings.Repeat("0,", 1<<19-40) + "0]}"),
		"one more than the elements": documentOf(`{"app":"x","size":1,"x":[` + strings.Repeat("0,", maxValues-4) + "0]}"),
	} {
		t.Run("P07 "+name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := d.Decode(&note{})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 32<<20 {
				t.Errorf("%d MiB allocated for what is refused", allocated>>20)
			}
		})
	}
	last := documentOf(`{"app":"x","size":1,"x":[` + strings.Repeat("0,", maxValues-5) + "0]}")
	if err := last.Decode(&note{}); err != nil {
		t.Errorf("the greatest number of values: %v", err)
	}
}

func TestA08SizeCaps(t *testing.T) {
	for typ, limit := range textCap {
		keys := testKeys(t, 1, 1)
		fill := func(n int) []byte { // a signed document whose text has n bytes
			head, tail := string(typ)+"\n{\"x\":\"", "\"}\n"
			text := head + strings.Repeat("x", n-len(head)-len(tail)) + tail
			return join(text, rawBlock(t, 1, text, "timestamp:1"))
		}
		if d, err := Open(fill(limit), typ, keys); err != nil || len(d.Text) != limit {
			t.Errorf("%s of the greatest size: %v", typ, err)
		}
		if _, err := Open(fill(limit+1), typ, keys); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, text one byte over: %v", typ, err)
		}
		big := rawBlock(t, 1, string(fill(limit)[:limit]), strings.Repeat("x", 0))
		big = rawBlock(t, 1, string(fill(limit)[:limit]), strings.Repeat("x", maxSigned-len(big)))
		file := join(string(fill(limit)[:limit]), big)
		if int64(len(file)) != typ.MaxSize() {
			t.Fatalf("%d bytes, want %d", len(file), typ.MaxSize())
		}
		if _, err := Open(file, typ, keys); err != nil {
			t.Errorf("%s, file of the greatest size: %v", typ, err)
		}
		if _, err := Open(append(file, 'x'), typ, keys); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, file one byte over: %v", typ, err)
		}
	}
	if Type("theseus/other/v1").MaxSize() != 0 {
		t.Error("an unknown type has a size")
	}
	if _, err := Open([]byte("x"), "theseus/other/v1", testKeys(t, 1, 1)); !errors.Is(err, ErrTooLarge) {
		t.Error("an unknown type was opened")
	}
	if _, _, err := Split(make([]byte, 2<<20)); !errors.Is(err, ErrTooLarge) {
		t.Error("Split took 2 MiB")
	}
}

// The module takes a comment of any length; the C program stops at 8 KiB; here the cap is that of all blocks.
func TestP16HugeTrustedComment(t *testing.T) {
	text := "theseus/manifest/v1\n{}\n"
	file := join(text, rawBlock(t, 1, text, strings.Repeat("x", 1<<20)))
	if _, err := Open(file, TypeManifest, testKeys(t, 1, 1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestP12P13TheModuleAloneWouldTakeThem(t *testing.T) {
	text := "theseus/channel/v1\n{}\n"
	key := testKey(t, 1)
	public := key.private.Public().(minisign.PublicKey)
	reader := minisign.NewReader(strings.NewReader(text))
	if _, err := io.Copy(io.Discard, reader); err != nil {
		t.Fatal(err)
	}
	flipped := edited(t, rawBlock(t, 1, text, "timestamp:1"), func(b []byte) { b[1] = 'd' })
	if !reader.Verify(public, flipped) {
		t.Error("the module authenticates the algorithm now: say so in the package comment")
	}
	if _, err := Open(join(text, flipped), TypeChannel, testKeys(t, 1, 1)); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("P12 flip: %v", err)
	}
	legacy := legacyBlock(t, 1, text)
	if !minisign.Verify(public, []byte(text), legacy) {
		t.Error("the module refuses legacy signatures now: say so in the package comment")
	}
	if _, err := Open(join(text, legacy), TypeChannel, testKeys(t, 1, 1)); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("P13 legacy: %v", err)
	}
}

// A prehashed signature over a document is, flipped to legacy, one over the 64 bytes of its hash. They are no document,
// and the flip is refused before that.
func TestP14DigestAsPayload(t *testing.T) {
	text := "theseus/channel/v1\n{}\n"
	digest := blake2b.Sum512([]byte(text))
	flipped := edited(t, rawBlock(t, 1, text, "timestamp:1"), func(b []byte) { b[1] = 'd' })
	if !minisign.Verify(testKey(t, 1).private.Public().(minisign.PublicKey), digest[:], flipped) {
		t.Fatal("the attack is not set up: the module refuses")
	}
	if _, err := parseBlocks(flipped); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(join(string(digest[:]), flipped), TypeChannel, testKeys(t, 1, 1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestP17PartialRead(t *testing.T) {
	text := "theseus/channel/v1\n{}\n"
	for n := range len(text) {
		reader := minisign.NewReader(strings.NewReader(text))
		if _, err := io.CopyN(io.Discard, reader, int64(n)); err != nil {
			t.Fatal(err)
		}
		block := reader.SignWithComments(testKey(t, 1).private, "timestamp:1", "of a prefix")
		if _, err := Open(join(text, block), TypeChannel, testKeys(t, 1, 1)); !errors.Is(err, ErrSignature) {
			t.Errorf("signature of the first %d bytes: %v", n, err)
		}
	}
}

// P11, P15: other valid signatures make another file and the same document.
func TestP11IdentityIsTheText(t *testing.T) {
	text := "theseus/channel/v1\n{}\n"
	keys := testKeys(t, 1, 1)
	want := IDOf([]byte(text))
	for _, file := range [][]byte{
		join(text, rawBlock(t, 1, text, "timestamp:1")),
		join(text, rawBlock(t, 1, text, "timestamp:2")),
		join(text, rawBlock(t, 2, text, "timestamp:1"), rawBlock(t, 1, text, "timestamp:1")),
	} {
		d, err := Open(file, TypeChannel, keys)
		if err != nil || d.ID() != want {
			t.Errorf("%v, %v", d, err)
		}
	}
}

// An unverified trust document leaves nothing behind that could be remembered.
func TestA24NothingBeforeVerification(t *testing.T) {
	root, err := ParseTrust(testKey(t, 1).Public().String())
	if err != nil {
		t.Fatal(err)
	}
	before, err := ParseTrust(testKey(t, 1).Public().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"not by the old": signTrust(t, roles(t, 1, 1, 2), 2),
		"not by the new": signTrust(t, roles(t, 1, 1, 2), 1),
		"skip":           signTrust(t, roles(t, 2, 1, 1), 1),
		"garbage":        []byte("<html>"),
	} {
		next, err := root.Next(file, "hello")
		if err == nil || next != nil {
			t.Errorf("A24 %s: %v, %v", name, next, err)
		}
		if !reflect.DeepEqual(root, before) {
			t.Errorf("A24 %s: the trust in force changed", name)
		}
	}
}

func TestA31AppIsCompared(t *testing.T) {
	root, err := ParseTrust(testKey(t, 1).Public().String())
	if err != nil {
		t.Fatal(err)
	}
	file := signTrust(t, roles(t, 1, 1, 1), 1)
	for _, app := range []string{"other", "", "Hello"} {
		if _, err := root.Next(file, app); !errors.Is(err, ErrApp) {
			t.Errorf("A31 hello's trust document for %q: %v", app, err)
		}
	}
	one, err := root.Next(file, "hello")
	if err != nil {
		t.Fatal(err)
	}
	two := roles(t, 2, 1, 1)
	two.App = "other"
	for _, app := range []string{"hello", "other"} {
		if _, err := one.Next(signTrust(t, two, 1), app); !errors.Is(err, ErrApp) {
			t.Errorf("A31 the app changed between versions, asked for %q: %v", app, err)
		}
	}
}

func TestA28ExpiryIsTheCallers(t *testing.T) {
	root, err := ParseTrust(testKey(t, 1).Public().String())
	if err != nil {
		t.Fatal(err)
	}
	if root.Expired(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Error("a bare key expired")
	}
	d := roles(t, 1, 1, 1)
	next, err := root.Next(signTrust(t, d, 1), "hello")
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[time.Time]bool{
		d.Expires.Add(-time.Nanosecond): false,
		d.Expires.Time:                  true,
		d.Expires.Add(time.Hour):        true,
	} {
		if got := next.Expired(now); got != want {
			t.Errorf("expired at %s: %v", now, got)
		}
	}
}

// What is not a document is called by its name.
func TestN01WhatItLooksLike(t *testing.T) {
	gzip := []byte{0x1f, 0x8b, 8, 0}
	for want, file := range map[string]string{
		"empty":           "",
		"HTML page":       "\n\n  <!doctype html><title>Sign in</title>",
		"XML or HTML":     "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
		"byte order mark": "\uFEFFtheseus/channel/v1\n{}\n",
		"plain JSON":      "[]",
		"minisign key":    testKey(t, 1).Public().File(),
		"compressed data": string(gzip),
		"a program":       "MZ\x90\x00",
		"first line":      "404 page not found\n",
		"CR LF":           "theseus/channel/v1\r\n{}\r\n",
		"no signatures":   "theseus/channel/v1\n{}\n",
		"cut short":       "theseus/channel/v1\n{\"app\":",
	} {
		_, err := Open([]byte(file), TypeChannel, testKeys(t, 1, 1))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", file, err)
			continue
		}
		oneSentence(t, err)
	}
}

func TestErrorsNameTheKeys(t *testing.T) {
	file := sign(t, TypeChannel, note{"hello", 42}, 1, 2)
	_, err := Open(file, TypeChannel, testKeys(t, 1, 3, 4))
	for _, seed := range []byte{1, 2, 3, 4} {
		if id := testKey(t, seed).Public().ID(); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("%v does not name %s", err, id)
		}
	}
	if _, err := Open(file, TypeChannel, Keys{}); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "no keys are trusted") {
		t.Errorf("with no keys: %v", err)
	}
}

// brokenSigner returns whatever it is told to.
type brokenSigner struct {
	key   Key
	block []byte
	err   error
}

func (b brokenSigner) Key() Key                    { return b.key }
func (b brokenSigner) Sign([]byte) ([]byte, error) { return b.block, b.err }

func TestSignersAreNotTrusted(t *testing.T) {
	const text = "theseus/channel/v1\n{}\n"
	key := testKey(t, 1).Public()
	good := rawBlock(t, 1, text, "timestamp:1")
	failed := errors.New("the token was pulled out")
	for name, c := range map[string]struct {
		signer Signer
		want   error
	}{
		"fails":             {brokenSigner{key, nil, failed}, failed},
		"nothing":           {brokenSigner{key, nil, nil}, ErrMalformed},
		"noise":             {brokenSigner{key, []byte("signed!\n"), nil}, ErrMalformed},
		"P13 legacy":        {brokenSigner{key, legacyBlock(t, 1, text), nil}, ErrAlgorithm},
		"another key":       {brokenSigner{key, rawBlock(t, 2, text, "x"), nil}, ErrSignature},
		"says another key":  {brokenSigner{testKey(t, 2).Public(), good, nil}, ErrSignature},
		"another text":      {brokenSigner{key, rawBlock(t, 1, text+"x", "x"), nil}, ErrSignature},
		"two blocks":        {brokenSigner{key, append(bytes.Clone(good), good...), nil}, ErrSignature},
		"tab":               {brokenSigner{key, rawBlock(t, 1, text, "a\tb"), nil}, ErrMalformed},
		"no key":            {brokenSigner{Key{}, good, nil}, ErrSignature},
		"comment too large": {brokenSigner{key, rawBlock(t, 1, text, strings.Repeat("x", maxSigned)), nil}, ErrTooLarge},
	} {
		if file, err := AddSignature([]byte(text), c.signer); !errors.Is(err, c.want) || file != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := AddSignature([]byte(text), brokenSigner{key, good, nil}); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func TestAddSignature(t *testing.T) {
	const text = "theseus/whatever/v7\n{}\n"
	file := []byte(text)
	var err error
	for seed := byte(1); seed <= maxBlocks; seed++ {
		if file, err = AddSignature(file, testSigners(t, seed)[0]); err != nil {
			t.Fatal(err)
		}
	}
	if _, blocks, err := Split(file); err != nil || len(blocks) != maxBlocks {
		t.Errorf("%d blocks, %v", len(blocks), err)
	}
	if _, err := AddSignature(file, testSigners(t, 99)[0]); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one more: %v", err)
	}
	again, err := AddSignature(file, testKey(t, 3).Signer(signed))
	if err != nil {
		t.Fatal(err)
	}
	if _, blocks, err := Split(again); err != nil || len(blocks) != maxBlocks || !bytes.Contains(blocks[maxBlocks-1], []byte(testKey(t, 3).Public().ID())) {
		t.Errorf("signing again must replace: %v", err)
	}
	if _, err := AddSignature([]byte("<html>"), testSigners(t, 1)[0]); !errors.Is(err, ErrMalformed) {
		t.Errorf("a page: %v", err)
	}
}

func TestSignRefusesWhatDecodeWould(t *testing.T) {
	type loose struct {
		Pointer *string  `json:"pointer"`
		Number  float64  `json:"number"`
		Text    string   `json:"text"`
		Many    []string `json:"many"`
		Func    func()   `json:"-"`
	}
	s := "x"
	for name, c := range map[string]struct {
		t    Type
		body any
		want error
	}{
		"good":           {TypeChannel, loose{Pointer: &s}, nil},
		"null":           {TypeChannel, loose{}, ErrMalformed},
		"fraction":       {TypeChannel, loose{Pointer: &s, Number: 1.5}, ErrMalformed},
		"control":        {TypeChannel, loose{Pointer: &s, Text: "\x7f"}, ErrMalformed},
		"invalid UTF-8":  {TypeChannel, loose{Pointer: &s, Text: "\xff"}, ErrMalformed},
		"too large":      {TypeTrust, loose{Pointer: &s, Text: strings.Repeat("x", 64<<10)}, ErrTooLarge},
		"unknown type":   {"theseus/other/v1", loose{Pointer: &s}, ErrType},
		"not a type":     {"other", loose{Pointer: &s}, ErrType},
		"not an object":  {TypeChannel, []string{}, ErrMalformed},
		"not JSON":       {TypeChannel, struct{ F func() }{}, ErrMalformed},
		"line ends kept": {TypeChannel, &loose{Pointer: &s, Text: "a\n\nb\r\n"}, nil},
	} {
		file, err := Sign(c.t, c.body, testSigners(t, 1)...)
		if !errors.Is(err, c.want) || (err == nil) != (file != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			d, err := Open(file, c.t, testKeys(t, 1, 1))
			var back loose
			if err != nil || d.Decode(&back) != nil {
				t.Errorf("%s: cannot be read again: %v", name, err)
			}
		}
	}
	if _, err := Sign(TypeChannel, loose{Pointer: &s}); !errors.Is(err, ErrThreshold) {
		t.Errorf("signed by nobody: %v", err)
	}
}

func TestBase64IsStrict(t *testing.T) {
	for _, s := range []string{"QQ", "QQ=", "QR==", "Q Q==", "QQ==\n", "QQ\r==", "QQ==QQ==", "-_==", "QQ===", "="} {
		if b, err := decodeBase64([]byte(s)); err == nil {
			t.Errorf("%q: %q", s, b)
		}
	}
	if b, err := decodeBase64([]byte("QUI=")); err != nil || base64.StdEncoding.EncodeToString(b) != "QUI=" {
		t.Errorf("%q, %v", b, err)
	}
}
