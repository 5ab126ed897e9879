package name

import (
	"strings"
	"testing"
)

func TestApp(t *testing.T) {
	for s, want := range map[string]bool{
		"hello": true, "a": true, "7zip": true, "a.b_c-d": true, strings.Repeat("x", 64): true, "console": true, "com10": true,
		"": false, ".": false, ".a": false, "-a": false, "_a": false, "a.": false, "Hello": false, "a b": false, "a/b": false, "ä": false,
		strings.Repeat("x", 65): false, "con": false, "nul.txt": false, "com1": false, "lpt0.log": false, "a\n": false,
	} {
		if App(s) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
}

func TestPath(t *testing.T) {
	for s, want := range map[string]bool{
		"stable": true, "files/0f.zst": true, "releases/1.0.0-rc.1.manifest": true, "a/b/c": true, "A_B-c.d": true,
		"": false, "/a": false, "a/": false, "a//b": false, "..": false, "a/../b": false, ".a": false, "a/.b": false, `a\b`: false,
		"a b": false, "a:b": false, "a%2e": false, "é": false, "a\x00": false, "-a": true,
	} {
		if Path(s) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
}
