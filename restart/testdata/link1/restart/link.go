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
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A link is the control socket between a process and its successor: half of a socket pair, made anew for each
// handover and inherited by name. It carries messages and, with them, connections.
//
// Every message is a record of recordSize bytes: its kind, the length of its text in two bytes, the text, zeros. With
// records of one size a plain stream will do, so the same code serves systems without SOCK_SEQPACKET (darwin), and the
// stream has what datagrams lack: an end, which is how a successor learns that its predecessor died. A descriptor
// travels with the first byte of its record, and a kernel never merges data across a descriptor.
type link struct {
	conn *net.UnixConn
	mu   sync.Mutex // a record is written whole
	peer string     // how the system names the other half, if it does
}

const (
	recordSize = 512
	recordHead = 3
	textMax    = recordSize - recordHead
)

// Messages of the predecessor.
const (
	msgTerms  = 't' // text: the probation, in milliseconds; the first message
	msgFree   = 'f' // my workers have ended, run yours
	msgStop   = 'x' // stop, I do too
	msgRecall = 'r' // give back what you have and go
	msgHangup = 'h' // a signal asked me for a handover: it is yours to carry out
)

// Messages of the successor.
const (
	msgHello   = 'p' // text: my process id
	msgServing = 's' // I serve
	msgWell    = 'w' // I am well; every second of the probation
	msgBack    = 'b' // I leave, and give back what I have; text: why, empty if I was told to
)

// Messages of both.
const (
	msgHome = 'k' // text: the key of a server that adopts connections here
	msgConn = 'c' // a connection for the server with the key in text
)

// linkName is the name under which the successor's end is inherited.
const linkName = "theseus-link"

// writeLimit bounds a write to a peer that does not read.
const writeLimit = time.Second

// newLink makes a pair: our end, and a file for the successor.
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
	ours, err := openLink(os.NewFile(uintptr(fds[0]), linkName))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	ours.peer = peer
	return ours, theirs, nil
}

// openLink makes a link of one end; f is closed.
func openLink(f *os.File) (*link, error) {
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
	return &link{conn: u}, nil
}

func (l *link) say(kind byte, text string) error { return l.write(kind, text, nil) }

// pass sends a connection to the server with that key on the other side. The caller still owns c, and closes it.
func (l *link) pass(key string, c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = l.write(msgConn, key, syscall.UnixRights(int(fd))) })
	return errors.Join(err, sent)
}

func (l *link) write(kind byte, text string, rights []byte) error {
	if len(text) > textMax {
		text = text[:textMax]
	}
	var rec [recordSize]byte
	rec[0] = kind
	binary.BigEndian.PutUint16(rec[1:], uint16(len(text)))
	copy(rec[recordHead:], text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	n, _, err := l.conn.WriteMsgUnix(rec[:], rights, nil)
	if err == nil && n < len(rec) {
		_, err = l.conn.Write(rec[n:])
	}
	if err != nil { // half a record may be out: nothing can follow it
		l.conn.CloseWrite()
	}
	return err
}

// listen reads until the link ends. Connections go to adopt, which owns them; the rest to hear.
func (l *link) listen(hear func(kind byte, text string), adopt func(key string, c net.Conn)) {
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
		if size > textMax {
			closeAll(fds)
			return
		}
		text := string(rec[recordHead : recordHead+size])
		if rec[0] != msgConn {
			closeAll(fds)
			hear(rec[0], text)
			continue
		}
		for _, fd := range fds {
			f := os.NewFile(uintptr(fd), "connection")
			c, err := net.FileConn(f)
			f.Close()
			if err == nil {
				adopt(text, c)
			}
		}
	}
}

// finish ends listen once it has read what is queued; further sends of the other side fail, so that it keeps what it
// has. For a process that leaves, and for one whose peer is dead but whose stream has no end, because tableflip keeps a
// copy of the successor's half.
func (l *link) finish() {
	if runtime.GOOS == "linux" {
		l.conn.CloseRead() // what is queued stays readable, then comes the end
	} else { // where shutdown throws the queue away
		l.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
}

func (l *link) Close() error { return l.conn.Close() }

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

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
