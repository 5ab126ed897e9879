//go:build unix

package restart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A link is one end of the control socket between a process and its successor: half of a socket pair, made for one handover
// and inherited by name. It carries messages, and connections with them.
//
// Every message is a record of recordSize bytes: its kind, the length of its text in two bytes, the text, zeros. With
// records of one size a plain stream will do, so the same code serves systems without SOCK_SEQPACKET (darwin), and the
// stream has what datagrams lack: an end, which is how a successor learns that its predecessor died. A descriptor
// travels with the first byte of its record, and a kernel never merges data across a descriptor.
//
// A goroutine writes, so that nobody who has something to say waits for a peer that does not read. A connection stays with
// its sender until the receiver has confirmed that it has it: the kernel drops a descriptor without a word when the
// receiver is at its limit (MSG_CTRUNC), and a receiver may end before it reads.
type link struct {
	conn *net.UnixConn
	peer string // how the system names the other half, if it does

	mu          sync.Mutex
	queue       []record
	held        bool                  // nothing is written yet
	ended       bool                  // nothing is written any more
	unconfirmed map[string]chan error // connections that were sent, by number
	numbers     int
	abilities   []string      // of the peer
	wake        chan struct{} // holds a token when the queue, held or ended has changed
}

// A record waits to be written.
type record struct {
	kind    byte
	text    string
	conn    syscall.RawConn // to be sent along, or nil
	number  string          // of a connection that will be confirmed
	written chan error      // told when the record is written, or never will be; may be nil
}

const (
	recordHead = 3
	recordSize = recordHead + maxText
)

var (
	errLinkEnded = errors.New("the control socket between the processes has ended")
	errGone      = errors.New("the connection was closed before it could be sent")
)

// newLink makes a pair: our end, and a file for the successor. Our end writes nothing before release.
func newLink() (*link, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	peer := socketName(fds[1])
	theirs := os.NewFile(uintptr(fds[1]), linkName)
	ours, err := openLink(os.NewFile(uintptr(fds[0]), linkName), true)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	ours.peer = peer
	return ours, theirs, nil
}

// openLink makes a link of one end; f is closed. With held it writes nothing before release.
func openLink(f *os.File, held bool) (*link, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("opening the control socket: it is a %T", c)
	}
	l := &link{conn: u, held: held, unconfirmed: map[string]chan error{}, wake: make(chan struct{}, 1)}
	go l.write()
	return l, nil
}

// release lets the link write: the peer reads.
func (l *link) release() {
	l.mu.Lock()
	l.held = false
	l.mu.Unlock()
	l.changed()
}

// can reports whether the peer has said that it has an ability.
func (l *link) can(ability string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.abilities, ability)
}

// say queues a message. A link that has ended drops it.
func (l *link) say(kind byte, text string) { l.put(record{kind: kind, text: text}) }

// flush returns when everything that was said has been written, or cannot be, or after limit.
func (l *link) flush(limit time.Duration) {
	done := make(chan error, 1)
	l.put(record{written: done})
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// pass sends a connection to the server with that key on the other side, and returns when that has adopted it. After an
// error the connection is as it was. The caller still owns c, and closes it.
func (l *link) pass(key string, c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	r := record{kind: msgConn, text: key, conn: raw, written: done}
	l.mu.Lock()
	if slices.Contains(l.abilities, confirms) {
		l.numbers++
		r.number = strconv.Itoa(l.numbers)
		r.kind, r.text, r.written = msgConnection, r.number+" "+key, nil
		l.unconfirmed[r.number] = done
	}
	l.mu.Unlock()
	l.put(r)
	return <-done
}

func (l *link) put(r record) {
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.queue = append(l.queue, r)
	}
	l.mu.Unlock()
	if ended {
		l.drop(r, errLinkEnded)
	}
	l.changed()
}

// drop tells who waits for r that it will not be written.
func (l *link) drop(r record, err error) {
	if r.written != nil {
		r.written <- err
	}
	if r.number != "" {
		l.confirm(r.number, err)
	}
}

// confirm ends the wait for the answer to a connection.
func (l *link) confirm(number string, err error) {
	l.mu.Lock()
	done := l.unconfirmed[number]
	delete(l.unconfirmed, number)
	l.mu.Unlock()
	if done != nil {
		done <- err
	}
}

func (l *link) changed() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write writes the queue until the link ends.
func (l *link) write() {
	for {
		l.mu.Lock()
		ended := l.ended
		var batch []record
		if !l.held && !ended {
			batch, l.queue = l.queue, nil
		}
		l.mu.Unlock()
		if ended {
			return
		}
		if len(batch) == 0 {
			<-l.wake
			continue
		}
		for i, r := range batch {
			err := l.writeRecord(r)
			switch {
			case errors.Is(err, errGone):
				l.drop(r, err)
			case err != nil:
				l.end()
				for _, r := range batch[i:] {
					l.drop(r, err)
				}
				return
			case r.written != nil:
				r.written <- nil
			}
		}
	}
}

