package updater_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/theseus-go/theseus/updater"
)

// key is theseus.pub in a program of yours, by go:embed.
var key = "RWQ…"

// A command-line tool, without a restart: "tool self-update" is all that it needs.
func Example() {
	u, err := updater.New(updater.Options{
		App: "tool", Version: "1.0.0", Key: key,
		Source: "https://dl.example.com/tool",
	})
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 1 && os.Args[1] == "self-update" {
		os.Exit(u.Command(context.Background(), os.Args[1:]))
	}
}

// A service that its service manager starts anew after an update (Restart=always).
func ExampleUpdater_Run() {
	u, err := updater.New(updater.Options{
		App: "hello", Version: "1.0.0", Key: key,
		Source:  "https://dl.example.com/hello",
		Mirrors: []string{"https://mirror.example.com/hello"},
		OnEvent: func(e updater.Event) {
			if e.Kind == updater.EventUndone {
				fmt.Println("page somebody:", e.Version, e.Text)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := u.Run(context.Background()); errors.Is(err, updater.ErrRestart) {
		os.Exit(1) // the new file is in place
	} else if err != nil {
		log.Fatal(err)
	}
}

// What went wrong is in the error: where it stopped, and of which kind it is.
func ExampleUpdater_Update() {
	u, err := updater.New(updater.Options{App: "hello", Version: "1.0.0", Key: key, Source: "https://dl.example.com/hello"})
	if err != nil {
		log.Fatal(err)
	}
	result, err := u.Update(context.Background(), "")
	switch {
	case errors.Is(err, updater.ErrNothing), err == nil && result.Installed == "":
		fmt.Println("nothing to install")
	case errors.Is(err, updater.ErrRefused):
		fmt.Println("somebody may be attacking:", err)
	case err != nil:
		fmt.Println("another time:", err)
	default:
		fmt.Println("installed", result.Installed, "in place of", result.Replaced)
	}
}
