// Hello is a small HTTP server that keeps itself up to date: the program of the README, whole, to be copied.
//
//	hello --listen :8080 --admin unix:/run/hello/admin.sock --updates https://dl.example.com/hello --key theseus.pub
//	hello --updates https://dl.example.com/hello --key theseus.pub self-update --check
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/theseus-go/theseus/restart"
	"github.com/theseus-go/theseus/updater"
)

// A release is built with -ldflags "-X main.version=1.2.3 -X main.publicKey=RW…".
var (
	version   = "0.0.0-dev"
	publicKey = ""
)

var (
	listenAddr  = flag.String("listen", "127.0.0.1:8080", "serve at `ADDR`: host:port, or unix:PATH")
	adminAddr   = flag.String("admin", "", "serve /update at `ADDR`: unix:PATH, or host:port with --admin-token")
	adminToken  = flag.String("admin-token", "", "serve /update only to requests with the token in `FILE`")
	adminGroup  = flag.String("admin-group", "", "let the members of `GROUP` use the unix socket of --admin, too")
	updates     = flag.String("updates", "", "take updates from the repository at `URL`")
	keyFile     = flag.String("key", "", "take only updates signed by the minisign public key in `FILE`")
	channel     = flag.String("channel", "stable", "follow the channel `NAME`")
	interval    = flag.Duration("interval", time.Hour, "look for updates every `DURATION`")
	startup     = flag.Duration("startup", time.Minute, "a new version has to serve within `DURATION`")
	probation   = flag.Duration("probation", 10*time.Second, "and then to live for `DURATION` before the old one goes")
	drain       = flag.Duration("drain", 30*time.Second, "cut requests that take longer than `DURATION` when this process ends")
	pidFile     = flag.String("pid-file", "", "write the process id of whoever serves to `FILE`")
	selfUpdate  = flag.Bool("self-update", false, "install the newest release and exit; hello self-update --help tells more")
	showVersion = flag.Bool("version", false, "print the version and exit")
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("hello: ")
	flag.Parse()
	args := flag.Args()
	switch {
	case *showVersion && *selfUpdate: // --self-update --version 1.2.3
		args = append([]string{"--version"}, args...)
	case *showVersion && len(args) > 0:
		check(updater.ExitUsage, errors.New("--version takes nothing more; hello self-update 1.2.3 installs a version"))
	case *showVersion: // a new release is asked this before it is installed
		fmt.Println("hello", version)
		return
	}
	command := *selfUpdate || flag.Arg(0) == "self-update"
	if flag.NArg() > 0 && !command {
		check(updater.ExitUsage, fmt.Errorf("unknown command %q; hello --help tells what there is", flag.Arg(0)))
	}
	ctx := context.Background()
	r := restart.New(restart.Options{ // starts nothing yet
		PIDFile: *pidFile, UpgradeTimeout: *startup, Probation: *probation, Drain: *drain,
	})
	u, err := newUpdater(r.Handover)
	check(updater.ExitUsage, err)
	if command && u == nil {
		check(updater.ExitUsage, errors.New("self-update needs --updates URL and --key FILE"))
	}
	if command {
		os.Exit(u.Command(ctx, args))
	}
	public, err := r.Listen(address(*listenAddr))
	check(updater.ExitError, err)
	r.Serve(public, &http.Server{Handler: handler(r), ReadHeaderTimeout: 10 * time.Second})
	if u == nil {
		log.Print("updates are off: they need --updates URL and --key FILE")
	} else {
		r.Go(u.Run)         // looks for updates, only in the process in service
		r.OnFailure(u.Undo) // a successor that fails is undone, whoever asked for it
	}
	if u != nil && *adminAddr != "" {
		private, err := listenAdmin(r)
		check(updater.ExitError, err)
		admin, err := u.AdminServer(private) // refuses an address that other machines reach, without a token
		check(updater.ExitUsage, err)
		r.Serve(private, admin)
	}
	fault(r)
	check(updater.ExitError, r.Run(ctx)) // until a successor took over, or SIGTERM
}

// newUpdater returns nil if nobody said where updates come from or who signs them.
func newUpdater(handover func(context.Context) error) (*updater.Updater, error) {
	key := publicKey
	if *keyFile != "" {
		b, err := os.ReadFile(*keyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the public key: %w", err)
		}
		key = string(b)
	}
	if *updates == "" || key == "" {
		return nil, nil
	}
	return updater.New(updater.Options{
		App: "hello", Version: version, Key: key,
		Source: *updates, Channel: *channel, Interval: *interval,
		Restart: handover, AdminTokenFile: *adminToken, AdminGroup: *adminGroup,
	})
}

// listenAdmin makes a unix socket that only this user can connect to, or a group as well.
func listenAdmin(r *restart.Restarter) (net.Listener, error) {
	network, addr := address(*adminAddr)
	if network != "unix" {
		return r.Listen(network, addr)
	}
	mode := os.FileMode(0o600)
	if *adminGroup != "" {
		mode = 0o660
	}
	return r.ListenUnix(addr, mode, *adminGroup)
}

func address(flag string) (network, addr string) {
	if path, ok := strings.CutPrefix(flag, "unix:"); ok {
		return "unix", path
	}
	return "tcp", flag
}

func check(code int, err error) {
	if err != nil {
		log.Print(err)
		os.Exit(code)
	}
}

func handler(r *restart.Restarter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"app":"hello","version":%q,"pid":%d}`+"\n", version, os.Getpid())
	})
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !r.Ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /sleep", func(w http.ResponseWriter, req *http.Request) {
		d, _ := time.ParseDuration(req.FormValue("d")) // nothing, or nonsense: 0
		time.Sleep(d)
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, req *http.Request) {
		if b, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20)); err == nil {
			_, _ = w.Write(b)
		} else {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	return mux
}
