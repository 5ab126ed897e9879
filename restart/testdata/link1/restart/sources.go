package restart

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudflare/tableflip"
)

// startDir is the working directory of the program's start, before main can have changed it: where a relative name of
// the program counts from, and where tableflip starts the successor.
var startDir, _ = os.Getwd()

// absoluteArg0 makes os.Args[0] absolute without following links.
func absoluteArg0() error {
	name := os.Args[0]
	if filepath.IsAbs(name) {
		return nil
	}
	if !strings.ContainsRune(name, filepath.Separator) { // found in PATH
		found, err := exec.LookPath(name)
		if err != nil {
			found, err = os.Executable()
		}
		if err != nil {
			return fmt.Errorf("finding the program %s: %w", name, err)
		}
		name = found
	}
	if !filepath.IsAbs(name) {
		if startDir == "" {
			return fmt.Errorf("the working directory was deleted before the program %s started", name)
		}
		name = filepath.Join(startDir, name)
	}
	os.Args[0] = name
	return nil
}

// checkSurroundings says clearly what fork and exec would say badly.
func checkSurroundings() error {
	if _, err := os.Stat(startDir); err != nil {
		return calledOff(fmt.Errorf("the working directory %s, in which this program was started and its successor would be, is gone: %w", startDir, err))
	}
	info, err := os.Stat(os.Args[0])
	switch {
	case err != nil:
		return fmt.Errorf("the executable cannot be started: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("the executable cannot be started: %s is not an executable file (%v)", os.Args[0], info.Mode())
	case info.Size() == 0:
		return fmt.Errorf("the executable cannot be started: %s is empty", os.Args[0])
	}
	// A handover takes a few descriptors; without them it fails in the middle, and it is not the version's fault.
	var files []*os.File
	for range 4 {
		a, b, err := os.Pipe()
		if err != nil {
			err = calledOff(fmt.Errorf("no file descriptors are left for a handover: %w", err))
			for _, f := range files {
				f.Close()
			}
			return err
		}
		files = append(files, a, b)
	}
	for _, f := range files {
		f.Close()
	}
	return nil
}

// listen returns a listener from the first source that has it: the predecessor, the service manager, the system.
func (r *Restarter) listen(network, address string) (net.Listener, error) {
	if r.upg != nil {
		if ln, err := r.upg.Listener(activatedNetwork+network, address); ln != nil || err != nil {
			return ln, err
		}
	}
	ln, err := r.activated.listener(network, address)
	if err != nil {
		return nil, err
	}
	switch {
	case ln == nil && r.upg != nil:
		return r.upg.ListenWithCallback(network, address, r.open)
	case ln == nil:
		return r.open(network, address)
	case r.upg != nil:
		if shared, ok := ln.(tableflip.Listener); ok {
			err = r.upg.AddListener(activatedNetwork+network, address, shared)
		}
	}
	return ln, err
}

// listenPacket is the same for packets.
func (r *Restarter) listenPacket(network, address string) (net.PacketConn, error) {
	open := func(network, address string) (net.PacketConn, error) {
		return r.opts.ListenConfig.ListenPacket(context.Background(), network, address)
	}
	if r.upg != nil {
		if c, err := r.upg.PacketConn(activatedNetwork+network, address); c != nil || err != nil {
			return c, err
		}
	}
	c, err := r.activated.packetConn(network, address)
	if err != nil {
		return nil, err
	}
	switch {
	case c == nil && r.upg != nil:
		return r.upg.ListenPacketWithCallback(network, address, open)
	case c == nil:
		return open(network, address)
	case r.upg != nil:
		if shared, ok := c.(tableflip.PacketConn); ok {
			err = r.upg.AddPacketConn(activatedNetwork+network, address, shared)
		}
	}
	return c, err
}

// open opens a listener that was not inherited.
func (r *Restarter) open(network, address string) (net.Listener, error) {
	ln, err := r.opts.ListenConfig.Listen(context.Background(), network, address)
	if err == nil || !strings.HasPrefix(network, "unix") || !errors.Is(err, errAddressInUse) {
		return ln, err
	}
	// A process that was killed leaves its socket's path behind. Nobody answers there, so it is ours to replace.
	c, derr := net.DialTimeout(network, address, time.Second)
	if derr == nil {
		c.Close()
		return nil, err
	}
	info, serr := os.Lstat(address)
	if !errors.Is(derr, errConnRefused) || serr != nil || info.Mode()&os.ModeSocket == 0 || os.Remove(address) != nil {
		return nil, err
	}
	return r.opts.ListenConfig.Listen(context.Background(), network, address)
}
