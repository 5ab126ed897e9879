package updater

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// installedVersion is the version of the file at the path: ours, if it is the
// file that this process runs; the recorded one, if its hash is the recorded
// one; else somebody deployed it by hand, and it is asked.
func (u *Updater) installedVersion(ctx context.Context, st *state.State) (*semver.Version, error) {
	info, err := os.Stat(u.target.Path)
	if err != nil {
		return nil, fmt.Errorf("looking at the installed program: %w", err)
	}
	if os.SameFile(info, u.own) {
		return u.running, nil
	}
	if st.Installed != nil {
		id, err := u.target.Identify()
		if err != nil {
			return nil, fmt.Errorf("looking at the installed program: %w", err)
		}
		if id == st.Installed.ID {
			return release.ParseVersion(st.Installed.Version)
		}
	}
	said, err := sayVersion(ctx, func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, u.target.Path, "--version")
	})
	if err == nil {
		if v, err := release.ParseVersion(said); err == nil {
			return v, nil
		}
	}
	u.log.Warn("the file at the program's path was put there by hand and does not say its version; taking it for the running one", "err", err)
	return u.running, nil
}

// fileAt describes the file at the path for the journal. A file without a
// record, a first install or a hand deployment, counts as proved.
func (u *Updater) fileAt(st *state.State, version string) (state.File, error) {
	id, err := u.target.Identify()
	if err != nil {
		return state.File{}, err
	}
	if st.Installed != nil && st.Installed.ID == id {
		return *st.Installed, nil
	}
	return state.File{Version: version, ID: id, Proved: true}, nil
}
