package release

import "github.com/theseus-go/theseus/internal/text"

const (
	maxNotes  = 64 << 10
	maxReason = 512
)

// checkReason refuses a reason that is not read as it is written: whoever signs it would be deceived.
func checkReason(what, reason string) error {
	if reason == "" || len(reason) > maxReason || !text.Honest(reason, "") {
		return malformed("%s: the reason must be 1 to %d bytes on one line", what, maxReason)
	}
	return nil
}
