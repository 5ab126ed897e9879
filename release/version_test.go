package release

import (
	"strings"
	"testing"
)

func TestP08VersionTricks(t *testing.T) {
	for _, s := range []string{
		"", "1", "1.2", "v1.2.3", "V1.2.3", "1.2.3.4", "01.2.3", "1.02.3", "1.2.03", "1.2.3-01", "1.2.3-", "1.2.3-a..b",
		"1.2.3+build", "1.2.3-rc.1+build", "1.2.3+", "-1.2.3", "+1.2.3", "1.2.3 ", " 1.2.3", "1.2.3\n", "1.2.3\x00", "1.2.3-ü", "1.2.3-$(id)",
		"1.2.3-a;b", "1.2.3-../../x", "1.2.3-a/b", "1.2.3-a_b", "1.2.x", "1.2.*", "^1.2.3", "１.2.3", "1e1.2.3", "0x1.2.3",
		"18446744073709551616.0.0",         // 2^64
		"1.0.0-18446744073709551616",       // would be compared as a word
		"1.0.0-rc.99999999999999999999",    // the same
		strings.Repeat("9", 300) + ".0.0",  // too long
		"1.0.0-" + strings.Repeat("a", 59), // 65 bytes
	} {
		if v, err := ParseVersion(s); err == nil {
			t.Errorf("%q is taken as %s", s, v)
		}
	}
	// Each is lower than the next one, and each writes itself.
	ordered := []string{
		"0.0.0-dev", "0.0.0", "0.9.9", "1.0.0-0", "1.0.0-9", "1.0.0-10", "1.0.0-18446744073709551615", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
		"1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.9.0", "1.10.0", "2.0.0", "18446744073709551615.0.0",
		"18446744073709551615.0.1-" + strings.Repeat("a", 39), // 64 bytes
	}
	for i, s := range ordered {
		v, err := ParseVersion(s)
		if err != nil {
			t.Fatal(err)
		}
		if v.String() != s {
			t.Errorf("%q writes itself as %q", s, v)
		}
		for j, o := range ordered {
			w, err := ParseVersion(o)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := v.Compare(w), (i-j)/max(abs(i-j), 1); got != want {
				t.Errorf("%s against %s: %d, want %d", s, o, got, want)
			}
		}
	}
}

func abs(n int) int { return max(n, -n) }

func TestDevelopmentVersions(t *testing.T) {
	for s, want := range map[string]bool{
		"0.0.0-dev": true, "1.4.0-dev": true, "0.0.0": false, "1.0.0-dev.1": false, "1.0.0-development": false, "1.0.0-rc.1": false,
	} {
		if got := Development(version(s)); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestP09NamesAreNoPaths(t *testing.T) {
	bad := []string{
		"", ".", "..", "../x", "/x", "x/y", `a\..\b`, "C:x", "c:", "NUL", "nul", "con", "con.txt", "aux.", "com1", "lpt9", "com0.x", "\x00", "a\x00", "a b", "a%2e", "~x",
		"-x", "_x", ".x", "x.", "Hello", "hellö", "a\n", "a?b", "a#b", "a@b", "a:b", "ａ", "ſ",
	}
	for _, s := range append(bad, strings.Repeat("a", 65)) {
		if ValidApp(s) == nil {
			t.Errorf("app %q is taken", s)
		}
	}
	for _, s := range append(bad, "trust", "releases", "files", "1stable", "stable.1", "a_b", "x.y", strings.Repeat("a", 33)) {
		if ValidChannel(s) == nil {
			t.Errorf("channel %q is taken", s)
		}
	}
	for _, s := range []string{"hello", "a", "7zip", "my-app_2.x", "console", "com", "com10", "trust", strings.Repeat("a", 64)} {
		if err := ValidApp(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"stable", "beta-2", "b", "console", strings.Repeat("a", 32)} {
		if err := ValidChannel(s); err != nil {
			t.Error(err)
		}
	}
}
