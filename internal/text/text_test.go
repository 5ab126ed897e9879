package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestOf(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"", ""},
		{"plain words", "plain words"},
		{"  around\r\n and\tbetween ", "around and between"},
		{"\"\xff\"", "\"\uFFFD\""},
		{"half a letter \xc3", "half a letter \uFFFD"},
		{"\x1b[31mred\x1b[0m", "[31mred [0m"},
		{"a\u202egnp.exe", "a gnp.exe"},                         // right to left
		{"a\u2066b\u200fc\u061cd\ufeffe\u2028f", "a b c d e f"}, // isolates, marks, line separator
		{"tags \U000E0041\U000E0042 here", "tags here"},
		{"größer, 日本語 und 😀", "größer, 日本語 und 😀"},
		{strings.Repeat("x", Max), strings.Repeat("x", Max)},
		{strings.Repeat("x", Max) + "\n\x00", strings.Repeat("x", Max)},
		{strings.Repeat("x", Max+1), strings.Repeat("x", Max-3) + "…"},
		{strings.Repeat("ä", Max), strings.Repeat("ä", (Max-3)/2) + "…"},
	} {
		if got := Of(row.in).String(); got != row.want {
			t.Errorf("Of(%.40q) is %.60q (%d bytes), want %.60q (%d)", row.in, got, len(got), row.want, len(row.want))
		}
	}
	for max, want := range map[int]string{0: "", 1: "", 2: "", 3: "…", 4: "a…", 6: "a b…", 7: "a b c d"} {
		if got := Short("a b c d", max).String(); got != want {
			t.Errorf("%d: %q, want %q", max, got, want)
		}
	}
	if !Of("\n").IsZero() || Of("a") != Of("a\n") {
		t.Error("equal lines are not equal")
	}
}

func TestLineInJSON(t *testing.T) {
	var v struct{ Reason Line }
	if err := json.Unmarshal([]byte(`{"Reason": "a\u202e\u0000b\ud800"}`), &v); err != nil || v.Reason != Of("a b\uFFFD") {
		t.Errorf("%q, %v", v.Reason, err)
	}
	if b, err := json.Marshal(v); err != nil || string(b) != `{"Reason":"a b`+"\uFFFD"+`"}` {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("\xff\x00\u202e😀  ", 5)
	f.Add(strings.Repeat("ä", Max), Max)
	f.Fuzz(func(t *testing.T, s string, max int) {
		max = min(max, Max)
		l := Short(s, max)
		got := l.String()
		if len(got) > Max || max >= 0 && len(got) > max || !utf8.ValidString(got) || strings.Contains(got, "  ") || strings.TrimSpace(got) != got {
			t.Fatalf("%q", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q has %U", got, r)
			}
		}
		if again := Short(got, max); again != l {
			t.Fatalf("%q becomes %q", got, again)
		}
	})
}

func TestHonest(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "größer 👩\u200d💻": true, "a\tb": false, "a\nb": true, "a\x1b[2J": false, "a\u202eb": false, "\u200f": false,
		"\u2069": false, "\u061c": false, "a\u2028b": false, "a\u2029b": false, "\x7f": false, "\u0085": false, "\xff": false,
	} {
		if Honest(s, "\n") != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
	if Honest("a\nb", "") {
		t.Error("a line end is not one of none")
	}
}

func TestError(t *testing.T) {
	fine := errors.New("fine")
	if Error(nil) != nil || Error(fine) != fine {
		t.Error("what is text stays as it is")
	}
	bad := fmt.Errorf("\x1b[2Jbad\n\xff: %w", fine)
	if err := Error(bad); err.Error() != "[2Jbad \uFFFD: fine" || !errors.Is(err, fine) {
		t.Errorf("%q", err)
	}
}
