package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/fleet"
)

// remote is the coordinator that a verb talks to.
type remote struct {
	url, tokenFile, ca, app string
	json                    bool
}

const maxAnswer = 16 << 20

func (r *remote) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.url, "url", cmp.Or(os.Getenv("THESEUS_FLEET_URL"), "http://127.0.0.1:8090"), "the coordinator's URL, or THESEUS_FLEET_URL")
	f.StringVar(&r.tokenFile, "token-file", os.Getenv("THESEUS_FLEET_TOKEN_FILE"), "file that holds an operator's or reader's token, or a line \"operator TOKEN\" as --tokens of serve has; or THESEUS_FLEET_TOKEN_FILE")
	f.StringVar(&r.ca, "ca-file", "", "PEM file of certificate authorities to trust in addition to the system's")
	f.StringVar(&r.app, "app", "", "the app, if several have a group of the name")
	f.BoolVar(&r.json, "json", false, "print JSON")
}

// token is the first token of the file that may be used for it.
func (r *remote) token() (string, error) {
	if r.tokenFile == "" {
		return "", errors.New("which token? name its file with --token-file, or THESEUS_FLEET_TOKEN_FILE")
	}
	var token string
	err := lines(r.tokenFile, func(line string) error {
		kind, t, ok := strings.Cut(line, " ")
		if !ok {
			kind, t = "operator", line
		}
		if token == "" && (kind == "operator" || kind == "reader") {
			token = strings.TrimSpace(t)
		}
		return nil
	})
	if err == nil && token == "" {
		err = fmt.Errorf("%s holds no operator's or reader's token", r.tokenFile)
	}
	return token, err
}

func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	token, err := r.token()
	if err != nil {
		return err
	}
	base, err := url.Parse(r.url)
	if err != nil || base.Host == "" {
		return fmt.Errorf("--url %.200q is no URL", r.url)
	}
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if r.ca != "" {
		pem, err := os.ReadFile(r.ca)
		if err != nil {
			return err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate", r.ca)
		}
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Proxy: http.ProxyFromEnvironment}
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	q, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(r.url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var said struct{ Kind, Value string }
		if json.Unmarshal(b, &said) != nil || said.Value == "" {
			said.Value = "the coordinator answers " + res.Status
		}
		return fmt.Errorf("%.300q", said.Value)
	}
	return json.Unmarshal(b, out)
}

type fleetAnswer struct {
	Groups []fleet.Status `json:"groups"`
}

func (r *remote) groups(ctx context.Context, group string) (a fleetAnswer, err error) {
	q := url.Values{}
	if group != "" {
		q.Set("group", group)
	}
	if r.app != "" {
		q.Set("app", r.app)
	}
	err = r.call(ctx, http.MethodGet, "/v1/fleet?"+q.Encode(), nil, &a)
	return a, err
}

func statusCommand() *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use: "status [GROUP]", Short: "Show who runs what, who is on the way, and what has to be done", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := r.groups(c.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			return r.show(c.OutOrStdout(), a.Groups...)
		},
	}
	r.flags(c)
	return c
}

// verbCommand is halt, resume or clear.
func verbCommand(verb string) *cobra.Command {
	var r remote
	var reason string
	c := &cobra.Command{
		Use: verb + " GROUP", Args: cobra.ExactArgs(1),
		Short: map[string]string{
			"halt": "Let no machine of a group in any more", "resume": "End a halt, and forget the failures that led to it",
			"clear": "Forget that a machine has failed or not come back",
		}[verb],
	}
	if verb == "clear" {
		c.Use, c.Args = "clear GROUP ID", cobra.ExactArgs(2)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		in := map[string]string{"app": r.app, "group": args[0], "reason": reason}
		if verb == "clear" {
			in["id"] = args[1]
		}
		var s fleet.Status
		if err := r.call(c.Context(), http.MethodPost, "/v1/"+verb, in, &s); err != nil {
			return err
		}
		return r.show(c.OutOrStdout(), s)
	}
	r.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; it is in the audit log, and a halt's is told to machines")
	return c
}

func (r *remote) show(w io.Writer, groups ...fleet.Status) error {
	for _, g := range groups {
		if r.json {
			if err := json.NewEncoder(w).Encode(g); err != nil {
				return err
			}
			continue
		}
		show(w, g)
	}
	return nil
}

