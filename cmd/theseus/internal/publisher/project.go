package publisher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// The files of a project. Both are meant to be committed: neither has a secret in it.
const (
	ProjectFile = "theseus.yaml" // what is published from here, written by people
	LockFile    = "theseus.lock" // what was signed from here, written by the tool
	rootFile    = "theseus.root" // the trust document that the project has come to, if it is more than a bare key
)

// A Project is theseus.yaml: what a publisher would have to type with every command. Flags come before it.
type Project struct {
	App      string   `yaml:"app,omitempty"`            // name of the program
	Root     string   `yaml:"root,omitempty"`           // whom to believe: a public key, or the path of one or of a trust document
	Repo     string   `yaml:"repo,omitempty"`           // folder of the repository
	Channel  string   `yaml:"channel,omitempty"`        // name of the channel, where a verb is about one
	Channels []string `yaml:"channels,omitempty,flow"`  // names of all channels that there are to be; another one is a slip
	Key      string   `yaml:"key,omitempty"`            // private key to sign with, as --key takes it
	Expires  string   `yaml:"expires,omitempty"`        // how long clients may believe a channel, as --expires takes it
	Within   string   `yaml:"refresh-within,omitempty"` // a channel that was signed longer ago is not signed anew
	Deltas   *int     `yaml:"deltas,omitempty"`         // from how many releases deltas are made, as --deltas takes it

	// Artifacts are the files of a release: OS/ARCH[/VARIANT]=FILE, or paths with {os}, {arch}, {variant} and {version}.
	Artifacts []string `yaml:"artifacts,omitempty"`

	Remotes map[string]string `yaml:"remotes,omitempty"` // where the repository is served from, each by a name of one's own

	dir string // where it lies; relative paths in it begin here
}

// maxProject is more than any project file or lock has: a pending document is in a lock, and little else.
const maxProject = 8 << 20

// LoadProject reads theseus.yaml in a folder. An empty project if there is none.
func LoadProject(dir string) (*Project, error) {
	p := &Project{dir: dir}
	path := filepath.Join(dir, ProjectFile)
	if err := decodeYAML(path, p); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
		return nil, ui.Fail(ui.ExitUsage, "%s: %w: see doc/publishing.md for what it may say", path, err)
	}
	if err := p.Check(); err != nil {
		return nil, ui.Usage("%s: %w", path, err)
	}
	return p, nil
}

// Check judges what a project says.
func (p *Project) Check() (err error) {
	switch {
	case p.App != "" && release.ValidApp(p.App) != nil:
		err = release.ValidApp(p.App)
	case p.Channel != "" && release.ValidChannel(p.Channel) != nil:
		err = release.ValidChannel(p.Channel)
	}
	for _, pattern := range p.Artifacts {
		err = cmp.Or(err, checkPattern(pattern))
	}
	_, badTime := p.RefreshWithin()
	_, badLifetime := p.Lifetime()
	err = cmp.Or(err, badTime, badLifetime)
	if p.Deltas != nil && *p.Deltas < 0 {
		err = fmt.Errorf("deltas: %d: give 0 for none", *p.Deltas)
	}
	return err
}

// Exists reports whether there is a project file, rather than flags alone.
func (p *Project) Exists() bool {
	_, err := os.Lstat(filepath.Join(p.dir, ProjectFile))
	return err == nil
}

// RefreshWithin is the age from which on a channel is taken for a replay; 0 if the project does not say.
func (p *Project) RefreshWithin() (time.Duration, error) {
	if p.Within == "" {
		return 0, nil
	}
	d, err := ui.ParseSpan(p.Within)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("refresh-within: %q is not a time such as 30d", p.Within)
	}
	return d, nil
}

// Lifetime is how long clients may believe a channel; 0 if the project does not say.
func (p *Project) Lifetime() (time.Duration, error) {
	if p.Expires == "" {
		return 0, nil
	}
	d, err := ParseLifetime(p.Expires)
	if err != nil {
		err = fmt.Errorf("expires: %w", err)
	}
	return d, err
}

// ParseLifetime reads how long clients may believe a channel.
func ParseLifetime(text string) (time.Duration, error) {
	d, err := ui.ParseSpan(text)
	if err != nil || d < time.Second || d > LongestLifetime {
		return 0, fmt.Errorf("%s: want a time from 1s to 3650d, for example 90d or 12h", text)
	}
	return d.Truncate(time.Second), nil
}

// At is a path that the project file names, as seen from the working folder.
func (p *Project) At(path string) string {
	if path == "" || path == "-" || strings.HasPrefix(path, "env:") || store.IsRemote(path) || filepath.IsAbs(path) {
		return path
	}
	if below, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, filepath.FromSlash(below))
		}
	}
	return filepath.Join(p.dir, path)
}

