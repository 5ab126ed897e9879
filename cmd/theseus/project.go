package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/verify"
)

// projectFlags say what a verb is about. What a flag does not say is in theseus.yaml of the working folder.
type projectFlags struct {
	repo, root string
	project    *publisher.Project // set by load
}

func (p *projectFlags) addRoot(c *cobra.Command) {
	c.Flags().StringVar(&p.root, "root", "", "`FILE` with whom to believe: the public key, or the newest trust document that you know (default: what theseus.yaml says)")
}

// load reads theseus.yaml and fills in what the flags left out.
func (p *projectFlags) load() (err error) {
	if p.project, err = publisher.LoadProject("."); err != nil {
		return err
	}
	p.repo = cmp.Or(p.repo, p.project.At(p.project.Repo))
	return nil
}

// trust is whom to believe; nil if neither a flag nor the project says.
func (p *projectFlags) trust() (*verify.Trust, error) {
	if p.root != "" {
		return readTrust(p.root)
	}
	return p.project.Trust()
}

// editFlags are the flags of every verb that changes a channel.
type editFlags struct {
	projectFlags
	expires string
	keys    keyFlags
	adopt   bool
	json    bool
}

func (e *editFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&e.repo, "repo", "", "`DIR` of the repository (default: what theseus.yaml says)")
	e.addRoot(c)
	f.StringVar(&e.expires, "expires", "", "`TIME` that clients may believe the channel without a refresh, for example 90d or 12h (default: what theseus.yaml says, otherwise as before; 90d for a new channel)")
	e.keys.add(c)
	f.BoolVar(&e.adopt, "adopt", false, "build on what is in the repository although theseus.lock says that it should be something else")
	f.BoolVar(&e.json, "json", false, "print one JSON object")
}

// options locks the repository and gathers what a Publisher needs. Whoever calls it closes the folder.
func (e *editFlags) options(ctx context.Context) (o publisher.Options, folder *store.Folder, err error) {
	if _, err := e.lifetime(); err != nil {
		return o, nil, err
	}
	if err := e.load(); err != nil {
		return o, nil, err
	}
	if len(e.keys.keys) == 0 && e.project.Key != "" {
		e.keys.keys = []string{e.project.At(e.project.Key)}
	}
	if err := e.apart(); err != nil {
		return o, nil, err
	}
	if o.Root, err = e.trust(); err != nil {
		return o, nil, err
	}
	if o.Within, err = e.project.RefreshWithin(); err != nil {
		return o, nil, err
	}
	if o.Signers, err = e.keys.signers(ctx); err != nil {
		return o, nil, err
	}
	if folder, err = store.OpenFolder(e.repo); err != nil {
		return o, nil, err
	}
	// Now that nobody else writes the repository: what is remembered of it.
	if o.Memory, err = e.project.Memory(ctx, e.repo); err != nil {
		folder.Close()
		return o, nil, err
	}
	o.Store, o.App, o.Adopt, o.Say = folder, e.app(), e.adopt, say
	return o, folder, nil
}

// apart refuses a repository in which the project or a private key lies.
func (e *editFlags) apart() error {
	if e.repo == "" {
		return nil // said later
	}
	if err := e.project.Apart(e.repo); err != nil {
		return err
	}
	for _, ref := range e.keys.keys {
		if ref == "-" || strings.HasPrefix(ref, "env:") || e.keys.signerCmd != "" {
			continue
		}
		if err := publisher.KeyApart(ref, e.repo); err != nil {
			return err
		}
	}
	return nil
}

// own reports whether this is about the project's own repository, however that is written.
func (p *projectFlags) own() bool {
	if p.project == nil || p.project.Repo == "" {
		return false
	}
	return publisher.SameFolder(p.repo, p.project.At(p.project.Repo))
}

// another reports whether this is about another repository than the one that theseus.yaml names.
func (p *projectFlags) another() bool { return p.project.Repo != "" && !p.own() }

// app is the project's, if this is the project's repository or the project names none.
func (p *projectFlags) app() string {
	if p.another() {
		return ""
	}
	return p.project.App
}

// edit does one thing to a repository.
func (e *editFlags) edit(ctx context.Context, do func(*publisher.Publisher) error) error {
	o, folder, err := e.options(ctx)
	if err != nil {
		return err
	}
	defer folder.Close()
	p, err := publisher.Open(ctx, o)
	if err != nil {
		return err
	}
	return do(p)
}

// lifetime is what --expires says, otherwise what the project says of its own repository; 0 if nobody does.
func (e *editFlags) lifetime() (time.Duration, error) {
	if e.expires == "" {
		if e.project == nil {
			if err := e.load(); err != nil {
				return 0, err
			}
		}
		if e.own() {
			return e.project.Lifetime()
		}
		return 0, nil
	}
	d, err := publisher.ParseLifetime(e.expires)
	if err != nil {
		return 0, ui.Usage("--expires %w", err)
	}
	return d, nil
}

// deadline tells a person the one thing that must not be forgotten.
func (e *editFlags) deadline(r publisher.ChannelReport) string {
	again := "theseus refresh"
	if !e.own() || !e.project.Exists() {
		again += fmt.Sprintf(" --repo %s --channel %s --key FILE", e.repo, r.Channel)
	}
	return fmt.Sprintf("Clients stop updating from channel %s on %s unless it is refreshed before: %s", r.Channel, ui.Deadline(r.Expires), again)
}

// reader is what a verb needs that looks at a repository, or has only documents to look at.
func (p *projectFlags) reader(app string) (o publisher.Options, err error) {
	if o.Root, err = p.trust(); err != nil {
		return o, err
	}
	o.App = cmp.Or(p.app(), app)
	if p.repo == "" || store.IsRemote(p.repo) {
		return o, nil
	}
	if info, err := os.Stat(p.repo); err != nil || !info.IsDir() {
		if errors.Is(err, os.ErrNotExist) || err == nil {
			return o, nil
		}
		return o, err
	}
	o.Store = store.ReadFolder(p.repo)
	o.Memory, err = p.project.Memory(context.Background(), p.repo) // a reader keeps nothing, and waits for nobody
	return o, err
}

func say(text string) { ui.Note("%s", text) }
