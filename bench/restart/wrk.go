package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// wrk is the load generator of that name with 32 connections, and one client of ours that sees who answers. What wrk counts
// as an error of a socket is a failure; its requests are those that were answered.
func wrk(l *load) (func() error, error) {
	cmd := exec.Command("wrk", "-c32", "-t2", "-d1h", "http://"+l.addr+"/")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l.wg.Go(func() { l.client(false) })
	return func() error {
		if err := awaitHandler(cmd.Process.Pid, syscall.SIGINT); err != nil {
			return fmt.Errorf("wrk: %w", err)
		}
		cmd.Process.Signal(syscall.SIGINT) // it prints what it has counted
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("wrk: %w\n%s", err, out.Bytes())
		}
		m := regexp.MustCompile(`(\d+) requests in`).FindSubmatch(out.Bytes())
		if m == nil {
			return fmt.Errorf("wrk said nothing of requests:\n%s", out.Bytes())
		}
		l.kept.Requests, _ = strconv.ParseInt(string(m[1]), 10, 64)
		if m := regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`).FindSubmatch(out.Bytes()); m != nil {
			for i, kind := range []string{"connect", "read", "write", "timeout"} {
				n, _ := strconv.ParseInt(string(m[i+1]), 10, 64)
				if l.kept.Failed += n; n > 0 {
					l.errs["wrk: "+kind] = int(n)
				}
			}
		}
		return nil
	}, nil
}

// awaitHandler waits until a process catches a signal, which would end it before. wrk says nothing when it has begun.
func awaitHandler(pid int, sig syscall.Signal) error {
	for range 1000 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return err
		}
		if m := caught.FindSubmatch(status); m != nil {
			if set, _ := strconv.ParseUint(string(m[1]), 16, 64); set>>(sig-1)&1 != 0 {
				return nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("process %d does not catch %v", pid, sig)
}

var caught = regexp.MustCompile(`SigCgt:\s*([0-9a-f]+)`)
