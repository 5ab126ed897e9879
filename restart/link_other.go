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

func newLink() (*link, *os.File, error)                                      { return nil, nil, errors.ErrUnsupported }
func openLink(f *os.File, held bool) (*link, error)                          { return nil, errors.ErrUnsupported }
func (l *link) release()                                                     {}
func (l *link) can(string) bool                                              { return false }
func (l *link) say(byte, string)                                             {}
func (l *link) flush(time.Duration)                                          {}
func (l *link) pass(string, syscall.Conn) error                              { return errors.ErrUnsupported }
func (l *link) listen(func(byte, string), func(key string, c net.Conn) bool) {}
func (l *link) finish()                                                      {}
func (l *link) Close() error                                                 { return nil }
