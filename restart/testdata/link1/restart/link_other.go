//go:build !unix

package restart

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Without handover there is nobody to talk to.
type link struct{}

const (
	msgTerms = 't' + iota
	msgFree
	msgStop
	msgRecall
	msgHangup
	msgHello
	msgServing
	msgWell
	msgBack
	msgHome
	linkName = ""
)

func newLink() (*link, *os.File, error)                                 { return nil, nil, errors.ErrUnsupported }
func openLink(f *os.File) (*link, error)                                { return nil, errors.ErrUnsupported }
func (l *link) say(byte, string) error                                  { return errors.ErrUnsupported }
func (l *link) pass(string, syscall.Conn) error                         { return errors.ErrUnsupported }
func (l *link) listen(func(byte, string), func(key string, c net.Conn)) {}
func (l *link) finish()                                                 {}
func (l *link) Close() error                                            { return nil }
func milliseconds(time.Duration) string                                 { return "" }
