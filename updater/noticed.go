package updater

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/internal/screen"
)

const (
	noticeEvery = 24 * time.Hour // one question and one notice, at most
	noticeAgain = time.Hour      // after a question that was not answered
	maxNotice   = 4 << 10
)

// due reports whether a time has come. One that lies further ahead than it was ever set is nonsense: a clock was wrong.
func due(at, now time.Time) bool { return !now.Before(at) || at.Sub(now) > noticeEvery }

// notices is where notices go, and where they are remembered.
type notices struct {
	out     io.Writer
	watched func() bool
	folder  func() (string, error)
	wait    time.Duration // for an answer, once in noticeEvery or noticeAgain
}

func terminal() notices {
	return notices{os.Stderr, func() bool { return screen.Moves(os.Stderr) }, os.UserCacheDir, 250 * time.Millisecond}
}

// file is the user's own memory of one installation: nobody needs the right to write beside the program.
func (n notices) file(path, app, channel string) (string, error) {
	dir, err := n.folder()
	if err != nil {
		return "", err
	}
	which := sha256.Sum256([]byte(path + "\x00" + channel))
	return filepath.Join(dir, "theseus", fmt.Sprintf("%s-%x.json", app, which[:8])), nil
}

// noticed is what is remembered. It is the user's, and only ever shown: what is installed is decided by what is signed.
type noticed struct {
	Next    time.Time `json:"next"`  // when to ask again
	Shown   time.Time `json:"shown"` // when to tell again
	Offered string    `json:"offered,omitzero"`
	Managed string    `json:"managed,omitzero"`
}

func (n noticed) read(file string) noticed {
	f, err := os.Open(file)
	if err != nil {
		return n
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return noticed{}
	}
	if json.NewDecoder(io.LimitReader(f, maxNotice)).Decode(&n) != nil {
		return noticed{}
	}
	return n
}

// write is for the next run. It writes in a folder of our own alone: root may have been given the home of somebody else, who
// decides where a path in it leads.
func (n noticed) write(file string) error {
	b, err := json.Marshal(n)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err != nil {
		return err
	}
	folder, err := durable.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer folder.Close()
	info, err := folder.Stat()
	if err == nil && !durable.Us(info.UID) {
		err = fs.ErrPermission
	}
	if err != nil {
		return err
	}
	return folder.WriteFile(filepath.Base(file), b, 0o600)
}
