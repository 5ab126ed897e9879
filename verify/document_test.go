package verify

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// Test keys are made from a seed, so that every run and every vector has the same ones.
func testKey(tb testing.TB, seed byte) *PrivateKey {
	tb.Helper()
	_, private, err := GenerateKey(rand.NewChaCha8([32]byte{seed}), "")
	if err != nil {
		tb.Fatal(err)
	}
	key, err := ParsePrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

var signed = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func testSigners(tb testing.TB, seeds ...byte) (signers []Signer) {
	tb.Helper()
	for _, seed := range seeds {
		signers = append(signers, testKey(tb, seed).Signer(signed))
	}
	return signers
}

func testKeys(tb testing.TB, threshold int, seeds ...byte) Keys {
	tb.Helper()
	var keys []Key
	for _, s := range testSigners(tb, seeds...) {
		keys = append(keys, s.Key())
	}
	set, err := NewKeys(threshold, keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

type note struct {
	App  string `json:"app"`
	Size int64  `json:"size"`
}

func sign(tb testing.TB, t Type, body any, seeds ...byte) []byte {
	tb.Helper()
	file, err := Sign(t, body, testSigners(tb, seeds...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func TestSignOpenDecode(t *testing.T) {
	file := sign(t, TypeChannel, note{"hello", 42}, 1, 2)
	d, err := Open(file, TypeChannel, testKeys(t, 2, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	const text = "theseus/channel/v1\n{\n  \"app\": \"hello\",\n  \"size\": 42\n}\n"
	if string(d.Text) != text || d.Type != TypeChannel || d.ID() != IDOf([]byte(text)) {
		t.Errorf("opened %q", d.Text)
	}
	if len(d.Signers) != 2 || !d.Signers[0].Equal(testKey(t, 1).Public()) || !d.Signers[1].Equal(testKey(t, 2).Public()) {
		t.Errorf("signers %v", d.Signers)
	}
	var body note
	if err := d.Decode(&body); err != nil || body != (note{"hello", 42}) {
		t.Errorf("decoded %+v, %v", body, err)
	}
	again, err := AddSignature(file, testKey(t, 1).Signer(signed.Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if _, blocks, err := Split(again); err != nil || len(blocks) != 2 {
		t.Errorf("a second signature by the same key must replace the first: %d blocks, %v", len(blocks), err)
	}
	if _, err := Open(again, TypeChannel, testKeys(t, 2, 1, 2)); err != nil {
		t.Error(err)
	}
	if bytes.Equal(again, file) {
		t.Error("nothing was replaced")
	}
}

func TestA19SingleKeyBelowThreshold(t *testing.T) {
	file := sign(t, TypeChannel, note{"hello", 1}, 1)
	if _, err := Open(file, TypeChannel, testKeys(t, 2, 1, 2, 3)); !errors.Is(err, ErrThreshold) {
		t.Errorf("got %v, want ErrThreshold", err)
	}
}

func TestTrustNext(t *testing.T) {
	root, err := ParseTrust(testKey(t, 1).Public().File())
	if err != nil {
		t.Fatal(err)
	}
	d := root.Draft()
	d.App, d.Issued, d.Expires = "hello", Time{signed}, Time{signed.AddDate(1, 0, 0)}
	d.Release.Keys = append(d.Release.Keys, NamedKey{testKey(t, 2).Public(), "alice"})
	file, err := d.Sign(testSigners(t, 1)...)
	if err != nil {
		t.Fatal(err)
	}
	next, err := root.Next(file, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if next.Version != 1 || len(next.Release.All()) != 2 || next.ID() == (ID{}) {
		t.Errorf("%+v", next)
	}
	if _, err := ParseTrust(string(file)); err != nil {
		t.Error(err)
	}
}
