package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/swap"
)

// ProbeTimeout is how long the default probe waits for FILE --version. It waits twice as long for a release each time
// that it could not decide about it within a day.
const ProbeTimeout = 10 * time.Second

// probeOutput is how much of the output is looked at, in bytes; a version stands in the first line of any sane
// program.
const probeOutput = 64 << 10

// versionPattern finds a semantic version that stands by itself: in "hello 1.2.0 (go1.26.8)" it is 1.2.0.
var versionPattern = regexp.MustCompile(`(?:^|[^0-9A-Za-z.+-])v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)`)

// probe runs FILE --version and compares. It is run before the swap, so that a file that cannot start on this machine
// (wrong libc, wrong CPU, noexec) never takes the place of one that can. If it fails and the installed program, which
// is known to work, does not start either, the machine is to blame.
func probe(ctx context.Context, sealed *os.File, version, installed string, patience time.Duration) error {
	said, err := sayVersion(ctx, patience, func(ctx context.Context) *exec.Cmd { return swap.Command(ctx, sealed, "--version") })
	switch {
	case err == nil && said != version:
		return fmt.Errorf("the file says that it is version %s, the release says %s: %w", said, version, blame.ErrWrong)
	case err == nil || ctx.Err() != nil || blame.Of(err) != blame.Release:
		return err
	}
	_, control := sayVersion(ctx, ProbeTimeout, func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, installed, "--version")
	})
	if fault := blame.Of(control); control != nil && fault != blame.Release {
		return blame.As(fault, fmt.Errorf("%w; the installed version does not start now either: %w", err, control))
	}
	return err
}

// sayVersion runs a program that was asked for its version, and returns the first semantic version in its output.
func sayVersion(ctx context.Context, patience time.Duration, command func(context.Context) *exec.Cmd) (string, error) {
	oomKills := blame.OOMKills()
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out := &prefix{left: probeOutput}
	cmd := command(timed)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = probeEnvironment(os.Environ())
	cmd.WaitDelay = time.Second // a grandchild that holds the pipe does not hold us
	isolate(cmd)

	err := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if timed.Err() != nil {
		return "", fmt.Errorf("%w: --version did not end within %v", ErrInconclusive, patience)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		said := out.b.String()
		err := fmt.Errorf("--version failed: %w: %s", exit, firstLine(said))
		switch {
		case exit.Exited() && blame.OfText(said) == blame.Machine:
			return "", blame.As(blame.Machine, err)
		case !exit.Exited() && blame.OOMKills() > oomKills:
			return "", blame.As(blame.Release, fmt.Errorf("%w, by the kernel, for want of memory", err))
		}
		return "", err
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return "", fmt.Errorf("running --version: %w", err)
	}
	m := versionPattern.FindStringSubmatch(out.b.String())
	if m == nil {
		return "", fmt.Errorf("--version printed no semantic version: %s", firstLine(out.b.String()))
	}
	return m[1], nil
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
