package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
)

// A power cut leaves what the file system has sent to its disk. Here the disk is a file: the program is stopped at a call,
// and the file is copied while it is mounted, so that nothing is written out that was not before. The copy is mounted, which
// replays its journal, and judged.
//
// A moment after the cut would have been another program syncs a file of its own, and with it, on ext4, every change of
// names so far but not the bytes behind them. A second copy is taken then: that is how an executable of 0 bytes comes about.

// disks are file systems, and how large an image of each has to be. Of ext4 there are two: as it is, and without what it
// does for programs that rename and do not sync (auto_da_alloc), which is not to be relied on.
var disks = []diskKind{
	{"ext4-strict", "mkfs.ext4", "loop,noauto_da_alloc", 64},
	{"ext4", "mkfs.ext4", "loop", 64},
	{"xfs", "mkfs.xfs", "loop", 320},
	{"btrfs", "mkfs.btrfs", "loop", 160},
}

type diskKind struct {
	name, mkfs, options string
	mib                 int64
}

// A disk is a mounted image.
type disk struct {
	diskKind
	t     *testing.T
	image string
	mnt   string
}

func mountDisk(t *testing.T, kind diskKind, image string) *disk {
	t.Helper()
	d := &disk{kind, t, image, t.TempDir()}
	if out, err := exec.Command("mount", "-o", kind.options, image, d.mnt).CombinedOutput(); err != nil {
		t.Fatalf("mounting %s: %v\n%s", image, err, out)
	}
	t.Cleanup(d.unmount)
	return d
}

// unmount has to be over before a copy is mounted: to xfs and btrfs both are the same file system.
func (d *disk) unmount() {
	d.t.Helper()
	if d.mnt == "" {
		return
	}
	err := unix.Unmount(d.mnt, 0)
	for limit := time.Now().Add(patience); err == unix.EBUSY && time.Now().Before(limit); err = unix.Unmount(d.mnt, 0) {
		time.Sleep(10 * time.Millisecond) // a child of the program that was killed is ending
	}
	if err != nil {
		d.t.Errorf("unmounting %s: %v", d.mnt, err)
		unix.Unmount(d.mnt, unix.MNT_DETACH)
	}
	d.mnt = ""
}

// newDisk makes a file system with 1.0.0 on it, safe from power cuts.
func (s *stage) newDisk(t *testing.T, kind diskKind) (*disk, *installation) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(kind.mib << 20)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(kind.mkfs, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", kind.mkfs, err, out)
	}
	d := mountDisk(t, kind, image)
	i := s.on(t, d)
	if err := os.Mkdir(i.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := testenv.WriteProgram(i.path, s.files["1.0.0"]); err != nil {
		t.Fatal(err)
	}
	mnt, err := os.Open(d.mnt)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(mnt.Fd())), mnt.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, i
}

// on is the installation on a disk.
func (s *stage) on(t *testing.T, d *disk) *installation {
	t.Helper()
	i := install(t, build(t, "1.0.0")).trusts(s.repo)
	i.dir = filepath.Join(d.mnt, "bin")
	i.path = filepath.Join(i.dir, "hello")
	return i
}

// A cut is what is on a disk at one moment.
type cut struct {
	when  string
	image string
}

// cut takes two of them, as above.
func (d *disk) cut() (cuts []cut) {
	t := d.t
	t.Helper()
	for _, when := range []string{"at once", "after another program's sync"} {
		if when != "at once" {
			f, err := os.Create(filepath.Join(d.mnt, "another"))
			if err == nil {
				err = f.Sync()
				f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		c := cut{when, filepath.Join(t.TempDir(), "cut")}
		if err := copyImage(d.image, c.image); err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, c)
	}
	return cuts
}

// judge calls f with the installation as it is when the power is back, for each cut.
func (s *stage) judge(d *disk, cuts []cut, f func(when string, i *installation)) {
	d.t.Helper()
	d.unmount()
	for _, c := range cuts {
		after := mountDisk(d.t, d.diskKind, c.image)
		f(c.when, s.on(d.t, after))
		after.unmount()
		os.Remove(c.image)
	}
}

// copyImage leaves out what is zero, which is nearly everything.
func copyImage(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	for off := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		} else if err != nil {
			return err
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, hole-data)); err != nil {
			return err
		}
		off = hole
	}
}

// TestF02PowerCut cuts the power at every call of an update and of the way back, and after their end.
func TestF02PowerCut(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	s := newStage(t)
	for _, fs := range disks {
		if fs.name != disks[0].name && testenv.Asked() < testenv.Full {
			continue // the samples are of one
		}
		testenv.Need(t, fs.mkfs, "mount")
		for _, sc := range scenes {
			if sc.rescue || sc.name == "update by a delta" { // they make the same calls once there is a file
				continue
			}
			t.Run(fs.name+"/"+sc.name, func(t *testing.T) {
				var d *disk
				var i *installation
				testfault.Program{
					Loose: true, Every: every(2 * sc.sample),
					Command: func(tb testing.TB) *exec.Cmd {
						if d != nil {
							d.unmount()
							os.Remove(d.image)
						}
						d, i = s.newDisk(t, fs)
						args := sc.prepare(i, s.repo)
						cmd := exec.Command(i.path, args...)
						cmd.Dir = i.dir
						return cmd
					},
					Check: func(tb testing.TB, r testfault.Run) {
						s.judge(d, d.cut(), func(when string, i *installation) {
							at := s.at(i)
							if ended := r.Point.Index == 0; ended && at != sc.done || !slices.Contains(sc.may, at) {
								tb.Errorf("%s: %s is at the path; %v", when, at, r.Point)
							}
							s.settles(i)
						})
					},
				}.Kill(t)
			})
		}
	}
}

// TestF02UsualSwap shows that the cut would be seen: the usual swap, two renames and no sync, has said that it succeeded, and
// after the power cut there is no program.
func TestF02UsualSwap(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.Need(t, "mkfs.ext4", "mount")
	s := newStage(t)
	d, i := s.newDisk(t, disks[0])
	fresh := filepath.Join(i.dir, ".hello.new")
	if err := testenv.WriteProgram(fresh, s.files["1.1.0"]); err != nil {
		t.Fatal(err)
	}
	for _, move := range [][2]string{{i.path, filepath.Join(i.dir, ".hello.old")}, {fresh, i.path}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	broken := false
	s.judge(d, d.cut(), func(when string, i *installation) {
		info, err := os.Stat(i.path)
		broken = broken || err != nil || info.Size() == 0
	})
	if !broken {
		t.Error("no cut shows what the usual swap loses: these tests would see nothing")
	}
}

// TestF02LongAfter cuts the power seconds after success, when file systems write out what was left.
func TestF02LongAfter(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedEffort(t, testenv.Full)
	s := newStage(t)
	for _, fs := range disks {
		t.Run(fs.name, func(t *testing.T) {
			testenv.Need(t, fs.mkfs, "mount")
			t.Parallel()
			d, i := s.newDisk(t, fs)
			i.must(i.selfUpdate(s.repo, "--version", "1.1.0"))
			ctx, cancel := context.WithTimeout(t.Context(), 36*time.Second)
			defer cancel()
			var cuts []cut
			for ctx.Err() == nil {
				cuts = append(cuts, d.cut()...)
				select {
				case <-time.After(3 * time.Second):
				case <-ctx.Done():
				}
			}
			s.judge(d, cuts, func(when string, i *installation) {
				if at := s.at(i); at != "1.1.0" {
					t.Errorf("%s: %s is at the path", when, at)
				}
			})
			t.Logf("%d cuts", len(cuts))
		})
	}
}
