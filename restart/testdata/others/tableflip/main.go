// A server as tableflip's own documentation has it, for the tests of a change from and to it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
)

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

// tooEarly reports whether the process before this one has said its last word and not ended yet, or the goroutine of
// tableflip that has to know of Ready does not.
func tooEarly(err error) bool {
	return err != nil && (err.Error() == "parent hasn't exited" || err.Error() == "process is not ready yet")
}

func main() {
	var c struct {
		Network, Address, PIDFile string
		Drain                     time.Duration
	}
	if err := json.Unmarshal([]byte(os.Getenv("RESTART_TEST_SERVER")), &c); err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	upg, err := tableflip.New(tableflip.Options{PIDFile: c.PIDFile})
	if err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	defer upg.Stop()
	// Before this process says that it serves, because the tests signal it then.
	handover, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(handover, syscall.SIGHUP)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for range handover {
			err := upg.Upgrade()
			for tooEarly(err) {
				time.Sleep(time.Millisecond)
				err = upg.Upgrade()
			}
			if err != nil {
				say("upgrade failed: %v", err)
			}
		}
	}()
	go func() {
		<-stop
		upg.Stop()
	}()
	ln, err := upg.Fds.Listen(c.Network, c.Address)
	if err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "%d %d tableflip", os.Getpid(), n)
	})}
	go func() {
		if err := server.Serve(ln); err != http.ErrServerClosed {
			say("fatal %v", err)
			os.Exit(1)
		}
	}()
	if err := upg.Ready(); err != nil {
		say("ready: %v", err)
	}
	say("event proved serving: this process is in service")
	<-upg.Exit()
	time.AfterFunc(c.Drain, func() { os.Exit(1) })
	server.Shutdown(context.Background())
	say("run: <nil>")
}
