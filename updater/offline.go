package updater

import (
	"errors"

	"github.com/theseus-go/theseus/internal/fetch"
)

// takeFrom makes a bundle or a folder the only source, in place of Source and
// Mirrors. A relative path begins at the working directory. Nothing else is
// different: what a bundle holds is signed, dated and counted like what comes
// over the network, and whoever brings it is trusted no more than a server.
func (u *Updater) takeFrom(path string) error {
	if path == "" {
		return errors.New("name a bundle, or the folder of a repository")
	}
	source, err := fetch.FileURL(path)
	if err != nil {
		return err
	}
	only := &fetch.Client{Sources: []string{source}, Stall: u.opts.Stall}
	if err := only.Check(); err != nil {
		return err
	}
	u.fetch = only
	return nil
}
