//go:build faults

package main

import (
	"cmp"
	"os"
	"time"

	"github.com/theseus-go/theseus/restart"
)

// fault makes the server fail as HELLO_FAULT says. The demo and the tests build bad releases with it; a build for people
// has nothing of it inside.
func fault(r *restart.Restarter) {
	switch name := os.Getenv("HELLO_FAULT"); name {
	case "crash": // before it accepts anything
		os.Exit(2)
	case "hang":
		for {
			time.Sleep(time.Hour)
		}
	case "crash-after-ready": // HELLO_FAULT_AFTER, or half a second, after it began to accept and answer
		after, err := time.ParseDuration(cmp.Or(os.Getenv("HELLO_FAULT_AFTER"), "500ms"))
		check(2, err)
		go func() {
			for !r.Ready() {
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(after)
			os.Exit(2)
		}()
	default: // once it accepts and answers
		go func() {
			for !r.Ready() {
				time.Sleep(5 * time.Millisecond)
			}
			end(name)
		}()
	}
}
