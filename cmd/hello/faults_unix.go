//go:build faults && unix

package main

import (
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
)

// end ends this process in one of the ways in which a bad release does.
func end(how string) {
	switch how {
	case "exit 0":
		os.Exit(0)
	case "exit 1":
		os.Exit(1)
	case "leak": // descriptors
		limit := syscall.Rlimit{Cur: 256, Max: 256}
		check(1, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
		for {
			if _, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0); err != nil {
				log.Fatal(errors.Join(errors.New("accepting"), err))
			}
		}
	default:
		if sig, ok := map[string]syscall.Signal{
			"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL, "SIGILL": syscall.SIGILL, "SIGSEGV": syscall.SIGSEGV,
		}[how]; ok {
			if sig != syscall.SIGTERM {
				signal.Reset(sig)
			}
			check(1, syscall.Kill(os.Getpid(), sig))
		}
	}
}
