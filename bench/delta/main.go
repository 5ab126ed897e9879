// Command delta measures patches between releases of real programs: Theseus beside what else there is.
//
//	GOWORK=off go run .                                   # the table of doc/benchmarks.md: builds about 70 programs first
//	GOWORK=off go run . -short                            # two small programs, a minute
//	GOWORK=off go run . -only restic -tools delta,bsdiff
//	GOWORK=off go run . -pair OLD NEW                     # two files of your own
//
// The programs are built from their module sources with the local toolchain, CGO_ENABLED=0 -trimpath -ldflags '-s -w',
// and kept in -dir. Every tool runs as a process of its own; CPU seconds (user and system) and peak memory are those that the
// system reports for it, so that a busy machine matters little. Tools that are not installed are left out. Every result
// is compared with the new file. The last column is delta.Apply alone, per second of CPU time. It exits 1 if one
// differs, if a row misses what it must hold, or if a delta is larger than bsdiff's by more than 1 % or 150 bytes.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/theseus-go/theseus/delta"
)

func main() {
	dir := flag.String("dir", filepath.Join(os.TempDir(), "theseus-delta-corpus"), "where built programs are kept")
	only := flag.String("only", "", "pairs whose name contains this")
	short := flag.Bool("short", false, "the small programs only")
	pair := flag.Bool("pair", false, "compare the two files given as arguments")
	names := flag.String("tools", "delta,bsdiff,zstd,xdelta3", "tools to run")
	child := flag.String("child", "", "internal: do one step in this process")
	flag.Parse()
	if err := run(*dir, *only, *short, *pair, strings.Split(*names, ","), *child, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "delta:", err)
		os.Exit(1)
	}
}

func run(dir, only string, short, pair bool, names []string, child string, args []string) error {
	if child != "" {
		return step(child, args)
	}
	var use []tool
	for _, t := range tools {
		if !slices.Contains(names, t.name) {
			continue
		}
		if _, err := exec.LookPath(t.diff[0]); err != nil && t.name != "delta" {
			fmt.Fprintf(os.Stderr, "%s is not installed: left out\n", t.name)
			continue
		}
		use = append(use, t)
	}
	if pair {
		if len(args) != 2 {
			return errors.New("-pair needs two files")
		}
		head(use)
		return measure(use, row{name: filepath.Base(args[1]), old: args[0], new: args[1]})
	}
	var rows []row
	for _, p := range append(pairs, otherPairs...) {
		if short && !p.small || only != "" && !strings.Contains(p.name(), only) {
			continue
		}
		if need := ways[p.way].needs; need != "" {
			if _, err := exec.LookPath(need); err != nil {
				fmt.Fprintf(os.Stderr, "%s is not installed: %s is left out\n", need, p.name())
				continue
			}
		}
		old, err := p.build(dir, p.old, p.toolchain)
		if err != nil {
			return err
		}
		toolchain := ""
		if p.same {
			toolchain = p.toolchain
		}
		new, err := p.build(dir, p.new, toolchain)
		if err != nil {
			return err
		}
		rows = append(rows, row{p.name(), old, new, p.most})
	}
	if len(rows) == 0 {
		return fmt.Errorf("no pair is called %q", only)
	}
	head(use)
	var failed error
	for _, r := range rows {
		failed = errors.Join(failed, measure(use, r))
	}
	return failed
}

// A row is one pair of files; the patch must have at most most bytes, 0 for any.
type row struct {
	name, old, new string
	most           int64
}

func head(use []tool) {
	fmt.Print("| pair | new file |")
	for _, t := range use {
		fmt.Printf(" %s | diff | apply |", t.name)
	}
	fmt.Print(" bsdiff ÷ delta | delta.Apply |\n|---|---|")
	fmt.Print(strings.Repeat("---|---|---|", len(use)), "---|---|\n")
}

func measure(use []tool, r row) error {
	tmp, err := os.MkdirTemp("", "theseus-delta")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	want, err := sum(r.new)
	if err != nil {
		return err
	}
	info, err := os.Stat(r.new)
	if err != nil {
		return err
	}
	fmt.Printf("| %s | %.1f MB |", r.name, float64(info.Size())/1e6)
	sizes := map[string]int64{}
	var failed error
	for _, t := range use {
		patch, out := filepath.Join(tmp, t.name), filepath.Join(tmp, t.name+".new")
		d, err := t.run(t.diff, r.old, r.new, patch)
		if err != nil {
			return err
		}
		a, err := t.run(t.apply, r.old, out, patch)
		if err != nil {
			return err
		}
		if got, err := sum(out); err != nil || got != want {
			failed = errors.Join(failed, fmt.Errorf("%s: %s made another file (%v)", r.name, t.name, err))
		}
		p, err := os.Stat(patch)
		if err != nil {
			return err
		}
		sizes[t.name] = p.Size()
		fmt.Printf(" %s | %s | %s |", thousands(p.Size()), d, a)
	}
	if b, ok := sizes["bsdiff"]; ok && sizes["delta"] > 0 {
		fmt.Printf(" %.1f", float64(b)/float64(sizes["delta"]))
	}
	fmt.Print(" |")
	if sizes["delta"] > 0 {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		rate, err := exec.Command(self, "-child", "rate", r.old, r.new, filepath.Join(tmp, "delta")).Output()
		if err != nil {
			return err
		}
		fmt.Printf(" %s MB/s", rate)
	}
	fmt.Println(" |")
	if b, ok := sizes["bsdiff"]; ok && sizes["delta"] > b+max(b/100, 150) {
		failed = errors.Join(failed, fmt.Errorf("%s: %d bytes, bsdiff %d", r.name, sizes["delta"], b))
	}
	if r.most > 0 && sizes["delta"] > r.most {
		failed = errors.Join(failed, fmt.Errorf("%s: %d bytes, must be at most %d", r.name, sizes["delta"], r.most))
	}
	return failed
}

