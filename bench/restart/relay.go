package main

import (
	"net"
	"sync"
	"time"
)

// newRelay passes bytes on in both directions, each a while later: a network between client and server. An end travels
// as late as the bytes before it.
func newRelay(network, to string, oneWay time.Duration) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				time.Sleep(oneWay)
				b, err := net.Dial(network, to)
				if err != nil {
					a.Close()
					return
				}
				var wg sync.WaitGroup
				wg.Go(func() { later(b, a, oneWay) })
				wg.Go(func() { later(a, b, oneWay) })
				wg.Wait()
				a.Close()
				b.Close()
			}()
		}
	}()
	return ln, nil
}

type parcel struct {
	at   time.Time
	data []byte // nil: the end
}

func later(to, from net.Conn, oneWay time.Duration) {
	queue := make(chan parcel, 1024)
	go func() {
		defer close(queue)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				queue <- parcel{time.Now().Add(oneWay), b[:n]}
			}
			if err != nil {
				queue <- parcel{at: time.Now().Add(oneWay)}
				return
			}
		}
	}()
	for p := range queue {
		time.Sleep(time.Until(p.at))
		if p.data == nil {
			if c, ok := to.(interface{ CloseWrite() error }); ok {
				c.CloseWrite()
			}
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			from.Close() // ends the reader
		}
	}
}
