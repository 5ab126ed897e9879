package verify

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The struct is the schema, whatever it is made of.
type sample struct {
	Name     string          `json:"name"`
	Platform                 // embedded: its members are ours
	*Extra                   // embedded by pointer
	List     []item          `json:"list"`
	Pair     [2]item         `json:"pair,omitzero"`
	ByName   map[string]item `json:"by_name,omitempty"`
	Next     *item           `json:"next,omitzero"`
	At       Time            `json:"at,omitzero"`
	Sum      Digest          `json:"sum,omitzero"`
	Any      any             `json:"any,omitzero"`
	Named    Platform        `json:"named,omitzero"` // not embedded
	Plain    int             // no tag
	Hidden   int             `json:"-"`
	private  int
}

type Platform struct {
	OS string `json:"os"`
}

type Extra struct {
	Note string `json:"note,omitzero"`
}

type item struct {
	N int64 `json:"n"`
}

func TestDecodeSchema(t *testing.T) {
	const base = `"name": "x", "os": "linux", "list": [], "Plain": 1`
	for object, want := range map[string]string{ // "" is accepted
		base:                                  "",
		base + `, "note": "n", "list2": null`: "null",
		base + `, "note": "n", "by_name": {"a": {"n": 1}}`:                                  "",
		base + `, "by_name": {"a": {"n": 1}, "A": {"n": 2}}`:                                "", // names of a map are data
		base + `, "by_name": {"a": {}}`:                                                     `"/by_name/a": member "n" is missing`,
		base + `, "by_name": {"a": {"N": 1}}`:                                               "other letters",
		base + `, "pair": [{"n": 1}, {"n": 2}]`:                                             "",
		base + `, "pair": [{"n": 1}, {}]`:                                                   `"/pair/1": member "n" is missing`,
		base + `, "pair": [{"n": 1}]`:                                                       "refused at",
		base + `, "next": {"n": 1, "x": {"N": 1}}`:                                          "",
		base + `, "next": {}`:                                                               "is missing",
		base + `, "next": []`:                                                               "refused at",
		base + `, "next": {"n": "1"}`:                                                       "refused at",
		base + `, "named": {"os": "x"}`:                                                     "",
		base + `, "named": {}`:                                                              "is missing",
		base + `, "any": {"deep": [1, "2", true, {"n": {}}]}`:                               "",
		base + `, "any": 1.5`:                                                               "integer",
		base + `, "at": "2026-11-21T09:00:00Z"`:                                             "",
		base + `, "at": 5`:                                                                  "refused at",
		base + `, "at": "2026-11-21T09:00:00+01:00"`:                                        "refused at",
		base + `, "sum": "` + strings.Repeat("0a", 32) + `"`:                                "",
		base + `, "sum": "` + strings.Repeat("0A", 32) + `"`:                                "refused at",
		base + `, "sum": "0a"`:                                                              "refused at",
		base + `, "Hidden": 5, "private": 6, "hidden": 7`:                                   "", // unknown
		base + `, "NOTE": "n"`:                                                              "other letters",
		base + `, "plain": 1`:                                                               "other letters",
		strings.Replace(base, `"os"`, `"oſ"`, 1):                                            "other letters",
		strings.Replace(base, `"linux"`, `1`, 1):                                            "refused at",
		strings.Replace(base, `"os": "linux", `, ``, 1):                                     `member "os" is missing`,
		strings.Replace(base, `"list": [], `, ``, 1):                                        `member "list" is missing`,
		strings.Replace(base, `[]`, `{}`, 1):                                                "refused at",
		strings.Replace(base, `[]`, `[{"n": 1}, {"n": 1, "n": 2}]`, 1):                      "duplicate",
		strings.Replace(base, `[]`, `[1`, 1):                                                "refused",
		strings.Replace(base, `[]`, `[1 2]`, 1):                                             "refused",
		strings.Replace(base, `[]`, `[`+strings.Repeat("[", 20)+strings.Repeat("]", 21), 1): "levels",
		base + `, "x"`:                   "refused",
		base + `, "\r\n\u001b[2J": null`: `"/\r\n\x1b[2J"`, // a name is not let onto a terminal as it is
		base + `, "` + strings.Repeat(`\u007f`, 2000) + `": null`: "null",
		base + `,`:     "refused",
		base + `} {`:   "after the JSON object",
		base + `} 1 {`: "after the JSON object",
	} {
		d := Document{Text: []byte("theseus/channel/v1\n{" + object + "}\n")}
		before := sample{Name: "kept", private: 7}
		got := before
		err := d.Decode(&got)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", object, err)
		case want == "" && (got.Name != "x" || got.OS != "linux" || got.Plain != 1 || got.Hidden != 0):
			t.Errorf("%s: decoded %+v", object, got)
		case want != "" && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", object, err, want)
		case want != "" && (strings.ContainsAny(err.Error(), "\r\n\x1b") || len(err.Error()) > 900):
			t.Errorf("%s: not one sentence: %q", object, err)
		case want != "" && !reflect.DeepEqual(got, before):
			t.Errorf("%s: the struct was changed by an error", object)
		}
	}
}