// FromHome is a path as it is written into a project file that people share: from the home on, if it is below that.
func FromHome(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	if below, err := filepath.Rel(home, path); err == nil && filepath.IsAbs(path) && filepath.IsLocal(below) {
		return "~/" + filepath.ToSlash(below)
	}
	return path
}

// Trust is whom the project believes; nil if it does not say.
func (p *Project) Trust() (*verify.Trust, error) {
	if p.Root == "" {
		return nil, nil
	}
	if _, err := verify.ParseKey(p.Root); err == nil {
		return verify.ParseTrust(p.Root)
	}
	path := p.At(p.Root)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the root that %s names: %w", filepath.Join(p.dir, ProjectFile), err)
	}
	t, err := verify.ParseTrust(string(b))
	if err != nil {
		return nil, ui.Fail(ui.ExitUsage, "%s, which %s names as the root: %w", path, filepath.Join(p.dir, ProjectFile), err)
	}
	return t, nil
}

// Save writes a project that was not there before; the error is fs.ErrExist if it is.
func (p *Project) Save() error {
	var b bytes.Buffer
	b.WriteString("# What theseus publishes from this folder. Flags on the command line come before it. Commit it, and theseus.lock.\n")
	if err := encodeYAML(&b, p); err != nil {
		return err
	}
	// Whoever reads it finds all of it or none, so it gets its name when it is whole.
	f, err := durable.Create(p.dir, ProjectFile)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	path := filepath.Join(p.dir, ProjectFile)
	switch err := os.Link(f.Name(), path); {
	case err == nil:
		return durable.Sync(p.dir)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	return durable.Rename(f.Name(), path) // a file system without hard links
}

// MoveRoot makes a trust document the project's root, and a key the one to sign with if one is given. What people have
// written into the file besides stays as it is. Without a project file nothing happens.
func (p *Project) MoveRoot(t *verify.Trust, key string) error {
	if !p.Exists() {
		return nil
	}
	if err := durable.WriteFile(filepath.Join(p.dir, rootFile), t.File, 0o644); err != nil {
		return err
	}
	change := map[string]string{"root": rootFile}
	if key != "" {
		change["key"] = key
	}
	return p.set(change)
}

// set changes members of the project file and keeps its comments and order.
func (p *Project) set(members map[string]string) error {
	path := filepath.Join(p.dir, ProjectFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return ui.Fail(ui.ExitUsage, "%s is not a list of names and values: %w", path, err)
	}
	body, changed := doc.Content[0], false
	for name, value := range members {
		at := -1
		for i := 0; i < len(body.Content); i += 2 {
			if body.Content[i].Value == name {
				at = i + 1
			}
		}
		if at < 0 {
			body.Content = append(body.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, &yaml.Node{Kind: yaml.ScalarNode})
			at = len(body.Content) - 1
		}
		if body.Content[at].Value != value {
			body.Content[at].SetString(value)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	var out bytes.Buffer
	if err := encodeYAML(&out, &doc); err != nil {
		return err
	}
	return durable.WriteFile(path, out.Bytes(), 0o644)
}

// lockText is theseus.lock: one memory for each repository that is published from here, by its place.
type lockText struct {
	Repositories map[string]*Memory `yaml:"repositories"`
}

const lockHead = `# What was signed from this folder, written by theseus. Commit it, so that every machine that publishes knows of it.
# Where two machines have changed it, theseus lock merge OURS THEIRS joins them.
`

// Memory is what is known of a repository, from the lock beside the project file. It writes itself there.
func (p *Project) Memory(ctx context.Context, repo string) (*Memory, error) {
	name, err := p.place(repo)
	if err != nil {
		return nil, err
	}
	all, err := readLock(p.lockPath())
	if err != nil {
		return nil, err
	}
	// Another spelling, or a link, leads to what is known already.
	m, aliases := all.Repositories[name], []string(nil)
	for _, known := range slices.Sorted(maps.Keys(all.Repositories)) {
		if known == name || !SameFolder(p.At(filepath.FromSlash(known)), repo) {
			continue
		}
		if aliases = append(aliases, known); m == nil {
			m = all.Repositories[known]
		} else if err := m.Merge(all.Repositories[known]); err != nil {
			return nil, fmt.Errorf("%s: repositories %s and %s are one folder: %w", p.lockPath(), name, known, err)
		}
	}
	if m == nil {
		m = NewMemory()
	}
	if len(aliases) > 0 && all.Repositories[name] == nil { // it keeps the name that it was given first
		name, aliases = aliases[0], aliases[1:]
	}
	m.save = func() error {
		// Read again: another process may have written of another repository. If that is the project's own folder, it is
		// locked already.
		if !SameFolder(p.dir, repo) {
			lock, err := store.WaitForFolder(ctx, p.dir)
			if err != nil {
				return err
			}
			defer lock.Close()
		}
		all, err := readLock(p.lockPath())
		if err != nil {
			return err
		}
		all.Repositories[name] = m
		for _, alias := range aliases {
			delete(all.Repositories, alias)
		}
		return writeLock(p.lockPath(), all)
	}
	return m, nil
}

func (p *Project) lockPath() string { return filepath.Join(p.dir, LockFile) }

// place is how the lock calls a repository: by its path from the project on, however it is written on the command line.
func (p *Project) place(repo string) (string, error) {
	if store.IsRemote(repo) {
		return repo, nil
	}
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(repo)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(dir, path); err == nil {
		return filepath.ToSlash(rel), nil
	}
	return filepath.ToSlash(path), nil
}

// SameFolder reports whether two paths lead to one folder, through whatever links.
func SameFolder(a, b string) bool {
	if store.IsRemote(a) || store.IsRemote(b) {
		return a == b
	}
	x, err := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	if err != nil || err2 != nil {
		return false
	}
	if x == y {
		return true
	}
	i, err := os.Stat(x)
	j, err2 := os.Stat(y)
	return err == nil && err2 == nil && os.SameFile(i, j)
}

// Apart refuses a repository that has the project in it: anyone who can write there could change what the project believes and
// remembers, and a web server would hand the project's files to anyone who asks.
func (p *Project) Apart(repo string) error {
	if within(p.dir, repo) {
		return ui.Usage("%s and %s would lie in the repository %s, where whoever can write it could change whom you believe: run this in a folder outside of it, or name a folder of its own with --repo", ProjectFile, LockFile, repo)
	}
	return nil
}

// KeyApart refuses a private key in a file of the repository.
func KeyApart(path, repo string) error {
	if within(path, repo) {
		return ui.Usage("the key %s lies in the repository %s, where it is served to everybody: move it out; if it was served already, replace it (doc/operations.md)", path, repo)
	}
	return nil
}

// within reports whether a path leads into a folder, or to it.
func within(path, folder string) bool {
	if store.IsRemote(folder) {
		return false
	}
	at, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(at); err == nil {
		at = real
	}
	for !SameFolder(at, folder) {
		above := filepath.Dir(at)
		if above == at {
			return false
		}
		at = above
	}
	return true
}

func readLock(path string) (*lockText, error) {
	all := &lockText{}
	err := decodeYAML(path, all)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Fail(ui.ExitError, "%s: %w: restore it from your version control, or join two versions with theseus lock merge", path, err)
	}
	if err == nil && all.Repositories == nil {
		return nil, ui.Fail(ui.ExitError, "%s is empty, and was not when it was written: restore it from your version control", path)
	}
	if all.Repositories == nil {
		all.Repositories = map[string]*Memory{}
	}
	for name, m := range all.Repositories {
		err := errors.New("there is no entry")
		if m != nil {
			err = m.check()
		}
		if err != nil {
			return nil, ui.Fail(ui.ExitError, "%s: repository %s: %w: restore it from your version control", path, name, err)
		}
	}
	return all, nil
}

func writeLock(path string, all *lockText) error {
	var b bytes.Buffer
	b.WriteString(lockHead)
	if err := encodeYAML(&b, all); err != nil {
		return err
	}
	return durable.WriteFile(path, b.Bytes(), 0o644)
}

// MergeLocks joins two versions of theseus.lock into the first.
func MergeLocks(ours, theirs string) error {
	for _, path := range []string{ours, theirs} {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	a, err := readLock(ours)
	if err != nil {
		return err
	}
	b, err := readLock(theirs)
	if err != nil {
		return err
	}
	for name, m := range b.Repositories {
		if a.Repositories[name] == nil {
			a.Repositories[name] = m
		} else if err := a.Repositories[name].Merge(m); err != nil {
			return fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return writeLock(ours, a)
}

// decodeYAML reads one YAML document that has no member that v does not know.
func decodeYAML(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProject+1))
	if err != nil {
		return err
	}
	if len(b) > maxProject {
		return errors.New("it is too large")
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return errors.New(strings.TrimPrefix(ui.OneLine(err.Error()), "yaml: "))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one document in it")
	}
	return nil
}

func encodeYAML(w io.Writer, v any) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	return errors.Join(e.Encode(v), e.Close())
}
