package publisher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// ToSign is a document to which a holder adds a signature, and why it may have one.
type ToSign struct {
	Name   string // what it is called in messages
	File   []byte
	SHA256 *verify.Digest // of the text that is meant; nil: not said
	First  bool           // a trust document may be the first that this holder sees
	Again  *Release       // what a manifest is rebuilt from; nil or without artifacts: nothing
}

// Sign adds signatures to a document for which the pinned root, a hash that a person names, or files of this machine
// account. What merely lies in a repository gets none. Options.Root is the newest trust document that the holder knows, and
// may be nil for a hash or with First; Options.Store may be nil where there is no repository.
func Sign(ctx context.Context, o Options, d ToSign) (file []byte, claims *Claims, err error) {
	file = d.File
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) { // a draft as a person edits it
		draft, err := verify.ParseTrustDraft(file)
		if err != nil {
			return nil, nil, ui.Fail(ui.ExitRefused, "%s: %w", d.Name, err)
		}
		if file, err = verify.Text(verify.TypeTrust, draft); err != nil {
			return nil, nil, err
		}
	}
	if claims, err = peekUnsigned(file); err != nil {
		return nil, nil, ui.Fail(ui.ExitRefused, "%s: %w", d.Name, err)
	}
	if d.SHA256 != nil && *d.SHA256 != claims.ID.SHA256 {
		return nil, nil, ui.Fail(ui.ExitRefused, "%s has SHA-256 %s, and --sha256 names another document: ask whoever gave you the hash", d.Name, claims.ID.SHA256)
	}
	if text, ok := strings.CutSuffix(path.Base(filepath.ToSlash(d.Name)), ".manifest"); ok && (claims.Type != verify.TypeManifest || claims.Version != text) {
		return nil, nil, ui.Fail(ui.ExitRefused, "%s is %s: somebody exchanged the file; restore it from your backup", d.Name, claims)
	}
	if err := mayBeSigned(ctx, o, d, file, claims); err != nil {
		return nil, nil, err
	}
	for _, s := range o.Signers {
		if file, err = verify.AddSignature(file, s); err != nil {
			return nil, nil, ui.Fail(ui.ExitRefused, "%s: %w", d.Name, err)
		}
	}
	return file, claims, nil
}

// peekUnsigned is Peek, also for a text that nobody has signed yet.
func peekUnsigned(file []byte) (*Claims, error) {
	text, _, err := verify.Split(file)
	if err != nil {
		if _, draft := verify.ParseTrustDraft(file); draft != nil {
			return nil, err
		}
		text = file
	}
	return PeekText(text)
}

func mayBeSigned(ctx context.Context, o Options, d ToSign, file []byte, claims *Claims) error {
	if o.Root == nil && d.SHA256 == nil && !(d.First && claims.Type == verify.TypeTrust) {
		return noRoot()
	}
	var p *Publisher
	if o.Root != nil {
		if o.Store == nil {
			o.Store = nowhere{}
			o.App = claims.App // compared with the root's below
		}
		if o.Root.App != "" && o.Root.App != claims.App {
			return ui.Fail(ui.ExitRefused, "%s is of app %q, and the root is of %q: these two do not belong together", d.Name, ui.Clean(claims.App), o.Root.App)
		}
		var err error
		if p, err = prepare(ctx, o); err != nil {
			return err
		}
	}
	switch claims.Type {
	case verify.TypeTrust:
		if p == nil {
			return nil // First, or the hash says which
		}
		return p.mayFollow(d, file)
	case verify.TypeManifest:
		if d.SHA256 != nil {
			return nil
		}
		return p.accountsFor(ctx, d, file, claims)
	}
	if d.SHA256 == nil {
		return ui.Fail(ui.ExitRefused, "%s is a %s, which theseus publish and refresh sign themselves: to add a signature to exactly this one, look at it (theseus inspect) and name it with --sha256 %s", d.Name, ui.Clean(string(claims.Type)), claims.ID.SHA256)
	}
	return nil
}

// mayFollow checks that a trust document follows the newest one, or is one that was followed already.
func (p *Publisher) mayFollow(d ToSign, file []byte) error {
	draft, err := verify.ParseTrustDraft(file)
	if err != nil {
		return ui.Fail(ui.ExitRefused, "%s: %w", d.Name, err)
	}
	if t := p.Followed(draft.Version); t != nil && t.Version > 0 {
		if sameText(t.File, file) {
			return nil
		}
		return ui.Fail(ui.ExitRefused, "%s is trust document %d, and the one that follows from the root is another: somebody exchanged one of the two; compare them with the other holders", d.Name, draft.Version)
	}
	_, err = CompareTrust(p.trust, file, d.Name, p.now)
	return err
}

// accountsFor checks that enough release keys have signed a manifest already, or that local files give the same manifest.
func (p *Publisher) accountsFor(ctx context.Context, d ToSign, file []byte, claims *Claims) error {
	text, _ := claims.Version.(string)
	version, err := release.ParseVersion(text)
	if err != nil {
		return ui.Fail(ui.ExitRefused, "%s: %w", d.Name, err)
	}
	if _, err := openManifest(file, p.trust.Release, p.app, version); err == nil {
		return nil
	} else if d.Again == nil || len(d.Again.Artifacts) == 0 {
		return ui.Fail(ui.ExitRefused, "%s is not signed by enough of the release keys that the root names, so nothing here says what it stands for: give the files with --artifact OS/ARCH=FILE, or the hash that its maker told you with --sha256: %w", d.Name, err)
	}
	m, err := openManifest(file, p.anyRelease(), p.app, version)
	if err != nil {
		return ui.Fail(ui.ExitRefused, "%s: %w", d.Name, err)
	}
	again := *d.Again
	again.Version = version
	if len(again.Artifacts) != len(m.Artifacts) {
		return ui.Fail(ui.ExitRefused, "%s is for %s, and --artifact names %d: give all of them", d.Name, ui.Plural(len(m.Artifacts), "platform"), len(again.Artifacts))
	}
	for _, f := range again.Artifacts {
		src, id, err := f.open(ctx)
		if err != nil {
			return err
		}
		src.Close()
		if !slices.ContainsFunc(m.Artifacts, func(a release.Artifact) bool { return a.Platform == f.Platform && a.File == id }) {
			return ui.Fail(ui.ExitRefused, "%s names another file for %s than %s: do not sign it before you know which of the two is the release", d.Name, f.Platform, f.Path)
		}
	}
	return p.rebuild(ctx, m, file, &again)
}

// anyRelease is satisfied by one release key of the root or of what follows from it: enough to read what is then compared
// with local files.
func (p *Publisher) anyRelease() verify.Keys {
	var all []verify.Key
	for _, t := range p.chain {
		for _, k := range t.Release.All() {
			if !slices.ContainsFunc(all, k.Equal) {
				all = append(all, k)
			}
		}
	}
	keys, err := verify.NewKeys(1, all...)
	if err != nil {
		return verify.Keys{} // cannot be: a trust document has release keys; nobody is trusted
	}
	return keys
}

// nowhere is a repository that is not here: holders of offline keys have the document alone.
type nowhere struct{}

func (nowhere) Get(context.Context, string) (io.ReadCloser, Version, error) {
	return nil, Nothing, fs.ErrNotExist
}

func (nowhere) Put(context.Context, string, io.Reader, int64, Version) error {
	return errors.ErrUnsupported
}

func (nowhere) Delete(context.Context, string) error                 { return errors.ErrUnsupported }
func (nowhere) List(context.Context, string) ([]store.Object, error) { return nil, nil }
func (nowhere) String() string                                       { return "the repository" }
