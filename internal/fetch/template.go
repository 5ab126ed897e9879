package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/theseus-go/theseus/internal/name"
)

// template is where the files of a repository lie that keeps them apart from its documents: with each release, or on
// another server.
type template struct {
	text string // an URL with {name} and perhaps {version} in it
	web  *web
}

// template judges Files. No error repeats a query.
func (c *Client) template(w *web) (*template, error) {
	if c.Files == "" {
		return nil, nil
	}
	if !strings.Contains(c.Files, "{name}") {
		return nil, errors.New("the URL of the files names no {name}; it should look like https://dl.example.com/v{version}/{name}")
	}
	t := &template{c.Files, w}
	at, err := t.fill("1.0.0", "name")
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(at.String(), "{}") || strings.Contains(at.EscapedPath(), "%7B") || strings.Contains(at.EscapedPath(), "%7D") {
		return nil, errors.New("the URL of the files may have {name} and {version} in braces, and nothing else")
	}
	plain := *at // judged as the base URL of a source is
	plain.RawQuery, plain.ForceQuery = "", false
	if strings.Contains(c.Files, "#") {
		return nil, errors.New("the URL of the files has a fragment, which no server sees")
	}
	if at, err = c.parse(plain.String()); err != nil {
		return nil, fmt.Errorf("where the files are: %w", err)
	}
	if at.Scheme == "file" {
		return nil, errors.New("where the files are: a folder has them below it; name the folder as the source")
	}
	return t, nil
}

// fill is the URL of a file. Neither word needs escaping: they are of the alphabets of a repository.
func (t *template) fill(version, file string) (*url.URL, error) {
	at, err := url.Parse(strings.NewReplacer("{version}", version, "{name}", file).Replace(t.text))
	if err != nil {
		return nil, errors.New("where the files are is not a URL; it should look like https://dl.example.com/v{version}/{name}")
	}
	return at, nil
}

// String is the template without its query, in which a secret may be.
func (t *template) String() string {
	before, _, _ := strings.Cut(t.text, "?")
	return before
}

// of is the template for one release, as a source.
func (t *template) of(version string) source { return &filled{t, version} }

type filled struct {
	*template
	version string
}

func (f *filled) get(ctx context.Context, path string, q query) (*reply, error) {
	if !name.Path(f.version) {
		return nil, fmt.Errorf("%q is not the version of a release", f.version)
	}
	at, err := f.fill(f.version, strings.TrimPrefix(path, "files/"))
	if err != nil {
		return nil, err
	}
	return (&site{name: f.String(), web: f.web}).request(ctx, at, q)
}
