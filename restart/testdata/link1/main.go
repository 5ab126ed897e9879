// A server on the frozen package, for the tests of the one in use.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"theseus.test/link1/restart"
)

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

func main() {
	var c struct {
		Network, Address, PIDFile string
		Probation, Drain          time.Duration
	}
	if err := json.Unmarshal([]byte(os.Getenv("RESTART_TEST_SERVER")), &c); err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	r := restart.New(restart.Options{
		PIDFile: c.PIDFile, Probation: c.Probation, Drain: c.Drain,
		Logger: slog.New(slog.DiscardHandler),
		Event:  func(e restart.Event) { say("event %s %s: %s (%v)", e.Name, e.Phase, e.Text, e.Err) },
	})
	ln, err := r.Listen(c.Network, c.Address)
	if err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "%d %d link1", os.Getpid(), n)
	})
	r.Serve(ln, &http.Server{Handler: mux})
	err = r.Run(context.Background())
	say("run: %v", err)
	if err != nil {
		os.Exit(1)
	}
}
