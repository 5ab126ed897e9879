package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/cmd/theseus/internal/web"
)

func serveCommand() *cobra.Command {
	var dir, listen string
	var quiet, asJSON bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a repository over HTTP",
		Long: `Serves the documents and files of a repository, and nothing else that may be in the folder. Every static web server can
do the same: what matters are the headers. Files under files/ are named by what they hold and may be cached for ever;
everything else must be asked for again each time (no-cache), which an ETag makes cheap. Ranges let clients resume.

The signatures protect what is installed, so plain HTTP on the loopback interface or behind a proxy is fine.`,
		Example: `  theseus serve --repo dl --listen 127.0.0.1:8080`,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), dir, listen, quiet, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "repo", "", "`DIR or bundle` to serve")
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "`ADDRESS` to listen on; port 0 takes a free one")
	f.BoolVar(&quiet, "quiet", false, "do not print a line for each request")
	f.BoolVar(&asJSON, "json", false, `print {"url":"…"} once it listens`)
	return c
}

func serve(ctx context.Context, dir, listen string, quiet, asJSON bool) error {
	if dir == "" {
		return ui.Usage("no repository: give --repo DIR")
	}
	if host, port, err := net.SplitHostPort(listen); err != nil || port == "" {
		return ui.Usage("--listen %s: want HOST:PORT, for example 127.0.0.1:%s", listen, cmp.Or(port, strings.Trim(listen, ":"), host, "8080"))
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		if info, err := os.Stat(filepath.Join(dir, "releases")); err != nil || !info.IsDir() {
			return ui.Fail(ui.ExitError, "%s is no repository: there is no folder releases in it; theseus publish makes one", dir)
		}
	}
	handler, err := web.Open(dir)
	if err != nil {
		return fmt.Errorf("reading the repository: %w", err)
	}
	defer handler.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w: choose another --listen, or stop what listens there", err)
	}
	url := "http://" + l.Addr().String()
	if err := ui.Result(asJSON, map[string]string{"url": url}, func(w io.Writer) {
		fmt.Fprintf(w, "Serving %s at %s (Ctrl-C ends it).\n", dir, url)
	}); err != nil {
		return err
	}
	var h http.Handler = handler
	if !quiet {
		h = web.Logged(h)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// Downloads under way get a moment; clients resume what is cut.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		return s.Close()
	}
	return nil
}