func (l *link) writeRecord(r record) error {
	if r.kind == 0 {
		return nil
	}
	var rec [recordSize]byte
	rec[0] = r.kind
	n := copy(rec[recordHead:], r.text)
	binary.BigEndian.PutUint16(rec[1:], uint16(n))
	if r.conn == nil {
		_, err := l.conn.Write(rec[:])
		return err
	}
	var sent int
	var err error
	cerr := r.conn.Control(func(fd uintptr) { sent, _, err = l.conn.WriteMsgUnix(rec[:], syscall.UnixRights(int(fd)), nil) })
	if cerr != nil { // nothing was written
		return errGone
	}
	if err == nil && sent < len(rec) {
		_, err = l.conn.Write(rec[sent:])
	}
	return err
}

// end stops writing. What is still queued, or was sent and has not been confirmed, stays with its sender; the connections
// that are queued in the socket have to be read before.
func (l *link) end() {
	l.mu.Lock()
	l.ended = true
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, r := range queue {
		l.drop(r, errLinkEnded)
	}
	l.changed()
}

// listen reads until the link ends. Connections go to adopt, which owns them if it returns true; the rest to hear.
func (l *link) listen(hear func(kind byte, text string), adopt func(key string, c net.Conn) bool) {
	defer func() {
		l.end()
		l.mu.Lock()
		waiting := l.unconfirmed
		l.unconfirmed = map[string]chan error{}
		l.mu.Unlock()
		for _, done := range waiting {
			done <- errLinkEnded
		}
	}()
	var rec [recordSize]byte
	oob := make([]byte, syscall.CmsgSpace(4*4))
	for {
		got, fds := 0, []int(nil)
		for got < len(rec) {
			n, oobn, _, _, err := l.conn.ReadMsgUnix(rec[got:], oob)
			fds = append(fds, descriptors(oob[:oobn])...)
			if n == 0 && err == nil {
				err = io.EOF
			}
			if err != nil {
				closeAll(fds)
				return
			}
			got += n
		}
		size := int(binary.BigEndian.Uint16(rec[1:]))
		if size > maxText {
			closeAll(fds)
			return
		}
		text := string(rec[recordHead : recordHead+size])
		switch rec[0] {
		case msgConn:
			take(fds, text, adopt)
		case msgConnection:
			number, key, _ := strings.Cut(text, " ")
			if take(fds, key, adopt) {
				l.say(msgTaken, number)
			} else {
				l.say(msgRefused, number)
			}
		case msgTaken:
			closeAll(fds)
			l.confirm(text, nil)
		case msgRefused:
			closeAll(fds)
			l.confirm(text, errors.New("the other process has not taken the connection"))
		case msgVersion:
			closeAll(fds)
			_, abilities, _ := strings.Cut(text, " ")
			l.mu.Lock()
			l.abilities = strings.Fields(abilities)
			l.mu.Unlock()
		default:
			closeAll(fds)
			hear(rec[0], text)
		}
	}
}

// take gives the connection that came with a record to adopt, and reports whether that has it.
func take(fds []int, key string, adopt func(key string, c net.Conn) bool) bool {
	if len(fds) != 1 { // none: this process is at its limit, and the kernel has dropped it
		closeAll(fds)
		return false
	}
	f := os.NewFile(uintptr(fds[0]), "connection")
	restore := keptOptions(fds[0])
	c, err := net.FileConn(f)
	restore()
	f.Close()
	if err != nil {
		return false
	}
	if !adopt(key, c) {
		c.Close()
		return false
	}
	return true
}

// finish ends listen once it has read what is queued; further sends of the other side fail, so that it keeps what it
// has. It is for a process that leaves, and for one whose peer is dead but whose stream has no end, because tableflip keeps
// a copy of the successor's half.
func (l *link) finish() {
	if runtime.GOOS == "linux" {
		l.conn.CloseRead() // what is queued stays readable, then comes the end
	} else { // where shutdown throws the queue away
		l.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
}

// Close ends the link. A connection that is queued in the socket is lost: call finish before, and let listen end.
func (l *link) Close() error {
	l.end()
	return l.conn.Close()
}

func descriptors(oob []byte) (fds []int) {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		f, err := syscall.ParseUnixRights(&msgs[i])
		if err == nil {
			fds = append(fds, f...)
		}
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
