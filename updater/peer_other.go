//go:build !linux && !darwin && !freebsd

package updater

import "net"

// peerOf returns nil: mode and group of the socket are all that decides here.
func peerOf(net.Conn) (*peer, error) { return nil, nil }
