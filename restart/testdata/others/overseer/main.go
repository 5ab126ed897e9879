// A server as overseer has it, for the test of a change from it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jpillora/overseer"
)

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

// siblings counts the children of the master, this process included.
func siblings() (n int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getppid()))
	for _, of := range threads {
		b, _ := os.ReadFile(of)
		n += len(strings.Fields(string(b)))
	}
	return n
}

func main() {
	var c struct {
		Address string
		Drain   time.Duration
	}
	if err := json.Unmarshal([]byte(os.Getenv("RESTART_TEST_SERVER")), &c); err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	overseer.Run(overseer.Config{Address: c.Address, TerminateTimeout: c.Drain, NoWarn: true, Program: func(state overseer.State) {
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n, _ := io.Copy(io.Discard, req.Body)
			fmt.Fprintf(w, "%d %d overseer", os.Getpid(), n)
		})}
		go func() {
			<-state.GracefulShutdown
			server.Shutdown(context.Background())
		}()
		say("event proved serving: this process is in service")
		server.Serve(state.Listener)
		// The master starts the next child twice if this one ends before the master has heard that its sockets are free. When
		// it has, it has another child.
		for siblings() < 2 {
			time.Sleep(time.Millisecond)
		}
		say("run: <nil>")
	}})
}
