package updater

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/versions"
)

// judge asks a sealed file whether it works here: by Options.Probe, or by FILE --version. It runs before the swap, so that a
// file that cannot start on this machine (wrong libc, wrong CPU, noexec) never takes the place of one that can. err says why
// it could not be asked; then nothing is known of it.
func (j *job) judge(ctx context.Context, sealed *os.File, version string) (verdict, err error) {
	if j.opts.Probe != nil {
		path, take, err := j.held.Lend(sealed)
		if err != nil {
			return nil, err
		}
		verdict = j.opts.Probe(ctx, path, version)
		return verdict, take()
	}
	patience := ProbeTimeout << len(j.held.State().Failed[version].Recent)
	asked, err := askVersion(ctx, patience, j.disk.Path, j.invoked, func(cmd *exec.Cmd, start func()) (take func() error, err error) {
		if done, err := j.held.InPlace(sealed, start); done || err != nil {
			return nothing, err
		}
		path, take, err := j.held.Lend(sealed)
		if err == nil {
			cmd.Path, cmd.Err = path, nil
			start()
		}
		return take, err
	})
	if err != nil {
		return nil, err
	}
	if err := asked.err; err != nil {
		return j.control(ctx, missing(sealed, err)), nil
	}
	switch yes, instead := versions.Says(asked.stdout, asked.stderr, j.ownName(), version); {
	case yes:
		return nil, nil
	case instead == "":
		return fmt.Errorf("--version printed no version: %s", asked.firstLine()), nil
	default:
		return fmt.Errorf("the file says that it is version %s, the release says %s: %w", instead, version, blame.ErrWrong), nil
	}
}

// control returns why a file failed, unless the installed program, which is known to work, does not start either: then the
// machine is to blame.
func (j *job) control(ctx context.Context, err error) error {
	if ctx.Err() != nil || blame.Of(err) != blame.Release {
		return err
	}
	if installed := j.askInstalled(ctx); installed.err != nil {
		if fault := blame.Of(installed.err); fault != blame.Release {
			return blame.As(fault, fmt.Errorf("%w; the installed version does not start now either: %w", err, installed.err))
		}
	}
	return err
}
