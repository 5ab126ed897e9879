package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// window is the largest zstd window that clients accept (doc/release-format.md): what a decoder must hold in memory.
const window = 8 << 20

// A localFile is one --artifact: a program on this machine, and the platform that it is for.
type localFile struct {
	platform release.Platform
	path     string
}

func parseArtifacts(specs []string) ([]localFile, error) {
	var files []localFile
	for _, spec := range specs {
		platform, path, ok := strings.Cut(spec, "=")
		parts := strings.Split(platform, "/")
		if !ok || path == "" || len(parts) < 2 || len(parts) > 3 {
			return nil, usage("--artifact %s: want OS/ARCH[/VARIANT]=FILE, for example linux/amd64=dist/hello", spec)
		}
		f := localFile{path: path}
		f.platform.OS, f.platform.Arch = parts[0], parts[1]
		if len(parts) == 3 {
			f.platform.Variant = parts[2]
		}
		for _, other := range files {
			if other.platform == f.platform {
				return nil, usage("--artifact %s is given twice: one file for each platform", platform)
			}
		}
		files = append(files, f)
	}
	return files, nil
}

// checkPlatform catches the mix-up that would reach every machine of a platform: another platform's file. Go programs
// say what they were built for; of others nothing is known.
func (f localFile) checkPlatform() error {
	info, err := buildinfo.ReadFile(f.path)
	if err != nil {
		return nil
	}
	var built release.Platform
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			built.OS = s.Value
		case "GOARCH":
			built.Arch = s.Value
		}
	}
	if built.OS != "" && built.Arch != "" && (built.OS != f.platform.OS || built.Arch != f.platform.Arch) {
		return fail(exitError, "%s was built for %s, and --artifact says %s: give the right file", f.path, built, f.platform)
	}
	return nil
}

// open opens the file and identifies it. Its bytes are read again later, and must be the same then.
func (f localFile) open(ctx context.Context) (*os.File, verify.ID, error) {
	if err := f.checkPlatform(); err != nil {
		return nil, verify.ID{}, err
	}
	src, err := os.Open(f.path)
	if err != nil {
		return nil, verify.ID{}, err
	}
	id, err := func() (verify.ID, error) {
		info, err := src.Stat()
		switch {
		case err != nil:
			return verify.ID{}, err
		case !info.Mode().IsRegular():
			return verify.ID{}, fail(exitError, "%s is not a file: give the program itself", f.path)
		case info.Size() == 0:
			return verify.ID{}, fail(exitError, "%s is empty: build it again", f.path)
		case info.Size() > release.MaxFile:
			return verify.ID{}, fail(exitError, "%s has %s, and a release can have files of %s: make it smaller", f.path, bytesText(info.Size()), bytesText(release.MaxFile))
		}
		return identify(ctxReader{ctx, src}, info.Size())
	}()
	if err == nil {
		_, err = src.Seek(0, io.SeekStart)
	}
	if err != nil {
		src.Close()
	}
	return src, id, err
}

// storeAll brings files into the repository, as many at once as there are processors.
func (r *repo) storeAll(ctx context.Context, files []localFile) ([]release.Artifact, error) {
	if err := os.MkdirAll(r.path("files"), 0o755); err != nil {
		return nil, err
	}
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
func (r *repo) store(ctx context.Context, f localFile) (release.Artifact, error) {
	a := release.Artifact{Platform: f.platform}
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
func (r *repo) encode(ctx context.Context, src *os.File, f localFile, id verify.ID, encoding string) (*release.Download, error) {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out, err := durable.Create(r.path("files"), "new")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name()) // has another name by then if all went well
	defer out.Close()

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
		return nil, fail(exitError, "%s changed while it was read: wait until the build is done, then run this again", f.path)
	}
	if encoding == release.Zstd && to.n >= id.Size {
		return nil, nil
	}
	d := &release.Download{Encoding: encoding, Stored: verify.ID{Size: to.n, SHA256: verify.Digest(stored.Sum(nil))}}
	if there, err := r.holds(*d); there || err != nil {
		return d, err
	}
	return d, r.keep(out, *d)
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

// mend compares a file with what an earlier publish said of it, and puts back what the repository has lost of it.
func (e *editor) mend(ctx context.Context, f localFile, a release.Artifact, differs func(string) error) error {
	src, id, err := f.open(ctx)
	if err != nil {
		return err
	}
	src.Close()
	if id != a.File {
		return differs("other bytes for " + f.platform.String())
	}
	for _, d := range a.Downloads {
		there, err := e.holds(d)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if d.Encoding == release.Delta {
			warn("a delta (%s) is lost: clients download the whole file instead; restore it from your backup", e.path(d.Path()))
			continue
		}
		if _, err := e.store(ctx, f); err != nil {
			return err
		}
		if there, err = e.holds(d); err != nil {
			return err
		}
		if !there {
			return fail(exitError, "%s is lost or damaged, and this version of theseus compresses differently from the one that made it: restore it from your backup", e.path(d.Path()))
		}
	}
	return nil
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
