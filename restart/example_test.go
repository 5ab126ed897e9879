package restart_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"sync"
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

// A queue that has to finish its jobs before the process ends, because it is replaced or stops.
func ExampleRestarter_OnDrain() {
	r := restart.New(restart.Options{Drain: time.Minute})
	jobs := make(chan func())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for job := range jobs {
				job()
			}
		})
	}
	r.OnDrain("jobs", func(ctx context.Context) error { // ctx ends after Drain
		close(jobs)
		done := make(chan struct{})
		go func() { workers.Wait(); close(done) }()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// A new version that cannot reach its database is ill: the old one takes service back.
func ExampleOptions_health() {
	var db *sql.DB // opened by main
	r := restart.New(restart.Options{
		Probation: 30 * time.Second,
		Health:    func(ctx context.Context) error { return db.PingContext(ctx) },
	})
	r.OnFailure(func(_ context.Context, cause error) error {
		log.Printf("the new version did not stay: %v", cause) // put the old executable back here
		return nil
	})
}
