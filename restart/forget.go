package restart

import (
	"net"
	"os"
	"strings"
)

// forget lets go of a socket that the program has closed: the next process does not get it, and if no other process has
// it, its address is free.
func (r *Restarter) forget(id socketID) {
	r.sockets.remove(id)
	if r.upg == nil || !forgetFile(r.upg, id.kind, id.network, id.address) {
		return
	}
	alone := r.Status()
	if strings.HasPrefix(id.network, "unix") && !strings.HasPrefix(id.address, "@") && alone.Phase == PhaseServing && !alone.Predecessor {
		os.Remove(id.address) // as package net does
	}
}

// keepAlive returns what sets the keep-alive probes of an accepted connection. Package net keeps them with the listener that
// it has opened, so that one that is inherited does not know them. Nil: the default is right.
func keepAlive(lc *net.ListenConfig) func(net.Conn) {
	switch {
	case lc.KeepAliveConfig.Enable:
		return func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.SetKeepAliveConfig(lc.KeepAliveConfig)
			}
		}
	case lc.KeepAlive < 0:
		return func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.SetKeepAlive(false)
			}
		}
	case lc.KeepAlive > 0:
		return func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: lc.KeepAlive})
			}
		}
	}
	return nil
}
