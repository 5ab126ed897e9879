package conn

import (
	"net"
	"net/http"
	"testing"
	"time"
)

type nothing struct{ net.Conn }

func (nothing) Read(p []byte) (int, error)      { return 1, nil }
func (nothing) SetReadDeadline(time.Time) error { return nil }

// BenchmarkWrappers is what the wrappers add to one HTTP/1 request, on connections of one server: two reads, four
// deadlines, two changes of state, as net/http does them. Compare with -cpu 1,2: it must not grow with the processors.
func BenchmarkWrappers(b *testing.B) {
	t := newTracker(&net.TCPAddr{})
	hook := t.hook(nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := &movable{Conn: nothing{}, t: t}
		t.mu.Lock()
		t.conns[c] = &track{conn: c}
		t.mu.Unlock()
		p := make([]byte, readBuffer)
		for pb.Next() {
			oneRequest(c, hook, p)
		}
	})
}

func oneRequest(c *movable, hook func(net.Conn, http.ConnState), p []byte) {
	c.SetReadDeadline(time.Time{})
	c.Read(p)
	hook(c, http.StateActive)
	c.Read(p[:1])
	c.SetReadDeadline(time.Time{})
	c.SetReadDeadline(time.Time{})
	hook(c, http.StateIdle)
	c.SetReadDeadline(time.Time{})
}
