package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/versions"
)

// patience is how long a program may take to say its version: as long as clients wait.
const patience = 10 * time.Second

// maxSaid is how much of what it prints is looked at, in bytes.
const maxSaid = 64 << 10

// ErrNoAnswer says that a program did not get as far as to say its version.
var ErrNoAnswer = errors.New("--version got no answer")

// Says runs FILE --version, as clients do before they install it, and returns nil if it says that it is this version. The
// program gets none of the environment that may have a secret in it. The error says what it printed instead.
func Says(ctx context.Context, file, version string) error {
	run, clean, err := runnable(file)
	if err != nil {
		return err
	}
	defer clean()
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var stdout, stderr prefix
	c := exec.CommandContext(timed, run, "--version")
	c.Stdout, c.Stderr = &stdout, &stderr
	c.Env = environment()
	c.WaitDelay = time.Second // a grandchild that has the pipe does not keep us
	isolate(c)
	err = c.Run()
	said := stderr.String() + "\n" + stdout.String()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case timed.Err() != nil:
		return fmt.Errorf("%w: it did not end within %v", ErrNoAnswer, patience)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return fmt.Errorf("%w: %w, %s", ErrNoAnswer, err, firstLine(said))
	}
	name := strings.TrimSuffix(filepath.Base(file), ".exe")
	if yes, _ := versions.Says(stdout.String(), stderr.String(), name, version); yes {
		return nil
	}
	return fmt.Errorf("--version does not say %s: %s", version, firstLine(stdout.String()+"\n"+stderr.String()))
}

// runnable is the file itself if it can be executed, otherwise a copy that can: what comes out of an archive or from another
// job of a CI has often lost its mode, and Windows wants its ending.
func runnable(file string) (path string, clean func(), err error) {
	none := func() {}
	path, err = filepath.Abs(file)
	if err != nil {
		return "", none, err
	}
	info, err := os.Stat(path)
	ending := ""
	if runtime.GOOS == "windows" {
		ending = ".exe"
	}
	if err != nil || ending == "" && info.Mode()&0o111 != 0 || ending != "" && strings.EqualFold(filepath.Ext(path), ending) {
		return path, none, err
	}
	dir, err := os.MkdirTemp("", "theseus-")
	if err != nil {
		return "", none, err
	}
	clean = func() { os.RemoveAll(dir) }
	from, err := os.Open(path)
	if err != nil {
		clean()
		return "", none, err
	}
	defer from.Close()
	path = filepath.Join(dir, filepath.Base(path)+ending)
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err == nil {
		_, err = io.Copy(to, from)
		err = errors.Join(err, to.Close())
	}
	if err != nil {
		clean()
		return "", none, err
	}
	return path, clean, nil
}

// environment is what a program needs to start, and nothing that may be a key or a token.
func environment() (env []string) {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains([]string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
			"TMP", "TEMP", "SYSTEMROOT", "WINDIR", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "PATHEXT", "COMSPEC"}, strings.ToUpper(name)) {
			env = append(env, e)
		}
	}
	return env
}

// prefix keeps the first bytes of what is written to it.
type prefix struct{ bytes.Buffer }

func (p *prefix) Write(b []byte) (int, error) {
	p.Buffer.Write(b[:min(len(b), maxSaid-p.Len())])
	return len(b), nil
}

// firstLine quotes the beginning of what a program said.
func firstLine(said string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	if len(line) > 120 {
		line = strings.ToValidUTF8(line[:120], "") + "…"
	}
	if line == "" {
		return "it printed nothing"
	}
	return fmt.Sprintf("it printed %q", line)
}
