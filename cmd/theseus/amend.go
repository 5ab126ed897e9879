package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

// The verbs that change what a channel says about a release that it offers already. Each takes a channel key only: a
// channel can withhold and reorder, never introduce code.

// amendment is one such verb: its flags, and what it does to the entry.
type amendment struct {
	use, short, long, example string
	flags                     func(c *cobra.Command)
	change                    publisher.Change
}

func amendCommand(a amendment) *cobra.Command {
	var o editFlags
	var channel, version string
	c := &cobra.Command{
		Use: a.use, Short: a.short, Long: a.long, Example: a.example,
		RunE: func(c *cobra.Command, _ []string) error {
			var r publisher.ChannelReport
			var said string
			err := amend(c.Context(), &o, channel, version, func(p *publisher.Publisher, channel string, v *semver.Version, lifetime time.Duration) (err error) {
				r, said, err = p.Amend(c.Context(), channel, v, lifetime, a.change)
				return err
			})
			if err != nil {
				return err
			}
			return ui.Result(o.json, r, func(w io.Writer) {
				fmt.Fprintf(w, "Channel %s of %s (sequence %d): %s.\n", r.Channel, r.App, r.Sequence, said)
				fmt.Fprintln(w, o.deadline(r))
			})
		},
	}
	o.add(c)
	c.Flags().StringVar(&channel, "channel", "", "`NAME` of the channel (default: what theseus.yaml says)")
	c.Flags().StringVar(&version, "version", "", "`VERSION` of the release")
	a.flags(c)
	return c
}

// amend finds out which release is meant.
func amend(ctx context.Context, o *editFlags, channel, version string, do func(p *publisher.Publisher, channel string, v *semver.Version, lifetime time.Duration) error) error {
	if err := o.load(); err != nil {
		return err
	}
	if channel == "" && o.own() {
		channel = o.project.Channel
	}
	if channel == "" || version == "" {
		return ui.Usage("--channel and --version say which release this is about: give both")
	}
	v, err := release.ParseVersion(version)
	if err != nil {
		return ui.Usage("--version: %w", err)
	}
	lifetime, err := o.lifetime()
	if err != nil {
		return err
	}
	return o.edit(ctx, func(p *publisher.Publisher) error { return do(p, channel, v, lifetime) })
}

func pauseCommand() *cobra.Command {
	var reason string
	return amendCommand(amendment{
		use:   "pause",
		short: "Offer a release to nobody for the moment",
		long: `Keeps a release from everybody who does not have it yet, until theseus resume. Installations that have it keep it. A pause holds even for
those who ask for the release by hand. The reason is shown to operators.`,
		example: `  theseus pause --repo dl --channel stable --version 1.4.0 \
      --reason "login fails behind a proxy" --key theseus.key`,
		flags: func(c *cobra.Command) {
			c.Flags().StringVar(&reason, "reason", "", "one line `TEXT` for operators (required)")
		},
		change: func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			if reason == "" {
				return "", ui.Usage("--reason is missing: operators will ask why, tell them")
			}
			e.Paused = reason
			return e.Version.String() + " is paused", nil
		},
	})
}

func resumeCommand() *cobra.Command {
	return amendCommand(amendment{
		use:     "resume",
		short:   "Offer a paused release again",
		example: `  theseus resume --repo dl --channel stable --version 1.4.0 --key theseus.key`,
		flags:   func(*cobra.Command) {},
		change: func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			if e.Paused == "" {
				return "", ui.Fail(ui.ExitError, "%s is not paused: nothing to resume", e.Version)
			}
			e.Paused = ""
			return e.Version.String() + " is on offer again", nil
		},
	})
}

