// A server that keeps itself up to date: the program in the README.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/theseus-go/theseus/restart"
	"github.com/theseus-go/theseus/updater"
)

//go:embed theseus.pub
var key string // made by theseus keygen; its secret half signs the releases

var version = "0.0.0-dev" // go build -ldflags "-X main.version=1.2.3"

func main() {
	showVersion := flag.Bool("version", false, "print the version and exit")
	selfUpdate := flag.Bool("self-update", false, "install the newest release and exit")
	flag.Parse()
	if *showVersion { // a new release is asked this before it is installed
		fmt.Println(version)
		return
	}
	ctx := context.Background()
	r := restart.New(restart.Options{}) // starts nothing yet
	u, err := updater.New(updater.Options{
		App: "hello", Version: version, Key: key,
		Source:  "https://dl.example.com/hello",
		Restart: r.Handover,
	})
	check(err)
	if *selfUpdate || flag.Arg(0) == "self-update" {
		os.Exit(u.Command(ctx, flag.Args()))
	}
	public, err := r.Listen("tcp", ":8080")
	check(err)
	private, err := r.ListenUnix("hello.sock", 0o600, "")
	check(err)
	admin, err := u.AdminServer(private) // GET and POST /update
	check(err)
	r.Serve(public, &http.Server{Handler: http.FileServer(http.Dir("."))})
	r.Serve(private, admin)
	r.Go(u.Run)         // hourly, only in the process in service
	r.OnFailure(u.Undo) // a successor that fails is undone
	check(r.Run(ctx))   // until a successor has taken over, or SIGTERM
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
