package screen

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"   one two three", "   one two\n   three"},
		{" ✓ one two", " ✓ one two"},
		{"averyveryverylongword x", "averyveryverylongword\n   x"},
	} {
		if got := Fold(c.in, 10, 3); got != c.want {
			t.Errorf("fold(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := Fold("name words that follow it", 12, 10); got != "name words\n  that\n  follow it" {
		t.Errorf("an indent that leaves no room: %q", got)
	}
}

// A line that is redrawn never fills the width, and its bar takes what is left of it.
func TestTransferFitsEveryWidth(t *testing.T) {
	for columns := range 200 {
		for done := int64(0); done <= 10_800_000; done += 540_000 {
			for _, rate := range []float64{0, 900, 1.2e6} {
				line := Transfer{"downloading", "1.2.0-rc.1", done, 10_800_000, rate}.Line(columns)
				if n := utf8.RuneCountInString(line); n >= max(columns, 1) {
					t.Fatalf("%d columns for %d: %q", n, columns, line)
				}
				if columns >= 20 && (!strings.Contains(line, "[") || strings.Index(line, "]")-strings.Index(line, "[") < 11) {
					t.Fatalf("no bar in %d columns: %q", columns, line)
				}
			}
		}
	}
	for columns, want := range map[int]string{
		20:  "[==         ]  25 %",
		40:  "1.2.0 [===          ]  25 %  900.0 kB/s",
		60:  "1.2.0 [===           ]  25 %  2.7 MB of 10.8 MB  900.0 kB/s",
		80:  "1.2.0 [====             ]  25 %  2.7 MB of 10.8 MB  900.0 kB/s  10 seconds left",
		100: "downloading 1.2.0 [======                   ]  25 %  2.7 MB of 10.8 MB  900.0 kB/s  10 seconds left",
	} {
		if got := (Transfer{"downloading", "1.2.0", 2_700_000, 10_800_000, 900_000}).Line(columns); got != want {
			t.Errorf("%d columns:\n%q\n%q", columns, got, want)
		}
	}
	if line := (Transfer{"downloading", "1.2.0", 5, 0, 1}).Line(80); !strings.Contains(line, "100 %") {
		t.Errorf("nothing to bring: %q", line)
	}
}

func TestFit(t *testing.T) {
	for columns, want := range map[int]string{0: "", 2: "", 6: "chec…", 9: "checkin…", 10: "checking…"} {
		if got := Fit("checking…", columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_999: "1.0 MB", 10_812_345: "10.8 MB", 1_500_000_000: "1.50 GB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{time.Second: "1 second", 90 * time.Second: "90 seconds", 3 * time.Hour: "3 hours", 72 * time.Hour: "3 days"} {
		if got := Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestHelp(t *testing.T) {
	text := "usage: hello self-update [--check | --doctor]\n         [--json]\n\nInstalls the newest release\nof hello.\n\n  --check   only say whether\n            there is one\n  --json    one object\n"
	for columns, want := range map[int]string{
		80: "usage: hello self-update [--check | --doctor] [--json]\n\nInstalls the newest release of hello.\n\n  --check   only say whether there is one\n  --json    one object\n",
		28: "usage: hello self-update\n       [--check | --doctor]\n       [--json]\n\nInstalls the newest release\nof hello.\n\n  --check   only say whether\n            there is one\n  --json    one object\n",
	} {
		if got := Help(text, columns); got != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", columns, got, want)
		}
	}
	for columns := 20; columns < 120; columns++ {
		for line := range strings.Lines(Help(text, columns)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d columns for %d: %q", n, columns, line)
			}
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for wrote, want := range map[string]string{"chek": " (did you mean check?)", "rollbak": " (did you mean rollback?)", "force": ""} {
		if got := DidYouMean(wrote, []string{"check", "rollback", "doctor"}); got != want {
			t.Errorf("%s: %q, want %q", wrote, got, want)
		}
	}
}
