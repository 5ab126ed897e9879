//go:build linux

package faultlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// programs are two versions of hello, the newer with the same bytes but for its version.
var programs struct{ old, new []byte }

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4:])
	}
	testenv.Overlap()
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func build() error {
	const mark = "9.8.7"
	dir, err := os.MkdirTemp("", "faultlab-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "hello")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+mark, "-o", out, "./cmd/hello")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building hello: %w\n%s", err, said)
	}
	linked, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	programs.old = bytes.ReplaceAll(linked, []byte(mark), []byte("1.0.0"))
	programs.new = bytes.ReplaceAll(linked, []byte(mark), []byte("1.1.0"))
	return nil
}

// A lab is a repository, and what a program needs to know of it.
type lab struct {
	t     *testing.T
	repo  *testrelease.Repo
	flags []string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, repo: testrelease.New(t)}
	l.repo.Publish("1.1.0", programs.new, testrelease.Zstd())
	key := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(key, []byte(l.repo.Key()+"\n"), 0o644))
	l.flags = []string{"--updates", l.repo.URL(), "--key", key}
	return l
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A cell is one program in one place.
type cell struct {
	truth string                                    // the file, where nothing is weak
	run   func(args ...string) (code int, o output) // the program there, with whatever is weak

	forgets bool // what is remembered cannot be read, so there is no way back that is known
	late    bool // what fails can be tried with the program alone, and so only by the swap
}

type output struct{ out, err string }

// answer is what the three ways to ask print with --json.
type answer struct {
	Code     int
	Error    string
	Findings []struct {
		Text, Fix string
		Code      int
	}
}

// verdict is what a cell has shown.
type verdict struct {
	works bool
	says  string // why it is refused
}

// ask runs self-update and holds that the program is what it was.
func (l *lab) ask(c cell, args ...string) (a answer, bad error) {
	code, o := c.run(append(append(l.flags[:len(l.flags):len(l.flags)], "self-update", "--json"), args...)...)
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &a); err != nil { // it could not even begin
		if code <= 0 || len(lines) > 1 {
			return a, fmt.Errorf("%v: exit code %d, %v\n%s%s", args, code, err, o.out, o.err)
		}
		return answer{Code: code, Error: strings.TrimPrefix(lines[0], "hello: ")}, nil
	}
	if a.Code != code {
		return a, fmt.Errorf("%v: exit code %d, and it says %d", args, code, a.Code)
	}
	return a, nil
}

// holds reports whether the program is there, whole.
func holds(c cell, want []byte) error {
	got, err := os.ReadFile(c.truth)
	switch {
	case err != nil:
		return fmt.Errorf("the program is lost: %w", err)
	case bytes.Equal(got, want):
		return nil
	case bytes.Equal(got, programs.old):
		return errors.New("1.0.0 is at the path")
	case bytes.Equal(got, programs.new):
		return errors.New("1.1.0 is at the path")
	}
	return fmt.Errorf("the program is lost: %d bytes of something else", len(got))
}

// judge looks, foretells and updates, and holds the three against each other. Where the update works, so must the way back
// and another update.
func (l *lab) judge(c cell) (v verdict, bad error) {
	doctor, err := l.ask(c, "--doctor")
	if err = errors.Join(err, holds(c, programs.old)); err != nil {
		return v, fmt.Errorf("--doctor: %w", err)
	}
	plan, err := l.ask(c, "--dry-run")
	if err = errors.Join(err, holds(c, programs.old)); err != nil {
		return v, fmt.Errorf("--dry-run: %w", err)
	}
	update, err := l.ask(c)
	if err != nil {
		return v, err
	}
	for _, one := range []struct {
		name string
		answer
	}{{"--doctor", doctor}, {"--dry-run", plan}} {
		if c.late && one.Code == 0 && update.Code != 0 {
			return verdict{says: sentence(update.Error)}, holds(c, programs.old)
		}
		if one.Code != update.Code {
			return v, fmt.Errorf("%s says %d %s %v, the update %d %s", one.name, one.Code, one.Error, one.Findings, update.Code, update.Error)
		}
	}
	if update.Code != 0 {
		v.says = sentence(update.Error)
		if err := holds(c, programs.old); err != nil {
			return v, fmt.Errorf("the update ended with %d %s: %w", update.Code, v.says, err)
		}
		if said := sentence(plan.Error); said != v.says {
			return v, fmt.Errorf("--dry-run says\n\t%s\nthe update says\n\t%s", said, v.says)
		}
		for _, f := range doctor.Findings {
			if f.Code != 0 && !(strings.Contains(v.says, sentence(f.Text)) && (f.Fix == "" || strings.Contains(v.says, sentence(f.Fix)))) {
				return v, fmt.Errorf("--doctor says\n\t%s -> %s\nthe update says\n\t%s", f.Text, f.Fix, v.says)
			}
		}
		if !strings.Contains(v.says, "; ") {
			return v, fmt.Errorf("it does not say what to do: %s", v.says)
		}
		return v, nil
	}
	if err := holds(c, programs.new); err != nil {
		return v, fmt.Errorf("the update ended with 0: %w", err)
	}
	if c.forgets {
		return verdict{works: true}, nil
	}
	for _, step := range []struct {
		args []string
		want []byte
	}{{[]string{"--rollback"}, programs.old}, {[]string{"--version", "1.1.0"}, programs.new}, {[]string{"--rollback"}, programs.old}} {
		a, err := l.ask(c, step.args...)
		if err == nil && a.Code != 0 {
			err = fmt.Errorf("%d %s", a.Code, a.Error)
		}
		if err = errors.Join(err, holds(c, step.want)); err != nil {
			return v, fmt.Errorf("%v: %w", step.args, err)
		}
	}
	v.works = true
	return v, nil
}

var (
	waited = regexp.MustCompile(`: waited [0-9a-z]+ for it$`) // as an update does
	step   = regexp.MustCompile(`^(updater: )?(planning|checking|downloading|settling|probing|swapping)( 1\.1\.0)?: `)
	chance = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
)

// sentence is what an error says, without where it was met, and without what is drawn by chance.
func sentence(text string) string {
	text = waited.ReplaceAllString(text, "")
	return chance.ReplaceAllString(step.ReplaceAllString(text, ""), "RANDOM")
}

// install puts the old program into a folder.
func install(tb testing.TB, dir string) string {
	tb.Helper()
	path := filepath.Join(dir, "hello")
	must(tb, os.Mkdir(dir, 0o755))
	must(tb, testenv.WriteProgram(path, programs.old))
	must(tb, os.Chmod(path, 0o755))
	return path
}