func yankCommand() *cobra.Command {
	var reason, back string
	var up, undo bool
	return amendCommand(amendment{
		use:   "yank",
		short: "Withdraw a release, and say what those who have it should do",
		long: `Withdraws a release for good. Nobody installs it any more; who has it already
  stays on it                       (the default),
  takes the next newer one at once  with --up, without waiting for its rollout,
  goes back to a named version      with --back VERSION.

The last is the only signed downgrade there is. It needs that version in the channel, and the publisher's word that it
can read what the withdrawn one has written.`,
		example: `  theseus yank --repo dl --channel stable --version 1.4.0 \
      --reason "corrupts the index" --back 1.3.2 --key theseus.key
  theseus yank --repo dl --channel stable --version 1.4.0 --undo \
      --key theseus.key`,
		flags: func(c *cobra.Command) {
			f := c.Flags()
			f.StringVar(&reason, "reason", "", "one line `TEXT` for operators (required)")
			f.BoolVar(&up, "up", false, "who has it takes the next newer release at once")
			f.StringVar(&back, "back", "", "who has it goes back to this `VERSION`")
			f.BoolVar(&undo, "undo", false, "offer the release again")
		},
		change: func(c *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			switch {
			case undo && (reason != "" || up || back != ""), up && back != "":
				return "", ui.Usage("--undo stands alone, and of --up and --back there is one: see 'theseus yank --help'")
			case undo && e.Yanked == nil:
				return "", ui.Fail(ui.ExitError, "%s is not yanked: nothing to undo", e.Version)
			case undo:
				e.Yanked = nil
				return e.Version.String() + " is on offer again", nil
			case reason == "":
				return "", ui.Usage("--reason is missing: operators will ask why, tell them")
			}
			return yank(c, e, reason, up, back)
		},
	})
}

func yank(c *release.Channel, e *release.Entry, reason string, up bool, back string) (string, error) {
	y := &release.Yank{Reason: reason, Action: "stay"}
	said := e.Version.String() + " is withdrawn; who has it stays on it"
	switch {
	case up:
		y.Action = "up"
		said = e.Version.String() + " is withdrawn; who has it takes the next newer release at once"
	case back != "":
		to, err := release.ParseVersion(back)
		if err != nil {
			return "", ui.Usage("--back: %w", err)
		}
		if c.Entry(to) == nil {
			return "", ui.Fail(ui.ExitError, "channel %s does not list %s: publish it there first, it lists %s", c.Name, to, strings.Join(publisher.Versions(c), ", "))
		}
		y.Action, y.To = "back", to
		said = fmt.Sprintf("%s is withdrawn; who has it goes back to %s", e.Version, to)
	}
	e.Yanked = y
	return said, nil
}

func rolloutCommand() *cobra.Command {
	var to string
	var allow []string
	return amendCommand(amendment{
		use:   "rollout",
		short: "Say what share of the installations a release is offered to, over time",
		long: `Replaces the rollout of a release. ` + rolloutHelp + `
A person who asks by hand, and an installation for which the release is critical, do not wait for it. Shares never fall:
to stop a rollout, pause the release.`,
		example: `  theseus rollout --repo dl --channel stable --version 1.4.0 \
      --to 5%,25%@24h,100%@72h --key theseus.key
  theseus rollout --repo dl --channel stable --version 1.4.0 --to all \
      --key theseus.key`,
		flags: func(c *cobra.Command) {
			c.Flags().StringVar(&to, "to", "", "`SHARES` over time, or all (required)")
			c.Flags().StringSliceVar(&allow, "allow", nil, "overrule this `CHECK`: smaller-share, for who is still to come")
		},
		change: func(_ *release.Channel, e *release.Entry, now time.Time) (said string, err error) {
			next, err := parseRollout(to, now)
			if err != nil {
				return "", err
			}
			allowed, err := publisher.ParseChecks(allow)
			if err != nil {
				return "", err
			}
			if err := publisher.SharesFall(e.Version.String(), e.Rollout, next, now, allowed); err != nil {
				return "", err
			}
			e.Rollout = next
			return fmt.Sprintf("%s is offered to %s", e.Version, rolloutText(e.Rollout)), nil
		},
	})
}

func markCommand() *cobra.Command {
	var critical string
	var floor, back bool
	var cmd *cobra.Command
	cmd = amendCommand(amendment{
		use:   "mark",
		short: "Mark a release as critical for older ones, as a step that none may skip, or as one to go back to",
		example: `  theseus mark --repo dl --channel stable --version 1.4.1 \
      --critical-below 1.4.1 --key theseus.key
  theseus mark --repo dl --channel stable --version 2.0.0 --floor \
      --key theseus.key`,
		flags: func(c *cobra.Command) {
			addMarks(c, &critical, &floor)
			c.Flags().BoolVar(&back, "return", false, "a person may go back to this release from a later one, by its name and with --allow-downgrade")
		},
		change: func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			f := cmd.Flags()
			if !f.Changed("critical-below") && !f.Changed("floor") && !f.Changed("return") {
				return "", ui.Usage("nothing to mark: give --critical-below, --floor or --return")
			}
			if f.Changed("return") {
				e.Return = back
			}
			if f.Changed("floor") {
				e.Floor = floor
			}
			if f.Changed("critical-below") {
				v, err := parseCritical(critical, e.Version)
				if err != nil {
					return "", err
				}
				e.Critical = v
			}
			return e.Version.String() + " is marked", nil
		},
	})
	return cmd
}

