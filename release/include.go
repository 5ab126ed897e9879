package release

import (
	"fmt"
	"slices"
	"strings"
)

// Including returns c with the entries of the channels that it includes, for Select. Each of them was opened, and
// judged by Follows and Fresh, on its own; what they include in turn does not count.
//
// Where a version is listed more than once, all of them must name the same manifest, or the error is ErrAmbiguous. The
// entry of c counts; among others the one that is included first. But what is yanked in any of them is withdrawn,
// because a bad release is bad in every channel, and of what is critical the highest counts.
func (c *Channel) Including(included ...*Channel) (*Channel, error) {
	all := *c
	all.Entries = slices.Clone(c.Entries)
	for _, other := range included {
		if other.App != c.App || !slices.Contains(c.Includes, other.Name) {
			return nil, fmt.Errorf("channel %s of %s does not include %s of %s: %w", c.Name, c.App, other.Name, other.App, ErrChannel)
		}
		for _, e := range other.Entries {
			i := slices.IndexFunc(all.Entries, func(o Entry) bool { return strings.EqualFold(o.Version.String(), e.Version.String()) })
			if i < 0 {
				all.Entries = append(all.Entries, e)
				continue
			}
			mine := &all.Entries[i]
			if mine.Manifest != e.Manifest || !mine.Version.Equal(e.Version) {
				return nil, ambiguous("channels %s and %s both list %s, and mean different releases", c.Name, other.Name, e.Version)
			}
			if mine.Yanked == nil && e.Yanked != nil {
				mine.Yanked = e.Yanked
				mine.Requires = append(slices.Clone(mine.Requires), "yanked")
			}
			if e.Critical != nil && (mine.Critical == nil || mine.Critical.LessThan(e.Critical)) {
				mine.Critical = e.Critical
			}
		}
	}
	order(all.Entries, newestFirst)
	return &all, nil
}
