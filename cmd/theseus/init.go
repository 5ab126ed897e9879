package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

// publicKeyFile is what the program is built with.
const publicKeyFile = "theseus.pub"

type initOptions struct {
	app, repo, channel, key, root string
	channels, artifacts           []string
	expires, remote, ci           string
	deltas                        int
	password, json                bool
	passphrase                    string
}

func initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Begin: make a key, write theseus.yaml, and say what to do next",
		Long: `Makes a key outside of the project (in the folder where your programs keep their settings, unless --key says otherwise) and
writes two files into the working folder: theseus.yaml, which says what is published from here, and theseus.pub, which goes
into the program. What no flag says is asked on a terminal, and has a default otherwise.

With --key naming a private key that is there, that one is used. With --root FILE no key is made: FILE is the public key, or
the trust document, that the project believes, and --key says where the signing key will be (env:NAME in a CI).

--ci github writes a workflow into .github/workflows: it publishes when a tag is pushed, signs channels anew every week, and
looks at what is served from outside. It also works where theseus.yaml is there already.`,
		Example: `  theseus init
  theseus init --app hello --remote s3://releases/hello?region=eu-central-1
  theseus init --ci github`,
		RunE: func(c *cobra.Command, _ []string) error {
			made, err := begin(c, &o)
			if err != nil {
				return err
			}
			return ui.Result(o.json, made, made.print)
		},
	}
	f := c.Flags()
	f.StringVar(&o.app, "app", "", "`NAME` of the program (default: that of the module)")
	f.StringVar(&o.repo, "repo", "dl", "`DIR` in which the repository will be signed")
	f.StringVar(&o.channel, "channel", "stable", "`NAME` of the channel that releases go to")
	f.StringSliceVar(&o.channels, "channels", nil, "`NAMES` of all channels that there are to be (default: that one)")
	f.StringVar(&o.key, "key", "", "private `KEY`: where to make it, or one that is there")
	f.StringVar(&o.root, "root", "", "`FILE` with the public key or trust document, where the private key is not here")
	f.BoolVar(&o.password, "password", false, "protect the new key with a passphrase")
	f.StringVar(&o.passphrase, "passphrase", "", "where the passphrase is: a `FILE`, env:NAME, or -; otherwise THESEUS_PASSPHRASE or the terminal")
	f.StringVar(&o.expires, "expires", "90d", "`TIME` that clients may believe a channel without a refresh")
	f.IntVar(&o.deltas, "deltas", 3, "make deltas from the last `N` releases; 0 for none")
	f.StringArrayVar(&o.artifacts, "artifacts", nil, "`PATTERN` for the files of a release (default: build/{os}-{arch}/NAME, or those of GoReleaser where that is used)")
	f.StringVar(&o.remote, "remote", "", "`ADDRESS` that it is served from: "+store.Addresses)
	f.StringVar(&o.ci, "ci", "", "write a workflow for this `CI`: github")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

// begun is what init has done.
type begun struct {
	App       string `json:"app,omitempty"`
	Key       string `json:"private_key,omitempty"` // path, if it was made or taken here
	PublicKey string `json:"public_key,omitempty"`  // path
	Made      bool   `json:"key_made,omitempty"`
	Project   string `json:"project,omitempty"`
	Workflow  string `json:"workflow,omitempty"`

	goreleaser bool
	project    *publisher.Project
	where      clientOptions
}

func begin(c *cobra.Command, o *initOptions) (*begun, error) {
	if o.ci != "" && o.ci != "github" {
		return nil, ui.Usage("--ci %s: theseus writes workflows for github", o.ci)
	}
	p, err := publisher.LoadProject(".")
	if err != nil {
		return nil, err
	}
	b := &begun{project: p, goreleaser: usesGoReleaser()}
	switch {
	case !p.Exists():
		if err := b.newProject(c, o); err != nil {
			return nil, err
		}
	case o.ci == "":
		return nil, ui.Fail(ui.ExitError, "%s is already there: edit it (theseus init --ci github adds a workflow)", publisher.ProjectFile)
	}
	if o.ci != "" {
		b.Workflow, err = writeWorkflow(p, b.goreleaser)
	}
	return b, err
}

