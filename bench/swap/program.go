package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A program is the whole of it: hello, padded to the size, that updates itself to hello of another version over loopback,
// with everything that an update is: documents, signatures, plan, probe, journal, state.
type program struct {
	old string   // hello 1.0.0
	cmd []string // flags of self-update
}

// wholeProgram builds and publishes what is needed, and serves it until the process ends.
func wholeProgram(work string, size int64) (p program, err error) {
	run := func(name string, args ...string) error {
		cmd := exec.Command(name, args...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, out)
		}
		return nil
	}
	here, err := os.Getwd()
	if err != nil {
		return p, err
	}
	build := func(out, folder, version string) error {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", filepath.Join(work, out), ".")
		cmd.Dir = filepath.Join(here, "..", "..", "cmd", folder) // other modules than this one
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", out, err, text)
		}
		return nil
	}
	if err := errors.Join(build("theseus", "theseus", "0.0.0-dev"), build("hello-1.0.0", "hello", "1.0.0"), build("hello-1.1.0", "hello", "1.1.0")); err != nil {
		return p, err
	}
	for _, v := range []string{"1.0.0", "1.1.0"} {
		if err := pad(filepath.Join(work, "hello-"+v), size); err != nil {
			return p, err
		}
	}
	theseus := filepath.Join(work, "theseus")
	if err := run(theseus, "keygen"); err != nil {
		return p, err
	}
	if err := run(theseus, "publish", "--repo", "repo", "--app", "hello", "--version", "1.1.0", "--channel", "stable", "--key", "theseus.key", "--expires", "1d",
		"--artifact", goos+"/"+goarch+"=hello-1.1.0"); err != nil {
		return p, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return p, err
	}
	go http.Serve(ln, http.FileServer(http.Dir(filepath.Join(work, "repo"))))
	p.old = filepath.Join(work, "hello-1.0.0")
	p.cmd = []string{"--updates", "http://" + ln.Addr().String(), "--key", filepath.Join(work, "theseus.pub"), "self-update"}
	return p, nil
}

// pad makes a program as large as it shall be by bytes that do not compress; an executable may have some behind it.
func pad(path string, size int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if _, err := fill(path+".pad", size-info.Size()); err != nil {
		return err
	}
	more, err := os.Open(path + ".pad")
	if err != nil {
		return err
	}
	defer more.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, more)
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path+".pad"))
}

// turn updates the program at target, a copy of the old one, and returns how long it took and the most memory it held.
func (p program) turn(target string) (took time.Duration, kib int, err error) {
	cmd := exec.Command(target, p.cmd...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			took = time.Since(begun)
			if err != nil {
				err = fmt.Errorf("hello self-update: %w\n%s", err, out.String())
			}
			return took, kib, err
		case <-time.After(2 * time.Millisecond):
			if now, err := peak(cmd.Process.Pid); err == nil { // its high-water mark: the last look before the end counts
				kib = max(kib, now)
			}
		}
	}
}
