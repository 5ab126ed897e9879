package restart_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/theseus-go/theseus/restart"
)

// A server that hands over to the executable on disk at each SIGHUP, and ends at SIGTERM when its requests are answered.
func Example() {
	r := restart.New(restart.Options{
		PIDFile: "/run/hello/hello.pid",
		Drain:   time.Minute,
		Health:  func(context.Context) error { return nil }, // asked during probation: ask your database here
	})
	ln, err := r.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !r.Ready() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-restart.DrainStarted(req.Context()):
			fmt.Fprintln(w, "goodbye: connect again, to the new process")
		case <-req.Context().Done():
		}
	})
	r.Serve(ln, &http.Server{Handler: mux})
	r.Go(func(ctx context.Context) error { // in one process at a time
		<-ctx.Done()
		return nil
	})
	if err := r.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
