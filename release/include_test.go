package release

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/verify"
)

// both is a shelf whose channel beta includes stable.
func both(beta, stable *shelf) (c *Channel, err error) {
	beta.channel.Name, beta.channel.Includes = "beta", []string{"stable"}
	return beta.channel.Including(&stable.channel)
}

// Each row says what a client of beta is offered.
func TestIncluding(t *testing.T) {
	for _, row := range []struct {
		name         string
		beta, stable *shelf
		from, want   string
	}{
		{"a newer stable one", newShelf().add("1.1.0-rc.1"), newShelf().add("1.1.0"), "1.1.0-rc.1", "1.1.0"},
		{"a newer one of its own", newShelf().add("1.2.0-rc.1"), newShelf().add("1.1.0"), "1.0.0", "1.2.0-rc.1"},
		{"nothing of its own", newShelf(), newShelf().add("1.1.0"), "1.0.0", "1.1.0"},
		{"its own entry counts: no rollout", newShelf().add("1.1.0"), newShelf().add("1.1.0", rolling), "1.0.0", "1.1.0"},
		{"its own entry counts: paused", newShelf().add("1.1.0", paused), newShelf().add("1.1.0"), "1.0.0", ""},
		{"yanked there", newShelf().add("1.1.0"), newShelf().add("1.1.0", yankedStay), "1.0.0", ""},
		{"yanked here", newShelf().add("1.1.0", yankedStay), newShelf().add("1.1.0"), "1.0.0", ""},
		{"critical there", newShelf().add("1.1.0", rolling), newShelf().add("1.1.0", critical("1.0.1")), "1.0.0", "1.1.0"},
		{"a floor there", newShelf().add("1.2.0-rc.1"), newShelf().add("1.1.0", floor), "1.0.0", "1.1.0"},
		{"sent back there", newShelf(), newShelf().add("1.0.0").add("1.1.0", yankedBack("1.0.0")), "1.1.0", "1.0.0"},
		{"sent back there, to what is withdrawn here", newShelf().add("1.0.0", yankedStay), newShelf().add("1.0.0").add("1.1.0", yankedBack("1.0.0")), "1.1.0", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := both(row.beta, row.stable)
			if err != nil {
				t.Fatal(err)
			}
			row.beta.channel = *c
			offer, _, err := row.beta.include(row.stable).choose(Client{Installed: version(row.from), Installation: "x"})
			if err != nil && !errors.As(err, new(*Nothing)) {
				t.Fatal(err)
			}
			got := ""
			if offer != nil {
				got = offer.Entry.Version.String()
			}
			if got != row.want {
				t.Errorf("offered %q, want %q (%v)", got, row.want, err)
			}
		})
	}
}

// include adds the manifests of another shelf.
func (s *shelf) include(other *shelf) *shelf {
	for v, m := range other.manifests {
		s.manifests[v] = m
	}
	return s
}

func TestIncludingRefuses(t *testing.T) {
	another := newShelf().add("1.1.0", func(e *Entry) { e.Manifest = verify.ID{Size: 2} })
	if _, err := both(newShelf().add("1.1.0"), another); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("another manifest of one version: %v", err)
	}
	if _, err := both(newShelf().add("1.1.0-RC.1"), newShelf().add("1.1.0-rc.1")); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("versions that differ by case: %v", err)
	}
	other := newShelf()
	other.channel.App = "other"
	if _, err := both(newShelf(), other); !errors.Is(err, ErrChannel) {
		t.Errorf("another app: %v", err)
	}
	other = newShelf()
	other.channel.Name = "nightly"
	if _, err := both(newShelf(), other); !errors.Is(err, ErrChannel) {
		t.Errorf("a channel that is not included: %v", err)
	}
}

// The documents that are put together stay as they are.
func TestIncludingChangesNothing(t *testing.T) {
	beta, stable := newShelf().add("1.1.0").add("1.2.0"), newShelf().add("1.1.0", yankedUp, critical("1.1.0"))
	before := fmt.Sprintf("%+v %+v", beta.channel.Entries, stable.channel.Entries)
	c, err := both(beta, stable)
	if err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprintf("%+v %+v", beta.channel.Entries, stable.channel.Entries); after != before {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
	if e := c.Entry(version("1.1.0")); e.Yanked == nil || !e.Critical.Equal(version("1.1.0")) || strings.Join(e.Requires, " ") != "yanked" {
		t.Errorf("%+v", e)
	}
}
