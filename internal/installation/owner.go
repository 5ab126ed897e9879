package installation

import (
	"fmt"
	"io/fs"
)

// OtherOwner says that this process is root and the program lies in a folder of somebody else's, who can exchange anything
// in it at any moment: what root creates, writes or makes executable there could become a file of root's elsewhere.
type OtherOwner struct {
	Path string // the folder
	UID  uint32 // its owner
}

func (e *OtherOwner) Error() string {
	return fmt.Sprintf("%s belongs to user %d, and root changes nothing in a folder of somebody else's", e.Path, e.UID)
}

func (e *OtherOwner) Unwrap() error { return fs.ErrPermission }

// Command returns the command line that runs command as the owner of the folder. command is quoted already.
func (e *OtherOwner) Command(command string) string {
	return fmt.Sprintf("sudo -u '#%d' %s", e.UID, command)
}

// CheckOwner returns an *OtherOwner if this process is root and the folder of the program, or the state folder in it,
// belongs to another user.
func (i *Installation) CheckOwner() error { return checkOwner(i.Dir, i.Home) }
