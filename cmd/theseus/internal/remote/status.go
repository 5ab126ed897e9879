package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

// Status is how a repository stands in the folder in which it is signed and wherever it is served from.
type Status struct {
	OK     bool    `json:"ok"`
	App    string  `json:"app"`
	Places []Place `json:"places"`
	code   int
}

// Place is the folder, or a remote.
type Place struct {
	Place    string          `json:"place"`
	Trust    int             `json:"trust"` // version of the newest trust document that follows from the root; 0 is the bare key
	Channels []ChannelStatus `json:"channels"`
	Problem  string          `json:"problem,omitempty"` // why nothing is known of it
}

// ChannelStatus is a channel in one place.
type ChannelStatus struct {
	Channel  string          `json:"channel"`
	Sequence int64           `json:"sequence"`
	Issued   time.Time       `json:"issued"`
	Expires  time.Time       `json:"expires"`
	Releases []ReleaseStatus `json:"releases"`
	Problem  string          `json:"problem,omitempty"` // what an operator has to do something about
	soon     bool            // expires within the time that was asked about
}

// ReleaseStatus is a release that a channel lists.
type ReleaseStatus struct {
	Version  string `json:"version"`
	Share    int    `json:"share"` // of installations that are offered it now, in millionths
	Paused   string `json:"paused,omitempty"`
	Yanked   string `json:"yanked,omitempty"`
	Critical string `json:"critical,omitempty"`
	Floor    bool   `json:"floor,omitempty"`
}

// Exit is the exit code: that of the first problem.
func (s *Status) Exit() error {
	if s.code == 0 {
		return nil
	}
	return ui.Silent(s.code)
}

func (s *Status) fail(code int) {
	if s.code == 0 {
		s.code = code
	}
}

// Print says it on one screen.
func (s *Status) Print(w io.Writer) {
	paint := func(text, colour string) string {
		if f, ok := w.(*os.File); ok && ui.Colours(f) {
			return "\x1b[" + colour + "m" + text + "\x1b[0m"
		}
		return text
	}
	const red, yellow, green = "31", "33", "32"
	for i, p := range s.Places {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if p.Problem != "" {
			fmt.Fprintf(w, "%s: %s\n", p.Place, paint(p.Problem, red))
			continue
		}
		fmt.Fprintf(w, "%s of %s, trust document %d\n", p.Place, s.App, p.Trust)
		for _, c := range p.Channels {
			colour := green
			if c.soon {
				colour = yellow
			}
			if c.Problem != "" {
				colour = red
			}
			if c.Sequence > 0 {
				fmt.Fprintf(w, "  %s: sequence %d, %s\n", c.Channel, c.Sequence, paint(expiry(c.Expires), colour))
			} else {
				fmt.Fprintf(w, "  %s\n", c.Channel)
			}
			if c.Problem != "" {
				fmt.Fprintf(w, "    %s\n", paint(c.Problem, red))
			}
			ui.Table(w, func(w io.Writer) {
				for _, r := range c.Releases {
					fmt.Fprintf(w, "    %s\t%s\n", r.Version, r.words())
				}
			})
		}
	}
}

func expiry(t time.Time) string {
	left := time.Until(t)
	if left <= 0 {
		return "expired on " + ui.Deadline(t)
	}
	return fmt.Sprintf("expires in %s, on %s", ui.Span(left), ui.Deadline(t))
}

func (r ReleaseStatus) words() string {
	text := fmt.Sprintf("%d.%02d %%", r.Share/10000, r.Share/100%100)
	switch {
	case r.Yanked != "":
		text = "withdrawn: " + r.Yanked
	case r.Paused != "":
		text = "paused: " + r.Paused
	case r.Share == 1_000_000:
		text = "everybody"
	}
	if r.Critical != "" {
		text += ", critical below " + r.Critical
	}
	if r.Floor {
		text += ", a step"
	}
	return text
}