func TestDecodeNeedsAStruct(t *testing.T) {
	d := Document{Text: []byte("theseus/channel/v1\n{}\n")}
	var nothing *sample
	var n int
	for _, v := range []any{nil, sample{}, nothing, &n, &map[string]int{}} {
		if err := d.Decode(v); err == nil || errors.Is(err, ErrMalformed) {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestTimeHasOneForm(t *testing.T) {
	at := Time{time.Date(2026, 11, 21, 10, 0, 0, 0, time.FixedZone("CET", 3600))}
	const form = "2026-11-21T09:00:00Z"
	text, err := at.MarshalText()
	appended, appendErr := at.AppendText([]byte("at "))
	object, jsonErr := json.Marshal(at)
	if string(text) != form || string(appended) != "at "+form || string(object) != `"`+form+`"` || err != nil || appendErr != nil || jsonErr != nil {
		t.Errorf("%s, %s, %s", text, appended, object)
	}
	var back Time
	if err := json.Unmarshal(object, &back); err != nil || !back.Equal(at.Time) {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []time.Time{at.Add(time.Nanosecond), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if b, err := (Time{bad}).MarshalText(); err == nil {
			t.Errorf("%v marshals as %s", bad, b)
		}
		if b, err := (Time{bad}).MarshalJSON(); err == nil {
			t.Errorf("%v marshals as %s", bad, b)
		}
	}
	for _, bad := range []string{"", "2026-11-21", "2026-11-21T09:00:00", "2026-11-21T09:00:00z", "2026-11-21 09:00:00Z", "2026-11-21T09:00:00.0Z", "2026-11-21T09:00:00+00:00", "2026-13-21T09:00:00Z", "02026-11-21T09:00:0Z", "2026-11-21T24:00:00Z", "2026-11-21T09:00:60Z"} {
		if err := new(Time).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q unmarshals", bad)
		}
	}
	for _, bad := range []string{`2026-11-21T09:00:00Z`, `"2026-11-21T09:00:00\u005a"`, `null`, `5`, `"2026-11-21T09:00:00Zz"`} {
		if err := new(Time).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s unmarshals", bad)
		}
	}
}

func TestDigestHasOneForm(t *testing.T) {
	want := IDOf([]byte("x")).SHA256
	text, err := want.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got Digest
	if err := got.UnmarshalText(text); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", string(text[1:]), string(text) + "0", strings.ToUpper(string(text)), strings.Repeat("g", 64)} {
		kept := want
		if err := kept.UnmarshalText([]byte(bad)); err == nil || kept != want {
			t.Errorf("%q unmarshals", bad)
		}
	}
}
