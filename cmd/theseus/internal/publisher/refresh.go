package publisher

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// Refresh signs channels again with the same content; all of the repository if none is named. One that cannot be refreshed
// keeps none of the others from it: the reports are of those that were, and the error is that of the first that was not.
func (p *Publisher) Refresh(ctx context.Context, names []string, lifetime time.Duration) (reports []ChannelReport, err error) {
	all, err := p.channels(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = all
		for name, known := range p.memory.Channels { // what was removed is refused, not forgotten
			if known.Sequence > 0 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	if len(names) == 0 {
		return nil, ui.Fail(ui.ExitError, "%s has no channel to refresh, and none is remembered: is it the right repository? If its channels were lost, restore them from your backup", p.repository)
	}
	var failed []error
	for _, name := range names {
		report, err := p.refresh(ctx, name, all, lifetime)
		if err != nil {
			failed = append(failed, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		reports = append(reports, report)
	}
	if len(failed) > 1 {
		for _, err := range failed[1:] {
			p.say(fmt.Sprintf("not refreshed: %v", err))
		}
	}
	if len(failed) > 0 {
		return reports, failed[0] // with its exit code
	}
	return reports, nil
}

func (p *Publisher) refresh(ctx context.Context, name string, all []string, lifetime time.Duration) (ChannelReport, error) {
	if !slices.Contains(all, name) && p.memory.Channels[name] == nil {
		return ChannelReport{}, noChannel(name, all)
	}
	old, err := p.base(ctx, name)
	if err != nil {
		return ChannelReport{}, err
	}
	if old.Channel == nil {
		return ChannelReport{}, ui.Fail(ui.ExitError, "%s is not there, and a refresh cannot make it again: publish a release into it", p.path(name))
	}
	next := old.next(name)
	if err := p.put(ctx, next, old, old.lifetime(lifetime)); err != nil {
		return ChannelReport{}, err
	}
	return reportChannel(next, true), nil
}
