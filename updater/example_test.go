package updater_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"time"

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

// The status for people and scripts on this machine: curl --unix-socket /run/hello/admin.sock http://hello/update
func ExampleUpdater_AdminServer() {
	u, err := updater.New(updater.Options{App: "hello", Version: "1.0.0", Key: key, Source: "https://dl.example.com/hello"})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("unix", "/run/hello/admin.sock") // with package restart: ListenUnix, which sets its mode
	if err != nil {
		log.Fatal(err)
	}
	admin, err := u.AdminServer(ln) // refuses an address that other machines reach, unless there is an AdminToken
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(admin.Serve(ln))
}

// A probe of one's own: the new file has to read the configuration of this machine before it takes the place of the
// old one.
func ExampleOptions_probe() {
	u, err := updater.New(updater.Options{
		App: "hello", Version: "1.0.0", Key: key, Source: "https://dl.example.com/hello",
		Probe: func(ctx context.Context, file, version string) error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, file, "--check-config", "/etc/hello.toml").CombinedOutput()
			if ctx.Err() != nil { // a busy machine says nothing against the release
				return fmt.Errorf("%w: it did not answer in time", updater.ErrInconclusive)
			}
			if err != nil {
				return fmt.Errorf("%s cannot read the configuration: %w: %s", version, err, out)
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(u.Run(context.Background()))
}

// An operator chooses the channel. What is remembered of each channel is kept apart, and a channel that offers only
// older versions changes nothing: nobody is sent back by switching.
func ExampleOptions_channel() {
	channel := flag.String("channel", "stable", "stable or beta")
	flag.Parse()
	u, err := updater.New(updater.Options{
		App: "hello", Version: "1.0.0", Key: key, Source: "https://dl.example.com/hello",
		Channel: *channel,
	})
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(u.Command(context.Background(), flag.Args()))
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