// addMarks adds the flags that publish and mark have in common.
func addMarks(c *cobra.Command, critical *string, floor *bool) {
	c.Flags().StringVar(critical, "critical-below", "", "who is below this `VERSION` has a hole and updates at once, whatever the rollout says; none takes it away")
	c.Flags().BoolVar(floor, "floor", false, "no older installation may skip this release: it comes first, by itself")
}

func parseCritical(s string, itself *semver.Version) (*semver.Version, error) {
	if s == "" || s == "none" {
		return nil, nil
	}
	v, err := release.ParseVersion(s)
	if err != nil {
		return nil, ui.Usage("--critical-below: %w", err)
	}
	if itself.LessThan(v) {
		return nil, ui.Usage("--critical-below %s is above the release itself (%s): it would not mend what it warns of", v, itself)
	}
	return v, nil
}

const rolloutHelp = `SHARES are like 5%,25%@24h,100%@72h: 5 % from now on, rising evenly to 25 % within a
day and to everybody within three. 10% alone is a fixed share, 100%@48h a ramp that begins now with nobody.`

// parseRollout reads SHARE[@AFTER],…; nil for all.
func parseRollout(s string, now time.Time) (release.Rollout, error) {
	if s == "all" {
		return nil, nil
	}
	if s == "" {
		return nil, ui.Usage("no shares are given: want for example 5%%,25%%@24h,100%%@72h, or all")
	}
	var r release.Rollout
	parts := strings.Split(s, ",")
	for i, part := range parts {
		share, after, timed := strings.Cut(part, "@")
		number, percent := strings.CutSuffix(share, "%")
		whole, fraction, _ := strings.Cut(number, ".")
		points, err := strconv.ParseUint(whole+(fraction + "00")[:2], 10, 16)
		at := now
		switch {
		case !percent || err != nil || len(fraction) > 2 || points > 10000:
			return nil, ui.Usage("rollout %q: %q is no share: want a percentage such as 5%%, with at most two decimals", s, share)
		case !timed && i > 0:
			return nil, ui.Usage("rollout %q: from when on %q counts is not said: want for example %s@24h", s, part, part)
		case timed:
			d, err := ui.ParseSpan(after)
			if err != nil || d <= 0 {
				return nil, ui.Usage("rollout %q: %q is no time: want for example 24h or 3d", s, after)
			}
			if at = now.Add(d); i == 0 {
				r = append(r, release.RolloutStep{At: now})
			}
		}
		if i > 0 {
			switch before := r[len(r)-1]; {
			case int(points) < before.BasisPoints:
				return nil, ui.Usage("rollout %q: %s comes after %s, and shares never fall", s, part, parts[i-1])
			case !before.At.Before(at):
				return nil, ui.Usage("rollout %q: %s is not later than %s: give the steps in order of time, counted from now", s, part, parts[i-1])
			}
		}
		r = append(r, release.RolloutStep{At: at, BasisPoints: int(points)})
	}
	if n := len(r); n > 32 {
		return nil, ui.Usage("rollout %q: %d steps, and there can be 32", s, n)
	}
	return r, nil
}

// rolloutText says whom a release is offered to, over time.
func rolloutText(r release.Rollout) string {
	if len(r) == 0 {
		return "everybody"
	}
	var parts []string
	for _, s := range r {
		parts = append(parts, ui.Share(s.BasisPoints*100)+" from "+s.At.UTC().Format("2006-01-02 15:04"))
	}
	if len(parts) == 1 {
		return parts[0] + " UTC on"
	}
	return strings.Join(parts, ", ") + " (UTC), rising evenly in between"
}
