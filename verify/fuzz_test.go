package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// Run one for five minutes: go test ./verify -run '^$' -fuzz FuzzDocument -fuzztime 5m

var kinds = []error{ErrMalformed, ErrTooLarge, ErrAlgorithm, ErrSignature, ErrThreshold, ErrType, ErrApp, ErrVersion}

// typed: every refusal is of one of the kinds, in one sentence.
func typed(t *testing.T, err error) {
	t.Helper()
	if !slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) }) {
		t.Errorf("an error of no kind: %v", err)
	}
	oneSentence(t, err)
}

// FuzzDocument: what opens, splits, and re-encodes to the same bytes by the module's own writer.
func FuzzDocument(f *testing.F) {
	for _, v := range vectors(f, "document", 50) {
		f.Add(v.body)
	}
	for _, v := range vectors(f, "trust", 50) {
		f.Add(v.body)
	}
	of2 := testKeys(f, 2, 1, 2)
	any3 := testKeys(f, 1, 1, 2, 3)
	f.Fuzz(func(t *testing.T, file []byte) {
		text, blocks, err := Split(file)
		if err != nil {
			typed(t, err)
		}
		for _, typ := range []Type{TypeChannel, TypeTrust} {
			for _, keys := range []Keys{any3, of2, {}} {
				d, openErr := Open(file, typ, keys)
				if openErr != nil {
					typed(t, openErr)
					continue
				}
				if err != nil {
					t.Fatalf("opens and does not split: %v", err)
				}
				if !bytes.Equal(d.Text, text) || len(d.Signers) < keys.Threshold() || keys.Threshold() == 0 || !bytes.HasPrefix(text, []byte(string(typ)+"\n")) {
					t.Fatalf("opened as %+v", d)
				}
			}
		}
		if err != nil {
			return
		}
		again := append(bytes.Clone(text), '\n')
		for _, b := range blocks {
			again = append(again, reencode(t, b)...)
		}
		if !bytes.Equal(again, file) {
			t.Fatalf("re-encodes to %q", again)
		}
	})
}

func reencode(t *testing.T, block []byte) []byte {
	t.Helper()
	var s minisign.Signature
	if err := s.UnmarshalText(block); err != nil {
		t.Fatalf("the module does not read %q: %v", block, err)
	}
	b, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzBlock: one signature has one text.
func FuzzBlock(f *testing.F) {
	const text = "theseus/channel/v1\n{\n  \"app\": \"hello\"\n}\n"
	seeds := 0
	for _, v := range vectors(f, "document", 50) {
		if _, blocks, ok := bytes.Cut(v.body, []byte("\n\n")); ok {
			f.Add(blocks)
			seeds++
		}
	}
	if seeds < 20 {
		f.Fatalf("only %d seeds", seeds)
	}
	one := testKeys(f, 1, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, err := parseBlocks(b)
		if err != nil {
			typed(t, err)
			return
		}
		var again []byte
		for _, block := range blocks {
			again = append(again, reencode(t, block.raw)...)
		}
		if !bytes.Equal(again, b) || len(blocks) > maxBlocks {
			t.Fatalf("re-encodes to %q", again)
		}
		made := file{text: []byte(text), blocks: blocks}
		if signers, err := made.signers(one); err != nil {
			typed(t, err)
		} else if len(signers) > 1 {
			t.Fatalf("one key counts as %d", len(signers))
		}
	})
}

// FuzzTrust: a trust document that is taken reads the same with another JSON package, and is written and read again as
// it was.
func FuzzTrust(f *testing.F) {
	for _, v := range vectors(f, "trust", 50) {
		f.Add(v.body)
		if text, _, err := Split(v.body); err == nil {
			f.Add(bytes.TrimPrefix(text, []byte(TypeTrust+"\n")))
		}
	}
	root, err := ParseTrust(testKey(f, 1).Public().String())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if next, err := root.Next(file, "hello"); err != nil {
			typed(t, err)
		} else if next.Version != 1 || next.App != "hello" || next.Trust.Threshold() < 1 || next.Release.Threshold() < 1 || next.Channel.Threshold() < 1 {
			t.Fatalf("%+v", next)
		}
		draft, err := ParseTrustDraft(file)
		if err != nil {
			typed(t, err)
			return
		}
		object := file
		if bytes.HasPrefix(file, []byte(typePrefix)) {
			text, _, _ := bytes.Cut(file, []byte("\n\n"))
			_, object, _ = bytes.Cut(text, []byte("\n"))
		}
		var other TrustDraft
		if err := json.Unmarshal(object, &other); err != nil || !reflect.DeepEqual(draft, other) {
			t.Fatalf("encoding/json reads %+v (%v) and we read %+v", other, err, draft)
		}
		text, err := Text(TypeTrust, draft)
		if errors.Is(err, ErrMalformed) && strings.ContainsRune(draft.App+names(draft), 0x7f) || errors.Is(err, ErrTooLarge) {
			return // an escaped DEL, or a draft that is larger when it is indented
		}
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, err := ParseTrustDraft(text)
		if err != nil || !reflect.DeepEqual(draft, again) {
			t.Fatalf("written and read again: %+v, %v", again, err)
		}
	})
}

func names(d TrustDraft) (all string) {
	for _, r := range []Role{d.Trust, d.Release, d.Channel} {
		for _, k := range r.Keys {
			all += k.Name
		}
	}
	return all
}

// FuzzKey: what is taken has one base64 line, which reads back as the same key.
func FuzzKey(f *testing.F) {
	for _, v := range vectors(f, "key", 15) {
		f.Add(string(v.body))
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			typed(t, err)
			return
		}
		if again, err := ParseKey(k.File()); err != nil || again != k || !strings.Contains(text, k.String()) {
			t.Fatalf("%v reads back as %v, %v", k, again, err)
		}
	})
}
