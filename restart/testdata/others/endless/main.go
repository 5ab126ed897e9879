// A server as endless has it, for the test of a change from it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/fvbock/endless"
)

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

func main() {
	var c struct{ Address string }
	if err := json.Unmarshal([]byte(os.Getenv("RESTART_TEST_SERVER")), &c); err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	log.SetOutput(io.Discard)
	server := endless.NewServer(c.Address, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "%d %d endless", os.Getpid(), n)
	}))
	server.BeforeBegin = func(string) { say("event proved serving: this process is in service") }
	server.ListenAndServe()
	say("run: <nil>")
}