// newProject makes the key and the project. What cannot be is said before anything is written.
func (b *begun) newProject(c *cobra.Command, o *initOptions) (err error) {
	ask := newAsker(c)
	o.app = cmp.Or(o.app, ask.value("app", "Name of the program", moduleName()))
	if err := release.ValidApp(o.app); err != nil {
		return ui.Usage("--app: %w", err)
	}
	o.channel = ask.value("channel", "Channel that releases go to", o.channel)
	o.remote = ask.value("remote", "Where it is served from ("+store.Addresses+"; empty if you copy the folder yourself)", o.remote)
	o.expires = ask.value("expires", "How long clients may believe a channel without a refresh", o.expires)
	if len(o.artifacts) == 0 && !b.goreleaser {
		o.artifacts = []string{ask.value("artifacts", "Where the files of a release are", "build/{os}-{arch}/"+o.app)}
	}
	if len(o.channels) == 0 {
		o.channels = []string{o.channel}
	}
	p := b.project
	p.App, p.Repo, p.Channel, p.Channels, p.Expires, p.Deltas, p.Artifacts = o.app, o.repo, o.channel, o.channels, o.expires, &o.deltas, o.artifacts
	if o.remote != "" {
		p.Remotes = map[string]string{"origin": o.remote}
	}
	if err := p.Check(); err != nil {
		return ui.Usage("%w", err)
	}
	if err := p.Apart(o.repo); err != nil {
		return err
	}
	b.App, b.where = o.app, whereClientsRead(o.remote)
	if o.root != "" {
		p.Root, p.Key = o.root, o.key
		if _, err := readTrust(o.root); err != nil {
			return err
		}
		b.PublicKey, b.Project = o.root, publisher.ProjectFile
		return p.Save()
	}
	if err := b.makeKey(o); err != nil {
		return err
	}
	if err := p.Save(); err != nil {
		return err
	}
	b.Project = publisher.ProjectFile
	return nil
}

