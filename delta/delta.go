// Package delta makes and applies small patches between two builds of a program.
//
// Between two releases of a Go program almost no code changes; addresses do,
// and with them a large part of all bytes. [Diff] finds the references in both
// executables, learns one map from old addresses to new ones, and writes down
// only what that map does not explain. [Apply] finds the same references in the
// old file, moves them by the same map and adds what is left. For a file that
// it does not understand, Diff falls back to plain copies and differences.
//
// A wrong guess, be it about a Go version, an instruction or a table, makes a
// patch larger and never wrong: Diff measures every guess against the new file,
// and Apply ends with the SHA-256 of what it wrote.
//
// Apply treats the patch as untrusted. It checks every offset, bounds every
// allocation by [Limits] and by the sizes in the patch's header, and reports a
// damaged patch as an error. The header can be looked at first with
// [ReadHeader] and compared with what a signed manifest says.
//
// The format is specified in doc/delta-format.md; manifests call it [release.Delta].
//
// Three shelves: package executable below this one finds the references of a
// file, package coding is the entropy coder, and here is what joins the two:
// alignment and address map, the parts of a patch, Diff and Apply.
//
// [release.Delta]: https://pkg.go.dev/github.com/theseus-go/theseus/release#Delta
package delta

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// DefaultMaxSize is the largest old or new file Apply accepts unless
// [Limits.MaxSize] says otherwise: 1 GiB.
const DefaultMaxSize = 1 << 30

// DefaultMaxUnpacked is how much debugging information Apply unpacks at most unless
// [Limits.MaxUnpacked] says otherwise, and Diff at most in any case: 256 MiB. Programs
// of 60 MB have about 40.
const DefaultMaxUnpacked = 256 << 20

// mostUnpacked is for what package pack can be sure to count in 32 bits.
const mostUnpacked = 1 << 30

// maxFile is what offsets in this implementation can address.
const maxFile = 1<<31 - 1

var (
	// ErrUnsupported means that the bytes are no patch, or one of a format or
	// predictor that this version does not know. Download the full file.
	ErrUnsupported = errors.New("unknown delta format: download the full file instead")

	// ErrWrongOld means that the old file is not the one the patch was made
	// for. It may have been changed by hand or by other software.
	ErrWrongOld = errors.New("the old file is not the one this delta was made for: download the full file instead")

	// ErrDamaged means that the patch is cut short, has been changed, or does
	// not produce the file it promises. What was written must be thrown away.
	ErrDamaged = errors.New("damaged delta: download the full file instead")

	// ErrTooLarge means that a file is larger than the limit allows.
	ErrTooLarge = errors.New("file larger than the limit")
)

// A Predictor says what a patch knows about the files.
type Predictor byte

const (
	Plain Predictor = 0 // any file: copies and byte differences
	Go    Predictor = 1 // executables by the Go linker: references moved by an address map
)

func (p Predictor) String() string {
	switch p {
	case Plain:
		return "plain"
	case Go:
		return "go"
	}
	return fmt.Sprintf("predictor %d", byte(p))
}

// A File identifies the bytes on one side of a patch.
type File struct {
	Size   int64
	SHA256 [sha256.Size]byte
}

// A Header is what a patch says of itself before anything is applied. It is
// as trustworthy as the patch: compare it with signed values.
type Header struct {
	Predictor Predictor
	Old, New  File

	// Unpacked is how many bytes of packed debugging information of the old file
	// Apply holds unpacked in memory.
	Unpacked int64
}

// Limits bounds what [Apply] does for a patch. The zero value is usable.
type Limits struct {
	// MaxSize is the largest size in bytes that either file may have.
	// Zero means DefaultMaxSize; above 2 GiB - 1 it counts as that.
	MaxSize int64

	// MaxUnpacked is how many bytes of packed debugging information of either file
	// may be unpacked; those of the old one are held in memory. Zero means
	// DefaultMaxUnpacked; above 1 GiB it counts as that.
	MaxUnpacked int64
}

func (l Limits) max() int64 {
	switch {
	case l.MaxSize <= 0:
		return DefaultMaxSize
	case l.MaxSize > maxFile:
		return maxFile
	}
	return l.MaxSize
}

func (l Limits) maxUnpacked() int64 {
	if l.MaxUnpacked <= 0 {
		return DefaultMaxUnpacked
	}
	return min(l.MaxUnpacked, mostUnpacked)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w (%s)", ErrDamaged, fmt.Sprintf(format, args...))
}
