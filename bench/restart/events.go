package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// events is clients of an event stream, each on a connection of its own. A stream has to end with a goodbye, and its end is
// timed from the moment in which the process began to drain.
func events(l *load) (func() error, error) {
	for range l.set.clients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				begun := time.Now()
				took, err := l.follow()
				if errors.Is(err, errStopped) {
					return
				}
				l.count(&l.kept, begun, true, err)
				if err == nil {
					l.mu.Lock()
					l.ends = append(l.ends, took)
					l.mu.Unlock()
				}
			}
		})
	}
	return nil, nil
}

var errStopped = errors.New("the measurement is over")

// follow reads one stream to its end.
func (l *load) follow() (took time.Duration, err error) {
	c, err := l.dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-l.stop:
			c.Close()
		case <-ended:
		}
	}()
	if _, err := io.WriteString(c, "GET /events HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	var last string
	if err == nil {
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				last = text
				var pid int
				if _, err := fmt.Sscan(text, &pid); err == nil {
					l.answered(pid)
				}
			}
		}
		err = lines.Err()
	}
	select {
	case <-l.stop:
		return 0, errStopped
	default:
	}
	var began int64
	if err == nil {
		if _, err = fmt.Sscanf(last, "goodbye %d", &began); err != nil {
			err = fmt.Errorf("the stream ended with %q", last)
		}
	}
	return time.Since(time.Unix(0, began)), err
}
