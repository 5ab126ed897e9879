package main

import "os/exec"

// peer is a server to compare with, and the clients that it gets.
type peer struct {
	name     string
	start    func(dir, addr string, set setting) (*process, error)
	load     func(*load) (finish func() error, err error)
	tools    []string // that have to be installed
	tcp      bool     // knows nothing else
	mustHold bool     // it is ours: no failure
	passes   bool     // and its clients never reconnect
}

func (p peer) missing(set setting) string {
	if p.tcp && set.network != "tcp" {
		return "TCP only"
	}
	for _, tool := range p.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	return ""
}

func peers() map[string]peer {
	return map[string]peer{
		"theseus":     {start: ownServer("theseus"), load: http1(false), mustHold: true, passes: true},
		"theseus-tls": {start: ownServer("theseus-tls"), load: http1(true), mustHold: true},
		"tableflip":   {start: ownServer("tableflip"), load: http1(false)}, // as in its README, with http.Server.Shutdown
		"endless":     {start: ownServer("endless"), load: http1(false), tcp: true},
		"overseer":    {start: ownServer("overseer"), load: http1(false), tcp: true},
		"reuseport":   {start: ownServer("reuseport"), load: http1(false), tcp: true}, // overlap of two processes
		"stop-start":  {start: ownServer("stop-start"), load: http1(false)},
		"nginx":       {start: nginx, load: http1(false), tools: []string{"nginx"}, tcp: true},
		"haproxy":     {start: haproxy, load: http1(false), tools: []string{"haproxy"}, tcp: true},

		"theseus-h2":    {start: ownServer("theseus-tls"), load: http2(true), mustHold: true},
		"theseus-h2c":   {start: ownServer("theseus"), load: http2(false), mustHold: true},
		"tableflip-h2":  {start: ownServer("tableflip-tls"), load: http2(true)},
		"tableflip-h2c": {start: ownServer("tableflip"), load: http2(false)},

		"theseus-grpc":          {start: ownServer("theseus-grpc"), load: grpcCalls(1), mustHold: true},
		"theseus-grpc-stream":   {start: ownServer("theseus-grpc"), load: grpcCalls(10), mustHold: true},
		"tableflip-grpc":        {start: ownServer("tableflip-grpc"), load: grpcCalls(1)},
		"tableflip-grpc-stream": {start: ownServer("tableflip-grpc"), load: grpcCalls(10)},

		"theseus-events": {start: ownServer("theseus"), load: events, mustHold: true},

		"theseus-wrk":   {start: ownServer("theseus"), load: wrk, tools: []string{"wrk"}, tcp: true, mustHold: true},
		"tableflip-wrk": {start: ownServer("tableflip"), load: wrk, tools: []string{"wrk"}, tcp: true},
		"nginx-wrk":     {start: nginx, load: wrk, tools: []string{"wrk", "nginx"}, tcp: true},
		"haproxy-wrk":   {start: haproxy, load: wrk, tools: []string{"wrk", "haproxy"}, tcp: true},
	}
}
