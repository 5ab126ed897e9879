package release

import (
	"errors"
	"fmt"

	"github.com/theseus-go/theseus/verify"
)

// Errors to be found with errors.Is. The text around them says what was read, what was expected and what it may mean.
// Three of them are those of package verify, so that a caller has one name for one condition.
var (
	// ErrMalformed means that the signed text is not a document of this format. Nothing of it is used.
	ErrMalformed = verify.ErrMalformed
	// ErrApp means a genuine document, but of another program.
	ErrApp = verify.ErrApp
	// ErrVersion means a genuine manifest, but of another version than the channel says.
	ErrVersion = verify.ErrVersion

	// ErrChannel means a genuine document, but of another channel.
	ErrChannel = errors.New("document of another channel")
	// ErrID means that the bytes are not those that the channel names.
	ErrID = errors.New("not the bytes that the channel names")
	// ErrAmbiguous means that two entries claim the same version, platform or download; to take the first would be
	// guessing.
	ErrAmbiguous = errors.New("ambiguous document")
	// ErrNoArtifact means that the release has no file for this platform.
	ErrNoArtifact = errors.New("no artifact for this platform")
	// ErrRollback means a channel document older than one that this installation has accepted.
	ErrRollback = errors.New("older than what was accepted before")
	// ErrEquivocation means two channel documents with one sequence number and different contents.
	ErrEquivocation = errors.New("two documents with the same sequence")
	// ErrTrust means a channel document that was made under a trust document which cannot be had.
	ErrTrust = errors.New("made under a trust document that is missing")
	// ErrExpired means that nobody has vouched for the document for too long.
	ErrExpired = errors.New("expired")
	// ErrFuture means that the document says that it was issued later than this machine's clock allows.
	ErrFuture = errors.New("issued in the future")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

func ambiguous(format string, args ...any) error {
	return malformed("%w: %w", ErrAmbiguous, fmt.Errorf(format, args...))
}
