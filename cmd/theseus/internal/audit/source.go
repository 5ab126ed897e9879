package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
)

// A source is a repository as a verb sees it that only reads: a folder, a URL or a bundle, through the code of clients.
type source struct {
	*fetch.Client
	channels []string      // all of a folder or bundle; of a URL, stable
	folder   *store.Folder // nil if it is none
}

func openSource(name string, allowHTTP bool) (*source, error) {
	if name == "" {
		return nil, ui.Usage("no repository: give --repo with a folder, a URL or a bundle")
	}
	base, err := fetch.Base(name)
	if err != nil {
		return nil, err
	}
	s := &source{Client: &fetch.Client{Sources: []string{base}, AllowHTTP: allowHTTP, UserAgent: "theseus"}}
	if err := s.Check(); err != nil {
		if errors.Is(err, fetch.ErrInsecure) {
			err = fmt.Errorf("%w (--allow-http, if you mean it)", err)
		}
		return nil, ui.Usage("%w", err)
	}
	switch s.channels, err = s.List(); {
	case errors.Is(err, errors.ErrUnsupported):
		s.channels = []string{"stable"}
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("reading the repository: %w", err)
	}
	s.channels = slices.DeleteFunc(s.channels, func(n string) bool { return release.ValidChannel(n) != nil })
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		s.folder = store.ReadFolder(name)
	}
	return s, nil
}
