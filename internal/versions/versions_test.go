package versions

import "testing"

func TestNormal(t *testing.T) {
	for build, want := range map[string]string{
		"1.2.0": "1.2.0", "v1.2.0": "1.2.0", "V1.2.0": "1.2.0", "1.2": "1.2.0", "v2": "2.0.0", " 1.2.0\n": "1.2.0",
		"1.2.0+linux.amd64": "1.2.0", "v2.0.0+incompatible": "2.0.0", "tool/v1.2.0": "1.2.0", "cmd/tool/v1.2.0-3-gabcdef1": "1.2.0-dev",
		"1.2.0-rc.1": "1.2.0-rc.1", "v1.2-rc1": "1.2.0-rc1", "1.2.0-rc.01": "1.2.0-rc.1", "1.2.0-dev.1": "1.2.0-dev.1",
		"2026.11.21": "2026.11.21", "2026.01.05": "2026.1.5", "2026-01-05": "2026.1.5", "20261121": "20261121.0.0", "26.04": "26.4.0",
		"1.2.0+dirty": "1.2.0-dev", "v1.2.0-dirty": "1.2.0-dev", "1.2.0-rc.1+dirty": "1.2.0-dev", "1.2.0+linux.dirty": "1.2.0-dev",
		"1.1.0-4-gabcdef1": "1.1.0-dev", "v1.1.0-4-gabcdef1-dirty": "1.1.0-dev", "v1.1.0-rc.1-4-gabcdef1": "1.1.0-dev", "1.1-4-g0123456": "1.1.0-dev",
		"v1.2.1-0.20261121093000-abcdef123456": "1.2.1-dev", "v0.0.0-20261121093000-abcdef123456": "0.0.0-dev",
		"v1.2.1-rc.1.0.20261121093000-abcdef123456+dirty": "1.2.1-dev",
		"(devel)": "0.0.0-dev", "dev": "0.0.0-dev", "unknown": "0.0.0-dev", "HEAD": "0.0.0-dev", "abcdef1": "0.0.0-dev", "abcdef1-dirty": "0.0.0-dev",
		"": "", "1.2.3.4": "", "banana": "", "1.2.x": "", "1.2.0-": "1.2.0", "1.2.0-ä": "", "-1.2.0": "", "99999999999999999999.0.0": "", "1..2": "",
	} {
		got, err := Normal(build)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", build, got, err, want)
		}
	}
}

func TestSays(t *testing.T) {
	for _, row := range []struct {
		stdout, stderr string
		want           string
		yes            bool
		instead        string
	}{
		{"hello 1.1.0\n", "", "1.1.0", true, ""},
		{"hello 1.0.0\n", "", "1.1.0", false, "1.0.0"},
		{"hello version v1.1.0-rc.1 (go1.26.8)\n", "", "1.1.0-rc.1", true, ""},
		{"hello version v1.1.0-rc.1 (go1.26.8)\n", "", "1.1.0", false, "1.1.0-rc.1"},
		{"hello-1.1.0", "", "1.1.0", true, ""},
		{"Hello/1.1.0 linux/amd64", "", "1.1.0", true, ""},
		{"\x1b[1mhello\x1b[0m \x1b[32m1.1.0\x1b[0m\n", "", "1.1.0", true, ""},
		{"hello 1.1\n", "", "1.1.0", true, ""},
		{"hello 2026.01.05", "", "2026.1.5", true, ""},
		{`{"version":"1.1.0","go":"1.26.8"}`, "", "1.1.0", true, ""},
		{"hello 1.1.0+linux", "", "1.1.0", true, ""},
		// Other versions around it.
		{"hello (go1.26.8, libfoo 3.0.2)\nhello 1.1.0\n", "", "1.1.0", true, ""},
		{"libfoo 3.0.2\nhello 1.0.0\n", "", "1.1.0", false, "1.0.0"},
		{"", "hello 1.1.0\n", "1.1.0", true, ""},
		{"hello 1.1.0\n", "WARN: cannot reach 10.20.30.40, going on\n", "1.1.0", true, ""},
		{"hello 1.1.0\n", "warning: libfoo 3.0.2 is old\n", "1.1.0", true, ""},
		{"hello 1.0.0\n", "1.1.0 is available\n", "1.1.0", false, "1.0.0"}, // standard output decides
		{"", "hello 1.1.0 at 10.20.30.40\n", "1.1.0", true, ""},
		// Whole words.
		{"hello 11.1.0\n", "", "1.1.0", false, "11.1.0"},
		{"hello 1.1.01\n", "", "1.1.0", false, "1.1.1"},
		{"hello 1.1.0.1\n", "", "1.1.0", false, ""},
		{"hello 1.1.0-4-gabcdef1\n", "", "1.1.0", false, "1.1.0-dev"},
		{"hello 1.1.0+dirty\n", "", "1.1.0", false, "1.1.0-dev"},
		{"go1.1.0\n", "", "1.1.0", false, ""},
		// What is no version.
		{"listening at 10.20.30.40:8080\n", "", "1.1.0", false, ""},
		{"net 10.0.0.0/8, http://10.1.1.0/\n", "", "1.1.0", false, ""},
		{"", "2026/11/21 09:30:00 starting\n", "1.1.0", false, ""},
		{"hello 1.0.0, built 2026-11-21\n", "", "1.1.0", false, "1.0.0"},
		{"built 2026.11.21: hello 1.0.0\n", "", "1.1.0", false, "1.0.0"},
		{"hello 1\n", "", "1.0.0", false, ""},
		{"", "", "1.1.0", false, ""},
		{"- + . v -v. ---\n", "", "1.1.0", false, ""},
	} {
		yes, instead := Says(row.stdout, row.stderr, "hello", row.want)
		if yes != row.yes || instead != row.instead {
			t.Errorf("%q, %q as %s: %v, %q; want %v, %q", row.stdout, row.stderr, row.want, yes, instead, row.yes, row.instead)
		}
	}
}

func FuzzSays(f *testing.F) {
	f.Add("hello 1.1.0", "warning 1.2", "1.1.0")
	f.Add("-", "+", "\x1b[")
	f.Fuzz(func(t *testing.T, stdout, stderr, want string) {
		Says(stdout, stderr, "hello", want) // does not panic
		if v, err := Normal(stdout); err == nil {
			if again, err := Normal(v); err != nil || again != v {
				t.Errorf("%q is %q, which is %q, %v", stdout, v, again, err)
			}
		}
	})
}
