package publisher

import (
	"context"
	"slices"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// Refresh signs channels again with the same content; all of the repository if none is named.
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
	for _, name := range names {
		known := p.memory.Channels[name]
		if !slices.Contains(all, name) && known == nil {
			return reports, noChannel(name, all)
		}
		old, err := p.base(ctx, name)
		if err != nil {
			return reports, err
		}
		if old.Channel == nil {
			return reports, ui.Fail(ui.ExitError, "%s is not there, and a refresh cannot make it again: publish a release into it", p.path(name))
		}
		next := old.next(name)
		if err := p.put(ctx, next, old, old.lifetime(lifetime)); err != nil {
			return reports, err
		}
		reports = append(reports, reportChannel(next, true))
	}
	return reports, nil
}