// sum hashes a file without holding it: the system counts a parent's memory at
// the start of a child as the child's.
func sum(file string) (s [32]byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return s, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	h.Sum(s[:0])
	return s, err
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// A tool is a way to make and apply patches; OLD, NEW and PATCH in its commands stand for files.
type tool struct {
	name        string
	diff, apply []string
}

var tools = []tool{
	{"delta", []string{"", "-child", "diff", "OLD", "NEW", "PATCH"}, []string{"", "-child", "apply", "OLD", "NEW", "PATCH"}},
	{"bsdiff", []string{"bsdiff", "OLD", "NEW", "PATCH"}, []string{"bspatch", "OLD", "NEW", "PATCH"}},
	{
		"zstd",
		[]string{"zstd", "-q", "-19", "--long=27", "--patch-from=OLD", "NEW", "-o", "PATCH"},
		[]string{"zstd", "-q", "-d", "--long=27", "--patch-from=OLD", "PATCH", "-o", "NEW"},
	},
	{
		"xdelta3",
		[]string{"xdelta3", "-q", "-e", "-9", "-S", "lzma", "-B", "134217728", "-s", "OLD", "NEW", "PATCH"},
		[]string{"xdelta3", "-q", "-d", "-B", "134217728", "-s", "OLD", "PATCH", "NEW"},
	},
}

// run runs a command and reports its CPU seconds and peak memory.
func (t tool) run(command []string, old, new, patch string) (string, error) {
	command = slices.Clone(command)
	for i := range command {
		command[i] = strings.NewReplacer("OLD", old, "NEW", new, "PATCH", patch).Replace(command[i])
	}
	if command[0] == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		command[0] = self
	}
	cmd := exec.Command(command[0], command[1:]...)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out.Bytes())
	}
	peak := int64(0)
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = int64(u.Maxrss) >> 10
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return fmt.Sprintf("%.2f s %d MiB", cpu.Seconds(), peak), nil
}

// step makes or applies one patch with package delta.
func step(what string, args []string) error {
	old, new, patch := args[0], args[1], args[2]
	if what == "diff" {
		o, err := os.ReadFile(old)
		if err != nil {
			return err
		}
		n, err := os.ReadFile(new)
		if err != nil {
			return err
		}
		w, err := os.Create(patch)
		if err != nil {
			return err
		}
		// One predictor, the one that fits; both would take twice the time.
		_, err = delta.Diff(context.Background(), o, n, w, delta.Options{Predictors: []delta.Predictor{delta.Go}})
		if errors.Is(err, delta.ErrUnsupported) {
			_, err = delta.Diff(context.Background(), o, n, w, delta.Options{Predictors: []delta.Predictor{delta.Plain}})
		}
		return errors.Join(err, w.Close())
	}
	o, err := os.Open(old)
	if err != nil {
		return err
	}
	defer o.Close()
	if what == "rate" {
		return rate(o, patch)
	}
	p, err := os.Open(patch)
	if err != nil {
		return err
	}
	defer p.Close()
	w, err := os.Create(new)
	if err != nil {
		return err
	}
	_, err = delta.Apply(context.Background(), o, p, w, delta.Limits{})
	return errors.Join(err, w.Close())
}

// rate prints how much delta.Apply makes of the new file in a second of CPU time, in MB, hashes included: the median of
// many runs in one process, for a process of its own for each would measure its start and the writing of a file as well.
func rate(old io.ReaderAt, patch string) error {
	p, err := os.ReadFile(patch)
	if err != nil {
		return err
	}
	var rates []float64
	for range 21 {
		runtime.GC()
		begun := cpu()
		h, err := delta.Apply(context.Background(), old, bytes.NewReader(p), io.Discard, delta.Limits{})
		if err != nil {
			return err
		}
		rates = append(rates, float64(h.New.Size)/1e6/(cpu()-begun).Seconds())
	}
	slices.Sort(rates)
	fmt.Printf("%.0f", rates[len(rates)/2])
	return nil
}

// cpu is the time that this process has computed, for itself or in the system.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
