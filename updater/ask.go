package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
)

// ProbeTimeout is how long the default probe waits for FILE --version. It waits twice as long for a release each time
// that it could not decide about it within a day.
const ProbeTimeout = 10 * time.Second

// probeOutput is how much of each output is looked at, in bytes; a version stands in the first lines of any sane program.
const probeOutput = 64 << 10

// answer is what a program has said for --version.
type answer struct {
	stdout, stderr string
	err            error // why it said nothing
}

// firstLine quotes the beginning of what it said, for an error; what went wrong stands on standard error.
func (a answer) firstLine() string { return firstLine(a.stderr + "\n" + a.stdout) }

func nothing() error { return nil }

// askVersion runs the program at path, or what arrange puts in its stead, with --version, under a name. arrange calls start; what it
// returns is done when the program has ended. The error is arrange's.
func askVersion(ctx context.Context, patience time.Duration, path, name string, arrange func(cmd *exec.Cmd, start func()) (done func() error, err error)) (a answer, err error) {
	oomKills := blame.OOMKills()
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stdout, stderr := &prefix{left: probeOutput}, &prefix{left: probeOutput}
	cmd := exec.CommandContext(timed, path, "--version")
	cmd.Args[0] = name
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = probeEnvironment(os.Environ())
	cmd.WaitDelay = time.Second // a grandchild that holds the pipe does not hold us
	isolate(cmd)

	done, err := arrange(cmd, func() { a.err = cmd.Start() })
	if err != nil {
		return a, err
	}
	if a.err == nil {
		a.err = cmd.Wait()
	}
	a.stdout, a.stderr = stdout.b.String(), stderr.b.String()
	a.err = a.explain(ctx, timed, patience, blame.OOMKills() > oomKills)
	return a, done()
}

// explain says why there is no answer, and whose fault that is.
func (a answer) explain(ctx, timed context.Context, patience time.Duration, oomKilled bool) error {
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case timed.Err() != nil:
		return fmt.Errorf("%w: --version did not end within %v", ErrInconclusive, patience)
	case errors.As(a.err, &exit):
		err := fmt.Errorf("--version failed: %w: %s", exit, a.firstLine())
		switch {
		case exit.Exited() && blame.OfText(a.stderr+a.stdout) == blame.Machine:
			return blame.As(blame.Machine, err)
		case !exit.Exited() && oomKilled:
			return blame.As(blame.Release, fmt.Errorf("%w, by the kernel, for want of memory", err))
		}
		return err
	case a.err != nil && !errors.Is(a.err, exec.ErrWaitDelay):
		return fmt.Errorf("running --version: %w", a.err)
	}
	return nil
}

// probeEnvironment leaves out what tells a program that it was handed sockets or must report to a service manager: a
// probe is neither.
func probeEnvironment(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case strings.HasPrefix(name, "LISTEN_"), strings.HasPrefix(name, "WATCHDOG_"), strings.HasPrefix(name, "THESEUS_"),
			strings.HasPrefix(name, "TABLEFLIP_"), name == "NOTIFY_SOCKET", name == "MAINPID":
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// prefix keeps the first bytes of what is written to it.
type prefix struct {
	b    bytes.Buffer
	left int
}

func (p *prefix) Write(b []byte) (int, error) {
	n := min(len(b), p.left)
	p.b.Write(b[:n])
	p.left -= n
	return len(b), nil
}

// firstLine quotes the beginning of what a program said, for an error.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(line) > 200 {
		line = line[:200] + "…"
	}
	if line == "" {
		return "it printed nothing"
	}
	return fmt.Sprintf("it printed %q", line)
}
