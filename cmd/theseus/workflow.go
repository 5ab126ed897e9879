package main

import (
	"bytes"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

//go:embed workflow.yml.tmpl
var workflowText string

var workflow = template.Must(template.New("").Delims("<<", ">>").Parse(workflowText))

// writeWorkflow writes the workflow of a project, which must not be there yet.
func writeWorkflow(p *publisher.Project, goreleaser bool) (path string, err error) {
	if len(p.Remotes) != 1 {
		return "", ui.Usage("a workflow needs to know where the repository is served from: write one address into %s under remotes", publisher.ProjectFile)
	}
	var b bytes.Buffer
	v := struct {
		App, Remote string
		GoReleaser  bool
	}{App: p.App, GoReleaser: goreleaser}
	for _, v.Remote = range p.Remotes {
		if strings.ContainsFunc(v.Remote, func(r rune) bool { return r < ' ' || r == '\'' }) {
			return "", ui.Usage("the remote %q cannot stand in a workflow: write it without quotes", v.Remote)
		}
	}
	if err := workflow.Execute(&b, v); err != nil {
		return "", err
	}
	path = filepath.Join(".github", "workflows", "theseus.yml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, writeNew(path, b.String(), 0o644, "edit it, or move it away")
}
