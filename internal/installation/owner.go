package installation

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/durable"
)

// OtherOwner says that this process is root and the program lies in another user's folder, who can exchange anything in it
// at any moment: what root creates, writes or makes executable there could become a file of root's elsewhere.
type OtherOwner struct {
	Path string // the folder
	UID  uint32 // its owner
}

func (e *OtherOwner) Error() string {
	return fmt.Sprintf("%s belongs to user %d, and root changes nothing in another user's folder", e.Path, e.UID)
}

func (e *OtherOwner) Unwrap() error { return fs.ErrPermission }

// Command returns the command line that runs command as the owner of the folder. command is quoted already.
func (e *OtherOwner) Command(command string) string {
	return fmt.Sprintf("sudo -u '#%d' %s", e.UID, command)
}

// Believes reports whether the file of this name beside the program counts: nobody has made it who could not replace the
// program.
func (i *Installation) Believes(name string) bool {
	place, err := beside.Beside(i.Path)
	if err != nil {
		return false
	}
	defer place.Close()
	f, err := place.Marker(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// CheckOwner returns an *OtherOwner if this process is root and the folder of the program, or the state folder in it,
// belongs to another user. It is for a good error at the beginning: every change is refused by the same rule, see package
// beside.
func (i *Installation) CheckOwner() error {
	place, err := beside.Change(i.Home)
	if untrusted := (*durable.Untrusted)(nil); errors.As(err, &untrusted) && untrusted.Owner {
		return &OtherOwner{Path: untrusted.Path, UID: untrusted.UID}
	}
	if err != nil {
		return err
	}
	place.Close()
	return nil
}
