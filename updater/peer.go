package updater

import (
	"context"
	"net"
	"os"
	"slices"
)

type peerKey struct{}

// withPeer keeps for the requests of a connection why its peer is not served; "" if it is, or if the system does not tell.
func (u *Updater) withPeer(ctx context.Context, c net.Conn) context.Context {
	if c.LocalAddr() == nil || c.LocalAddr().Network() != "unix" {
		return ctx
	}
	p, err := peerOf(c)
	return context.WithValue(ctx, peerKey{}, u.unknown(p, err))
}

// unknown says why a peer is not served. Mode and group of the socket decide first; this counts where others may connect, as
// to a socket that a service manager has made with its own mode.
func (u *Updater) unknown(p *peer, err error) string {
	switch {
	case err != nil:
		return "the system does not say who asks"
	case p == nil: // it has no way to say it
		return ""
	case p.uid == overflow("uid"):
		return "who asks is nobody that this machine knows"
	case p.uid == 0 || p.uid == uint32(os.Geteuid()):
		return ""
	case u.opts.adminGroup != nil && *u.opts.adminGroup != overflow("gid") && slices.Contains(p.gids, *u.opts.adminGroup):
		return ""
	}
	return "only root, the user that this program runs as, and the members of Options.AdminGroup are served without Options.AdminToken"
}
