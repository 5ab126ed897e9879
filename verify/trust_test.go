package verify

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestBareKeyIsVersionZero(t *testing.T) {
	key := testKey(t, 1).Public()
	for _, text := range []string{key.File(), key.String(), key.String() + "\n"} {
		trust, err := ParseTrust(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range []Keys{trust.Trust, trust.Release, trust.Channel} {
			if role.Threshold() != 1 || len(role.All()) != 1 || role.All()[0] != key {
				t.Errorf("%+v", role)
			}
		}
		if trust.App != "" || trust.Version != 0 || trust.File != nil || trust.ID() != (ID{}) || !trust.Expires.IsZero() {
			t.Errorf("%+v", trust)
		}
	}
}

func TestParseTrustDocument(t *testing.T) {
	file := signTrust(t, roles(t, 3, 2, 1, 2, 3), 1, 3)
	trust, err := ParseTrust(string(file))
	if err != nil {
		t.Fatal(err)
	}
	if trust.App != "hello" || trust.Version != 3 || trust.Trust.Threshold() != 2 || !bytes.Equal(trust.File, file) || !trust.Issued.Equal(signed) {
		t.Errorf("%+v", trust)
	}
	text, _, err := Split(file)
	if err != nil || trust.ID() != IDOf(text) {
		t.Errorf("%v, %v", trust.ID(), err)
	}
	more, err := AddSignature(file, testSigners(t, 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseTrust(string(more)); err != nil || again.ID() != trust.ID() {
		t.Errorf("a further signature changed the identity: %v", err)
	}
	draft := roles(t, 3, 2, 1, 2, 3)
	unknown := string(mustText(t, draft))
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"not signed":         {unknown, ErrMalformed},
		"signed by one":      {string(signTrust(t, draft, 1)), ErrThreshold},
		"signed by others":   {string(signTrust(t, draft, 8, 9)), ErrSignature},
		"a channel":          {string(sign(t, TypeChannel, draft, 1, 2)), ErrType},
		"HTML":               {"<html>", ErrMalformed},
		"private key":        {privateText(t, 1), ErrMalformed},
		"changed":            {strings.Replace(string(file), "hello", "hullo", 1), ErrSignature},
		"trust without keys": {strings.Replace(string(file), `"threshold": 2`, `"threshold": 9`, 1), ErrMalformed},
	} {
		if trust, err := ParseTrust(c.text); !errors.Is(err, c.want) || trust != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDraftForms(t *testing.T) {
	want := roles(t, 1, 1, 1, 2)
	text := mustText(t, want)
	object := strings.TrimPrefix(string(text), string(TypeTrust)+"\n")
	for name, file := range map[string]string{
		"object":                  object,
		"object with tabs and CR": "\r\n\t" + strings.ReplaceAll(object, "\n", "\r\n\r\n\t"),
		"text":                    string(text),
		"signed":                  string(signTrust(t, want, 7)),
	} {
		got, err := ParseTrustDraft([]byte(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(mustText(t, got), text) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"channel":   {"theseus/channel/v1\n{}\n", ErrType},
		"too large": {`{"x": "` + strings.Repeat("x", 64<<10) + `"}`, ErrTooLarge},
		"empty":     {"", ErrMalformed},
		"text":      {"hello", ErrMalformed},
		"missing":   {"{}", ErrMalformed},
		"invalid":   {strings.Replace(object, `"threshold": 1`, `"threshold": 3`, 1), ErrMalformed},
	} {
		if _, err := ParseTrustDraft([]byte(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := want
	bad.App = ""
	if _, err := bad.Sign(testSigners(t, 1)...); !errors.Is(err, ErrMalformed) {
		t.Errorf("signed a draft without app: %v", err)
	}
}

func TestDraftIsTheStartOfARotation(t *testing.T) {
	root, err := ParseTrust(testKey(t, 1).Public().String())
	if err != nil {
		t.Fatal(err)
	}
	first := root.Draft()
	if first.Version != 1 || first.App != "" || !errors.Is(first.Check(), ErrMalformed) {
		t.Errorf("%+v", first)
	}
	file := signTrust(t, roles(t, 1, 1, 1), 1)
	one, err := root.Next(file, "hello")
	if err != nil {
		t.Fatal(err)
	}
	second := one.Draft()
	if second.Version != 2 || second.App != "hello" || second.Trust.Keys[0].Name != "holder 1" || second.Check() != nil {
		t.Errorf("%+v", second)
	}
	second.Trust.Keys[0] = NamedKey{Key: testKey(t, 9).Public()}
	if one.Draft().Trust.Keys[0].Name != "holder 1" || second.Release.Keys[0].Name != "holder 1" {
		t.Error("a draft shares keys with its trust document or between its roles")
	}
}

func TestCompare(t *testing.T) {
	old, next := roles(t, 1, 2, 1, 2, 3), roles(t, 2, 1, 4, 3, 2)
	next.Channel = old.Channel
	next.Channel.Keys = slices.Clone(next.Channel.Keys)
	next.Channel.Keys[0].Key.id++ // another id, the same key
	changes := old.Compare(next)
	if c := changes[0]; c.Role != "trust" || len(c.Added) != 1 || c.Added[0].Name != "holder 4" || len(c.Removed) != 1 || c.Removed[0].Name != "holder 1" || c.From != 2 || c.To != 1 {
		t.Errorf("%+v", c)
	}
	if c := changes[2]; c.Role != "channel" || len(c.Added) != 0 || len(c.Removed) != 0 || c.From != 2 || c.To != 2 {
		t.Errorf("%+v", c)
	}
}

func TestProgress(t *testing.T) {
	draft := roles(t, 2, 2, 2, 3, 4)
	old, err := roles(t, 1, 2, 1, 2, 3).Trust.Set()
	if err != nil {
		t.Fatal(err)
	}
	own, err := draft.Trust.Set()
	if err != nil {
		t.Fatal(err)
	}
	file := mustText(t, draft)
	expect := func(who string, k Keys, signed, missing string, needed int) {
		t.Helper()
		p, err := k.Progress(file)
		if err != nil || ids(p.Signed) != signed || ids(p.Missing) != missing || p.Needed != needed {
			t.Errorf("%s: %+v, %v", who, p, err)
		}
	}
	id := func(seeds ...byte) string { return ids(testKeys(t, 1, seeds...).All()) }
	expect("old, nobody yet", old, "", id(1, 2, 3), 2)
	if file, err = AddSignature(file, testSigners(t, 2)[0]); err != nil {
		t.Fatal(err)
	}
	expect("old, one", old, id(2), id(1, 3), 1)
	expect("own, one", own, id(2), id(3, 4), 1)
	if file, err = AddSignature(file, testSigners(t, 4)[0]); err != nil {
		t.Fatal(err)
	}
	expect("old, still one", old, id(2), id(1, 3), 1)
	expect("own, done", own, id(2, 4), id(3), 0)
	if _, err := own.Progress([]byte("<html>")); !errors.Is(err, ErrMalformed) {
		t.Errorf("a page: %v", err)
	}
	changed := bytes.Replace(file, []byte("hello"), []byte("hullo"), 1)
	if _, err := own.Progress(changed); !errors.Is(err, ErrSignature) {
		t.Errorf("edited after signing: %v", err)
	}
}

func TestNewKeys(t *testing.T) {
	one, two := testKey(t, 1).Public(), testKey(t, 2).Public()
	twin := Key{id: one.id + 1, bytes: one.bytes}
	for name, c := range map[string]struct {
		threshold int
		keys      []Key
	}{
		"A21 zero": {0, []Key{one}}, "A21 negative": {-1, []Key{one}}, "A21 more than keys": {2, []Key{one}}, "A21 none": {1, nil},
		"A20 twice": {1, []Key{one, one}}, "A20 twin": {1, []Key{one, two, twin}}, "zero key": {1, []Key{one, {}}},
	} {
		if set, err := NewKeys(c.threshold, c.keys...); !errors.Is(err, ErrMalformed) || set.Threshold() != 0 || set.All() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys := []Key{one, two}
	set, err := NewKeys(2, keys...)
	if err != nil {
		t.Fatal(err)
	}
	keys[0] = Key{}
	set.All()[1] = Key{}
	if got := set.All(); got[0] != one || got[1] != two || set.Threshold() != 2 {
		t.Error("the set shares its keys with the caller")
	}
}

// A07: the reset rule.
func TestA07ResetDue(t *testing.T) {
	prints := func(seeds ...byte) (d []Digest) {
		for _, s := range seeds {
			d = append(d, testKey(t, s).Public().Fingerprint())
		}
		return d
	}
	for name, c := range map[string]struct {
		counted   []Digest
		threshold int
		now       Keys
		want      bool
	}{
		"same key":                          {prints(1), 1, testKeys(t, 1, 1), false},
		"key replaced":                      {prints(1), 1, testKeys(t, 1, 2), true},
		"key added":                         {prints(1), 1, testKeys(t, 1, 1, 2), false},
		"threshold raised":                  {prints(1), 1, testKeys(t, 2, 1, 2), false},
		"one of two replaced":               {prints(1, 2), 2, testKeys(t, 2, 1, 3), true},
		"one of two counted, one needed":    {prints(1, 2), 1, testKeys(t, 1, 1, 3), false},
		"one of three counted, two needed":  {prints(1, 2, 3), 2, testKeys(t, 2, 1, 2), false},
		"two of three counted, two needed":  {prints(1, 2, 3), 2, testKeys(t, 2, 1, 4), true},
		"threshold lowered, keys stay":      {prints(1, 2), 2, testKeys(t, 1, 1, 2), false},
		"nobody trusted any more":           {prints(1), 1, Keys{}, true},
		"same key under another id":         {prints(1), 1, mustKeys(t, Key{id: 9, bytes: testKey(t, 1).Public().bytes}), false},
		"no fingerprints remembered":        {nil, 1, testKeys(t, 1, 2), false},
		"fewer fingerprints than threshold": {prints(1), 2, testKeys(t, 1, 2), false},
		"one fingerprint twice":             {prints(1, 1), 2, testKeys(t, 1, 2), false},
		"no threshold remembered":           {prints(1), 0, testKeys(t, 1, 2), false},
	} {
		if got := ResetDue(c.counted, c.threshold, c.now); got != c.want {
			t.Errorf("A07 %s: %v", name, got)
		}
	}
}

func mustKeys(t *testing.T, keys ...Key) Keys {
	t.Helper()
	set, err := NewKeys(1, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