// Look says how the repository in the folder of o and its remotes stand. soon is how long before it expires a channel is a
// problem. What does not answer is a line of the result.
func Look(ctx context.Context, o publisher.Options, remotes []string, open func(address string) (*Source, error), soon time.Duration) (*Status, error) {
	s := &Status{App: o.App, Places: []Place{}}
	var ours *place
	if o.Store != nil {
		ours = s.place(ctx, o, o.Store.String(), nil, soon)
		s.Places = append(s.Places, ours.Place)
	}
	for _, address := range remotes {
		from, err := open(address)
		if err != nil {
			s.fail(ui.ExitCode(err))
			s.Places = append(s.Places, Place{Place: address, Problem: ui.OneLine(ui.Sentence(err))})
			continue
		}
		there := o
		there.Store = asStore{from}
		s.Places = append(s.Places, s.place(ctx, there, from.String(), ours, soon).Place)
		from.Close()
	}
	s.OK = s.code == 0
	return s, ctx.Err()
}

// place is a place, and its channels as they were opened.
type place struct {
	Place
	served map[string]*publisher.Served
}

// place looks at one place. ours, if not nil, is what the folder has.
func (s *Status) place(ctx context.Context, o publisher.Options, name string, ours *place, soon time.Duration) *place {
	p := &place{Place: Place{Place: name, Channels: []ChannelStatus{}}, served: map[string]*publisher.Served{}}
	stop := func(err error) *place {
		s.fail(ui.ExitCode(err))
		p.Problem = ui.OneLine(ui.Sentence(err))
		return p
	}
	view, err := publisher.Look(ctx, o)
	if err != nil {
		return stop(err)
	}
	s.App, p.Trust = view.App(), view.Trust().Version
	if t := view.Trust(); t.Expired(time.Now()) {
		return stop(ui.Fail(ui.ExitRefused, "the trust document %d expired on %s: clients refuse everything until its successor is published (theseus trust init)", t.Version, ui.Deadline(t.Expires)))
	}
	names, err := view.Channels(ctx)
	if err != nil {
		return stop(err)
	}
	for _, channel := range names {
		c, err := view.Channel(ctx, channel)
		one := ChannelStatus{Channel: channel, Releases: []ReleaseStatus{}}
		if err == nil {
			p.served[channel] = c
			one = describe(c, time.Now())
			err = s.judge(view, c, ours, soon)
			one.soon = time.Until(c.Expires) < soon
		} else if errors.Is(err, fs.ErrNotExist) {
			err = ui.Fail(ui.ExitRefused, "it is not there, and it was signed: theseus push")
		}
		if err != nil {
			s.fail(ui.ExitCode(err))
			one.Problem = ui.OneLine(ui.Sentence(err))
		}
		p.Channels = append(p.Channels, one)
	}
	return p
}

// judge says what an operator has to do something about.
func (s *Status) judge(view *publisher.View, c *publisher.Served, ours *place, soon time.Duration) error {
	if left := time.Until(c.Expires); left <= 0 || left < soon {
		return ui.Fail(ui.ExitRefused, "clients stop believing it: theseus refresh")
	}
	if ours != nil {
		here := ours.served[c.Name]
		switch {
		case here == nil:
			return ui.Fail(ui.ExitRefused, "it is not in the folder: theseus pull")
		case here.ID != c.ID && here.Sequence > c.Sequence:
			return ui.Fail(ui.ExitRefused, "the folder has sequence %d: theseus push", here.Sequence)
		case here.ID != c.ID:
			return ui.Fail(ui.ExitRefused, "the folder has sequence %d: theseus pull", here.Sequence)
		}
	}
	return view.Judge(c)
}

func describe(c *publisher.Served, now time.Time) ChannelStatus {
	s := ChannelStatus{Channel: c.Name, Sequence: c.Sequence, Issued: c.Issued, Expires: c.Expires, Releases: []ReleaseStatus{}}
	for _, e := range c.Entries {
		r := ReleaseStatus{Version: e.Version.String(), Share: share(e, now), Paused: e.Paused, Floor: e.Floor}
		if e.Yanked != nil {
			r.Yanked = e.Yanked.Reason
		}
		if e.Critical != nil {
			r.Critical = e.Critical.String()
		}
		s.Releases = append(s.Releases, r)
	}
	return s
}

// share is how many are offered a release now, in millionths.
func share(e release.Entry, now time.Time) int {
	switch {
	case e.Yanked != nil || e.Paused != "":
		return 0
	case len(e.Rollout) == 0:
		return 1_000_000
	}
	return e.Rollout.Share(now)
}
