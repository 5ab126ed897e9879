// Swap measures what it costs to install a large executable: theseus beside a plain copy of the same bytes and beside
// minio/selfupdate, in turns, in one run.
//
//	cd bench/swap && GOWORK=off go run .
//
// Every turn is a process of its own, so that its peak of memory is its own. It exits 1 if theseus holds 32 MiB or more.
// The file is made of random bytes, read from the page cache and written to --dir: choose a folder on a disk.
package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/minio/selfupdate"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/swap"
)

// limit is the most memory that an update may hold, whatever the size of the file.
const limit = 32 << 10 // KiB

const goos, goarch = runtime.GOOS, runtime.GOARCH

// aged is how old the last change of a file must be before theseus believes that it would see the next one.
const aged = 2100 * time.Millisecond

var ways = []struct {
	name string
	do   func(source, target string, want content.ID) error
}{
	{"copy, SHA-256, fsync", func(source, target string, want content.ID) error { return plain(source, target, want, 1) }},
	{"copy, 3 x SHA-256, fsync", func(source, target string, want content.ID) error { return plain(source, target, want, 3) }},
	{"theseus", theseus},
	{"selfupdate.Apply", apply},
	{"hello self-update", nil}, // the whole program, see program.go
}

func main() {
	size := flag.Int64("size", 200, "size of the executable in MiB")
	rounds := flag.Int("rounds", 5, "turns of each way; the median counts")
	dir := flag.String("dir", "", "folder to work in (default: the system's for temporary files)")
	flag.Parse()
	if way := os.Getenv("THESEUS_BENCH"); way != "" {
		if err := turn(way, flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := compare(*size<<20, *rounds, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func compare(size int64, rounds int, dir string) error {
	work, err := os.MkdirTemp(dir, "theseus-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source, old := filepath.Join(work, "source"), filepath.Join(work, "old")
	want, err := fill(source, size)
	if err != nil {
		return err
	}
	if _, err := fill(old, size); err != nil {
		return err
	}
	whole, err := wholeProgram(work, size)
	if err != nil {
		return err
	}
	times, peaks := make([][]time.Duration, len(ways)), make([]int, len(ways))
	for round := range rounds {
		for i := range ways {
			i = (i + round) % len(ways) // nobody is always first
			spot := filepath.Join(work, fmt.Sprintf("spot-%d-%d", round, i))
			if err := os.Mkdir(spot, 0o755); err != nil {
				return err
			}
			target := filepath.Join(spot, "app")
			from := old
			if ways[i].do == nil {
				from = whole.old
			}
			if err := os.Link(from, target); err != nil {
				return err
			}
			time.Sleep(aged) // an executable was installed long ago, not a moment before its update
			if ways[i].do == nil {
				took, peak, err := whole.turn(target)
				if err != nil {
					return err
				}
				times[i], peaks[i] = append(times[i], took), max(peaks[i], peak)
				os.RemoveAll(spot)
				continue
			}
			cmd := exec.Command(os.Args[0], source, target, want.SHA256.String())
			cmd.Env = append(os.Environ(), "THESEUS_BENCH="+ways[i].name)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%s: %w", ways[i].name, err)
			}
			var nanos int64
			var peak int
			if _, err := fmt.Sscan(string(out), &nanos, &peak); err != nil {
				return fmt.Errorf("%s said %q: %w", ways[i].name, out, err)
			}
			times[i] = append(times[i], time.Duration(nanos))
			peaks[i] = max(peaks[i], peak)
			os.RemoveAll(spot)
		}
	}
	base := median(times[1])
	fmt.Printf("%d MiB, median of %d\n\n%-26s %9s %8s %10s\n", size>>20, rounds, "", "time", "ratio", "peak RSS")
	over := false
	for i, w := range ways {
		m := median(times[i])
		fmt.Printf("%-26s %8.2fs %7.2fx %6.1f MiB\n", w.name, m.Seconds(), m.Seconds()/base.Seconds(), float64(peaks[i])/1024)
		over = over || (w.name == "theseus" || w.do == nil) && peaks[i] >= limit
	}
	if over {
		return fmt.Errorf("theseus held more than %d MiB", limit>>10)
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// fill makes a file that does not compress, different each time.
func fill(path string, size int64) (content.ID, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return content.ID{}, err
	}
	h := sha256.New()
	var seed [32]byte
	copy(seed[:], path)
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(seed), size)
	return content.ID{Size: size, SHA256: content.Digest(h.Sum(nil))}, errors.Join(err, f.Sync(), f.Close())
}

// turn does it once and says how long it took and how much memory it held at most.
func turn(way, source, target, digest string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	want := content.ID{Size: info.Size()}
	if err := want.SHA256.UnmarshalText([]byte(digest)); err != nil {
		return err
	}
	for _, w := range ways {
		if w.name != way {
			continue
		}
		begun := time.Now()
		if err := w.do(source, target, want); err != nil {
			return err
		}
		took := time.Since(begun)
		kib, err := peak(os.Getpid())
		if err != nil {
			return err
		}
		fmt.Println(took.Nanoseconds(), kib)
		return nil
	}
	return fmt.Errorf("no such way: %s", way)
}

// peak is the most memory that a process ever held, in KiB. getrusage would not do: it begins with what the parent held.
func peak(pid int) (kib int, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "VmHWM:") {
			_, err := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kib)
			return kib, err
		}
	}
	return 0, errors.New("no VmHWM in its status")
}

// download is what an update does with the bytes that arrive: hash them on the way to a file.
func download(source string, to io.Writer, want content.ID) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(to, h), struct{ io.Reader }{from}, make([]byte, 256<<10)); err != nil {
		return err
	}
	if content.Digest(h.Sum(nil)) != want.SHA256 {
		return errors.New("the copy differs")
	}
	return nil
}

// plain is the least that anybody does: copy, hash on the way, fsync, rename. The further hashes are of the new file, before
// the rename, and of the old one.
func plain(source, target string, want content.ID, hashes int) error {
	f, err := os.OpenFile(target+".plain", os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := download(source, f, want); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	for i := range hashes - 1 {
		name := []string{target + ".plain", target}[i]
		again, err := os.Open(name)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{again}, make([]byte, 256<<10))
		if err = errors.Join(err, again.Close()); err != nil {
			return err
		}
	}
	return os.Rename(f.Name(), target)
}

func theseus(source, target string, want content.ID) error {
	t, err := swap.Open(target)
	if err != nil {
		return err
	}
	if err := t.Prepare(want.Size); err != nil {
		return err
	}
	f, err := t.Create(want.SHA256)
	if err != nil {
		return err
	}
	if err := download(source, f, want); err != nil {
		return err
	}
	sealed, err := t.Seal(f)
	if err != nil {
		return err
	}
	defer sealed.Close()
	if _, err := t.Identify(); err != nil { // for the journal
		return err
	}
	return t.Replace(sealed, want)
}

func apply(source, target string, want content.ID) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	return selfupdate.Apply(f, selfupdate.Options{TargetPath: target, Checksum: want.SHA256[:]})
}
