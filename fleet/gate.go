package fleet

import (
	"context"
	"errors"

	"github.com/theseus-go/theseus/updater"
)

// Gate is the client as one of updater.Options.Gates. The machine's id is Client.ID or its installation's, which a machine
// that was copied from another one shares with it until it is installed anew: give those an ID. A server that does not
// answer holds updates back.
func (c *Client) Gate() updater.Gate { return gate{c} }

type gate struct{ c *Client }

func turnOf(m updater.Move) Turn {
	return Turn{Installation: m.Installation, App: m.App, From: m.From, To: m.To, Critical: m.Critical}
}

func (g gate) Enter(ctx context.Context, m updater.Move) error {
	err := g.c.Enter(ctx, turnOf(m))
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return &updater.Held{Kind: string(r.Kind), Reason: r.Reason, After: r.After}
	}
	return err
}

func (g gate) Leave(ctx context.Context, m updater.Move, o updater.Outcome) error {
	outcome := Stopped
	switch o.Name {
	case "ok":
		outcome = Proved
	case "undone":
		outcome = Undone
	}
	return g.c.Leave(ctx, turnOf(m), outcome, o.Error)
}
