package publisher

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// window is the largest zstd window that clients accept (doc/release-format.md): what a decoder must hold in memory.
const window = 8 << 20

// An Artifact is one --artifact: a program on this machine, and the platform that it is for.
type Artifact struct {
	Platform release.Platform
	Path     string
	Sum      verify.Digest // that its builder wrote down; zero if nobody has
}

// ParseArtifacts reads OS/ARCH[/VARIANT]=FILE. The architecture all of darwin stands for both that a universal binary has.
func ParseArtifacts(specs []string) ([]Artifact, error) {
	var files []Artifact
	for _, spec := range specs {
		platform, path, ok := strings.Cut(spec, "=")
		parts := strings.Split(platform, "/")
		if !ok || path == "" || len(parts) < 2 || len(parts) > 3 {
			return nil, ui.Usage("--artifact %s: want OS/ARCH[/VARIANT]=FILE, for example linux/amd64=dist/hello", spec)
		}
		f := Artifact{Path: path}
		f.Platform.OS, f.Platform.Arch = parts[0], parts[1]
		if len(parts) == 3 {
			f.Platform.Variant = parts[2]
		}
		files = append(files, f.Universal()...)
	}
	return files, EachOnce(files)
}

// EachOnce refuses two files for one platform.
func EachOnce(files []Artifact) error {
	seen := map[release.Platform]string{}
	for _, f := range files {
		if other, ok := seen[f.Platform]; ok {
			return ui.Usage("there are two files for %s, %s and %s: give one file for each platform", f.Platform, other, f.Path)
		}
		seen[f.Platform] = f.Path
	}
	return nil
}

// Universal is the artifact, or one for each platform of a macOS binary that has both.
func (f Artifact) Universal() []Artifact {
	if f.Platform.OS != "darwin" || f.Platform.Arch != "all" {
		return []Artifact{f}
	}
	intel, apple := f, f
	intel.Platform.Arch, apple.Platform.Arch = "amd64", "arm64"
	return []Artifact{intel, apple}
}

// open opens the file and identifies it. Its bytes are read again later, and must be the same then.
func (f Artifact) open(ctx context.Context) (*os.File, verify.ID, error) {
	src, err := os.Open(f.Path)
	if err != nil {
		return nil, verify.ID{}, err
	}
	id, err := func() (verify.ID, error) {
		info, err := src.Stat()
		switch {
		case err != nil:
			return verify.ID{}, err
		case !info.Mode().IsRegular():
			return verify.ID{}, ui.Fail(ui.ExitError, "%s is not a file: give the program itself", f.Path)
		case info.Size() == 0:
			return verify.ID{}, ui.Fail(ui.ExitError, "%s is empty: build it again", f.Path)
		case info.Size() > release.MaxFile:
			return verify.ID{}, ui.Fail(ui.ExitError, "%s has %s, and a release can have files of %s: make it smaller", f.Path, ui.Bytes(info.Size()), ui.Bytes(release.MaxFile))
		}
		return identify(ctxReader{ctx, src}, info.Size())
	}()
	if err == nil && f.Sum != (verify.Digest{}) && f.Sum != id.SHA256 {
		err = ui.Fail(ui.ExitError, "%s is not what was built: it has SHA-256 %s, and the build wrote down %s: build it again", f.Path, id.SHA256, f.Sum)
	}
	if err == nil {
		_, err = src.Seek(0, io.SeekStart)
	}
	if err != nil {
		src.Close()
	}
	return src, id, err
}

// storeAll brings files into the repository, as many at once as there are processors.
func (r repository) storeAll(ctx context.Context, files []Artifact) ([]release.Artifact, error) {
	artifacts := make([]release.Artifact, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range files {
		g.Go(func() (err error) {
			artifacts[i], err = r.store(ctx, f)
			return err
		})
	}
	return artifacts, g.Wait()
}

// store brings one file into the repository: compressed if that is smaller, as it is otherwise.
func (r repository) store(ctx context.Context, f Artifact) (release.Artifact, error) {
	a := release.Artifact{Platform: f.Platform}
	src, id, err := f.open(ctx)
	if err != nil {
		return a, err
	}
	defer src.Close()
	a.File = id
	for _, encoding := range []string{release.Zstd, ""} {
		d, err := r.encode(ctx, src, f, id, encoding)
		if err != nil {
			return a, err
		}
		if d != nil {
			a.Downloads = []release.Download{*d}
			return a, nil
		}
	}
	return a, errors.New("unreachable: a file is stored as it is if nothing else")
}

// encode stores the file in one encoding; nil if that makes it no smaller.
func (r repository) encode(ctx context.Context, src *os.File, f Artifact, id verify.ID, encoding string) (*release.Download, error) {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out, err := scratch()
	if err != nil {
		return nil, err
	}
	defer discard(out)

	read, stored := sha256.New(), sha256.New()
	from := io.TeeReader(io.LimitReader(ctxReader{ctx, src}, id.Size+1), read)
	to := &countWriter{w: io.MultiWriter(out, stored)}
	var n int64
	if encoding == release.Zstd {
		n, err = compress(to, from)
	} else {
		n, err = io.Copy(to, from)
	}
	if err != nil {
		return nil, err
	}
	if (verify.ID{Size: n, SHA256: verify.Digest(read.Sum(nil))}) != id {
		return nil, ui.Fail(ui.ExitError, "%s changed while it was read: wait until the build is done, then run this again", f.Path)
	}
	if encoding == release.Zstd && to.n >= id.Size {
		return nil, nil
	}
	d := &release.Download{Encoding: encoding, Stored: verify.ID{Size: to.n, SHA256: verify.Digest(stored.Sum(nil))}}
	if there, err := r.holds(ctx, *d); there || err != nil {
		return d, err
	}
	return d, r.keep(ctx, out, *d)
}

// compress is deterministic for one version of the zstd package: one goroutine, fixed level and window.
func compress(dst io.Writer, src io.Reader) (int64, error) {
	z, err := zstd.NewWriter(dst, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(z, src)
	return n, errors.Join(err, z.Close())
}

// scratch is a temporary file without a name where that can be: a run that is killed leaves nothing.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "theseus-")
	if err == nil {
		os.Remove(f.Name()) // cannot be on Windows: then discard does it
	}
	return f, err
}

func discard(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}

// identify hashes r, but no more than one byte beyond max.
func identify(r io.Reader, max int64) (verify.ID, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, max+1))
	return verify.ID{Size: n, SHA256: verify.Digest(h.Sum(nil))}, err
}

type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ctxReader ends a long copy when the person presses Ctrl-C.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