func show(w io.Writer, g fleet.Status) {
	name := g.Group
	if g.App != "" {
		name = g.App + "/" + name
	}
	fmt.Fprintf(w, "%s: %v\n", name, g.Policy)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	defer t.Flush()
	if g.Version != "" {
		fmt.Fprintf(t, "  version\t%s: %d have proved it, wave %d of %d", g.Version, g.Proved, g.Wave, g.Waves)
		if g.Target > 0 {
			fmt.Fprintf(t, " (until %d have)", g.Target)
		}
		if !g.Soaking.IsZero() {
			fmt.Fprintf(t, ", watched until %s", g.Soaking.Local().Format("15:04:05"))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "  slots\t%d of %d taken\n", len(g.Holders), g.Slots)
	for _, h := range g.Holders {
		state := "on its way until " + h.Until.Local().Format("15:04:05")
		if h.Lost {
			state = "has not come back since " + h.Since.Local().Format("2006-01-02 15:04:05")
		}
		fmt.Fprintf(t, "    %s\t%s %s\n", h.ID, cmp.Or(h.Version, "?"), state)
	}
	fmt.Fprintf(t, "  machines\t%d seen in the last month\n", g.Hosts)
	for v, n := range g.Versions {
		fmt.Fprintf(t, "    %s\t%d\n", cmp.Or(v, "unknown"), n)
	}
	for _, f := range g.Failed {
		fmt.Fprintf(t, "  failed\t%s: %s\n", f.ID, f.Reason)
	}
	for _, n := range g.Next {
		do := fmt.Sprintf("theseus-fleet %s %s", n.Verb, g.Group)
		if n.ID != "" {
			do += " " + n.ID
		}
		fmt.Fprintf(t, "  to do\t%s\t(%s)\n", do, n.Why)
	}
}

func watchCommand() *cobra.Command {
	var r remote
	var onHalt string
	var every time.Duration
	c := &cobra.Command{
		Use: "watch [GROUP]", Short: "Wait for halts, and run a command at each", Args: cobra.MaximumNArgs(1),
		Long: `Wait for halts, and run a command at each.

The command is run by sh -c, once for each halt, until it succeeds, with THESEUS_FLEET_APP, THESEUS_FLEET_GROUP,
THESEUS_FLEET_VERSION and THESEUS_FLEET_REASON in its environment. A halt holds back machines that ask a coordinator;
"theseus pause", signed, holds back everybody.`,
		Example: `  theseus-fleet watch web --on-halt 'theseus pause stable "$THESEUS_FLEET_VERSION" && theseus push'`,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := interrupted(c.Context())
			defer cancel()
			handled := map[string]time.Time{}
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				a, err := r.groups(ctx, strings.Join(args, ""))
				if err != nil && ctx.Err() == nil {
					fmt.Fprintln(c.ErrOrStderr(), "theseus-fleet:", err)
				}
				for _, g := range a.Groups {
					key := g.App + "/" + g.Group
					if g.Halted == nil || handled[key].Equal(g.Halted.At) {
						continue
					}
					if err := r.show(c.OutOrStdout(), g); err != nil {
						return err
					}
					if err := atHalt(ctx, c, onHalt, g); err != nil {
						fmt.Fprintln(c.ErrOrStderr(), "theseus-fleet: it is run again:", err)
						continue
					}
					handled[key] = g.Halted.At
				}
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		},
	}
	r.flags(c)
	c.Flags().StringVar(&onHalt, "on-halt", "", "command to run at a halt")
	c.Flags().DurationVar(&every, "every", 5*time.Second, "how often to look")
	return c
}

func atHalt(ctx context.Context, c *cobra.Command, command string, g fleet.Status) error {
	if command == "" {
		return nil
	}
	run := exec.CommandContext(ctx, "sh", "-c", command)
	run.Env = append(os.Environ(), "THESEUS_FLEET_APP="+g.App, "THESEUS_FLEET_GROUP="+g.Group, "THESEUS_FLEET_VERSION="+g.Version, "THESEUS_FLEET_REASON="+g.Halted.Reason)
	run.Stdout, run.Stderr = c.OutOrStdout(), c.ErrOrStderr()
	return run.Run()
}
