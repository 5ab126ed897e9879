package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// run runs body as a test of its own would run and says whether it was skipped, with the lines it recorded.
func run(t *testing.T, body func(testing.TB)) (skipped bool, lines []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "skips")
	t.Setenv("TESTENV_SKIPS", file)
	tb := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // Skipf ends its goroutine, as the real one does
		defer close(done)
		body(tb)
	}()
	<-done
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return tb.message != "", strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
}

// recorder is a test that remembers that it was skipped instead of being skipped.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Skipf(format string, args ...any) {
	r.message = format
	runtime.Goexit()
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		name string
		body func(testing.TB)
		want string // part of the recorded line; "" is not skipped
	}{
		{"tool is there", func(tb testing.TB) { Need(tb, "go") }, ""},
		{"tool is missing", func(tb testing.TB) { Need(tb, "go", "no-such-tool") }, "no-such-tool is missing; to run this test: apt-get install no-such-tool"},
		{"this system", func(tb testing.TB) { NeedOS(tb, "plan9", runtime.GOOS) }, ""},
		{"another system", func(tb testing.TB) { NeedOS(tb, "plan8", "plan7") }, "plan8 or plan7 is missing"},
		{"anything else", func(tb testing.TB) { Skip(tb, "a loop device", "modprobe loop") }, "a loop device is missing; to run this test: modprobe loop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			skipped, lines := run(t, c.body)
			if skipped != (c.want != "") {
				t.Fatalf("skipped: %v", skipped)
			}
			if !skipped {
				if len(lines) != 0 {
					t.Fatalf("recorded %q though it ran", lines)
				}
				return
			}
			if len(lines) != 1 || !strings.Contains(lines[0], c.want) || !strings.HasPrefix(lines[0], "testenv "+t.Name()+": ") {
				t.Fatalf("recorded %q, want one line with the test's name and %q", lines, c.want)
			}
		})
	}
}

func TestCondition(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	t.Setenv("TESTENV_SKIPS", file)
	if ok, err := Condition("need:go"); !ok || err != nil {
		t.Fatalf("need:go is %v, %v", ok, err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Fatalf("recorded though nothing is missing: %v", err)
	}
	if ok, err := Condition("need:no-such-tool"); ok || err != nil {
		t.Fatalf("need:no-such-tool is %v, %v", ok, err)
	}
	if b, _ := os.ReadFile(file); !strings.Contains(string(b), "no-such-tool is missing") {
		t.Fatalf("recorded %q", b)
	}
	if _, err := Condition("tuesday"); err == nil {
		t.Fatal("an unknown condition is accepted")
	}
}