// makeKey makes the key pair, or takes the one that is there, and puts the public half where the program is built.
func (b *begun) makeKey(o *initOptions) error {
	path := o.key
	if path == "" {
		settings, err := os.UserConfigDir()
		if err != nil {
			return ui.Usage("there is no folder for settings here (%w): say with --key where the private key is to be, outside of the project", err)
		}
		path = filepath.Join(settings, "theseus", o.app+".key")
	}
	prefix, ok := strings.CutSuffix(path, ".key")
	if !ok || strings.HasPrefix(path, "env:") {
		return ui.Usage("--key %s: want a file that ends in .key (for a key that is not here, give --root too)", path)
	}
	if err := publisher.KeyApart(path, o.repo); err != nil {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(publicKeyFile); err == nil {
			return ui.Fail(ui.ExitError, "%s is already there, and its private key is not %s: name that with --key, or move it away", publicKeyFile, path)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if _, err := keygen(prefix, o.password || o.passphrase != "", o.passphrase); err != nil {
			return err
		}
		b.Made = true
	} else if err != nil {
		return err
	}
	public, err := os.ReadFile(prefix + ".pub")
	if err != nil {
		return fmt.Errorf("the public half of %s: %w", path, err)
	}
	trust, err := readTrust(prefix + ".pub")
	if err != nil {
		return err
	}
	there, err := os.ReadFile(publicKeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = writeNew(publicKeyFile, string(public), 0o644, "it is another key's")
	case err == nil && !bytes.Equal(there, public):
		err = ui.Fail(ui.ExitError, "%s is already there, and is not that of %s: move it away, or name its private key with --key", publicKeyFile, path)
	}
	if err != nil {
		return err
	}
	b.Key, b.PublicKey = path, publicKeyFile
	b.project.Root, b.project.Key = trust.Trust.All()[0].String(), publisher.FromHome(path)
	return nil
}

func (b *begun) print(w io.Writer) {
	if b.Workflow != "" {
		fmt.Fprintf(w, "Wrote %s. It signs with the secret THESEUS_KEY of the repository: the text of the private key.\n", b.Workflow)
	}
	if b.Project == "" {
		return
	}
	fmt.Fprintf(w, "Wrote %s", b.Project)
	switch {
	case b.Made:
		fmt.Fprintf(w, " and %s, and made the private key %s", b.PublicKey, b.Key)
	case b.Key != "":
		fmt.Fprintf(w, " and %s, for the private key %s", b.PublicKey, b.Key)
	}
	publish := "build, then: theseus publish --version 1.0.0"
	if b.goreleaser {
		publish = "goreleaser release, then: theseus publish --dist dist"
	}
	serve := "copy " + b.project.Repo + " to a web server, or write an address under remotes and: theseus push"
	if len(b.project.Remotes) > 0 {
		serve = "theseus push"
	}
	fmt.Fprintf(w, `.

Next:
  1. Keep a copy of the private key where no machine can lose it: without it no installation can be updated any more.
  2. Build %s into the program (//go:embed), with App %q and Source %q%s.
  3. Publish: %s
  4. Serve: %s, and have it signed anew before it expires (%s): theseus init --ci github
`, b.PublicKey, b.App, b.where.source, b.where.more, publish, serve, b.project.Expires)
}

// clientOptions are what a program is built with to read a remote.
type clientOptions struct{ source, more string }

var githubAddress = regexp.MustCompile(`^github:([^/?]+/[^/?]+)(?:\?|$)`)

func whereClientsRead(remote string) clientOptions {
	if m := githubAddress.FindStringSubmatch(remote); m != nil && !strings.Contains(remote, "?") {
		return clientOptions{"https://raw.githubusercontent.com/" + m[1] + "/releases", fmt.Sprintf(" and Files %q", "https://github.com/"+m[1]+"/releases/download/v{version}/{name}")}
	}
	return clientOptions{"https://…", ", the address that it will be served at"}
}

// usesGoReleaser reports whether the project is built by it.
func usesGoReleaser() bool {
	for _, name := range []string{".goreleaser.yaml", ".goreleaser.yml", "goreleaser.yaml", "goreleaser.yml"} {
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return false
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)

// moduleName is what the program is probably called: as its module, otherwise as its folder.
func moduleName() string {
	if b, err := os.ReadFile("go.mod"); err == nil {
		if m := moduleLine.FindSubmatch(b); m != nil {
			parts := strings.Split(string(m[1]), "/")
			name := parts[len(parts)-1]
			if regexp.MustCompile(`^v[0-9]+$`).MatchString(name) && len(parts) > 1 {
				name = parts[len(parts)-2]
			}
			return name
		}
	}
	dir, err := filepath.Abs(".")
	if err != nil {
		return ""
	}
	return filepath.Base(dir)
}

// An asker asks a person on a terminal for what no flag says, and nobody else.
type asker struct {
	command *cobra.Command
	in      *bufio.Reader // nil: nobody is there
}

func newAsker(c *cobra.Command) asker {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return asker{c, nil}
	}
	return asker{c, bufio.NewReader(os.Stdin)}
}

// value is what a flag or the person says, otherwise the default.
func (a asker) value(flag, question, otherwise string) string {
	if a.in == nil || a.command.Flags().Changed(flag) {
		return otherwise
	}
	fmt.Fprintf(os.Stderr, "%s [%s]: ", question, otherwise)
	line, _ := a.in.ReadString('\n')
	return cmp.Or(strings.TrimSpace(line), otherwise)
}
