// Package aside moves a running executable out of the way where it cannot be renamed over: on Windows, and on file
// systems without hard links. It is minio/selfupdate's second half, in a package of its own because selfupdate can
// also download, and so links HTTP and TLS, which what brings a good version back should not.
package aside

import (
	"fmt"

	"github.com/minio/selfupdate"
)

// Commit puts DIR/.NAME.new at path, DIR/NAME, after it has moved what is there to save. Between the two renames
// nothing is at path. With an error the old file is there again, unless the error says that even putting it back
// failed.
func Commit(path, save string) error {
	err := selfupdate.CommitBinary(selfupdate.Options{TargetPath: path, OldSavePath: save})
	if back := selfupdate.RollbackError(err); back != nil {
		return fmt.Errorf("%w; putting the old file back from %s: %w", err, save, back)
	}
	return err
}
