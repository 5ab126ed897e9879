package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/aside"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/managed"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Options says which program is kept current, by whom and from where.
// App, Version, Key and Source are required; the zero value of the rest is
// what most programs want.
type Options struct {
	// App is the program's name in its release documents. A document that
	// names another app is refused.
	App string
	// Version is the version of the running program: a semantic version
	// without a leading v, usually set with -ldflags "-X main.version=…".
	// 0.0.0-dev, and any version whose pre-release begins with dev, is never
	// replaced by the interval; naming a version replaces it.
	Version string
	// Key is who may sign: the text of a minisign public key file, its bare
	// base64 line, or a whole trust document. It should be part of the program
	// (go:embed, or -X), never read from a place that an attacker can write.
	Key string
	// Source is the base URL of the app's repository. https, http on loopback
	// only (see AllowHTTP), or file:///folder.
	Source string

	// Mirrors are further base URLs, asked in this order when Source fails or
	// serves something that is refused.
	Mirrors []string
	// Channel is the channel to follow. Default: stable.
	Channel string
	// Variant chooses among artifacts of one platform, such as "v3" or "musl".
	// An artifact without a variant serves every client.
	Variant string

	// Restart makes the installed file the running one. It is called after the
	// swap and returns nil once the successor has proved itself and serves;
	// an error means that this process serves on, and the swap is undone.
	// (*restart.Restarter).Handover is such a function. nil: Update returns
	// what it installed, and Run returns ErrRestart.
	Restart func(context.Context) error
	// Interval is the time between checks of Run; each is moved by up to a
	// fifth either way at random. Default: one hour. At least one second.
	Interval time.Duration
	// Probe asks a downloaded file, before it is installed, whether it works
	// here. The default runs FILE --version for at most ten seconds and compares
	// the first semantic version in its output with the release's. An error
	// refuses the release; wrap ErrInconclusive to have it tried again later.
	Probe func(ctx context.Context, file, version string) error
	// Executable is the program's file. Default: the running one.
	Executable string
	// Unmanaged: keep the file current also where a package manager or a
	// container image seems to (see doc/managed.md). It does not override what
	// somebody said: the link-time switch, the marker file, THESEUS_MANAGED.
	Unmanaged bool
	// Keep is how many proved earlier versions stay on disk for Rollback; each
	// is as large as the program. Default: 1. At least one is needed to undo a
	// release that fails.
	Keep int

	// AdminToken opens Handler to peers other than unix sockets and loopback,
	// for requests with the header "Authorization: Bearer TOKEN". At least 32
	// bytes. Once set, every request needs it.
	AdminToken string
	// Logger gets what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// OnEvent is called for every event, one at a time, on the goroutine that
	// met it; it should not block.
	// It may call Status and no other method of the Updater. See Event.
	OnEvent func(Event)

	// HTTP replaces the HTTP client. Its redirect policy and proxy are its own
	// business; caps, stall detection and signatures hold whatever it does.
	HTTP *http.Client
	// CAFile is a PEM file of certificate authorities that are trusted in
	// addition to the system's.
	CAFile string
	// AllowHTTP permits plain http to other hosts than loopback. Signatures
	// still decide what is installed; eavesdroppers learn which version runs.
	AllowHTTP bool
	// Stall ends a transfer that makes no progress for this long. Default: 30 s.
	Stall time.Duration
	// Built is the date of the build, a floor for the clock: a machine whose
	// clock stands before it does not believe its clock. Default: vcs.time of
	// the build information, else none.
	Built time.Time
}

// Updater keeps one installed program current. Its methods may be called from
// several goroutines at once; at most one update runs at a time, in this and
// all other processes that share the executable.
type Updater struct {
	*installation
	opts    Options
	running *semver.Version
	root    *verify.Trust           // what the program was built with
	invoked string                  // the path as the program was started, links not followed
	own     os.FileInfo             // the file that this process runs
	manager func() *managed.Manager // who else keeps the file current; found out once
	fetch   *fetch.Client

	// For tests and for Command.
	stdout, stderr io.Writer
	proveAfter     time.Duration
	patience       time.Duration

	busy  chan struct{} // holds one token while no update runs in this process
	cycle sync.Mutex    // one check at a time

	mu         sync.Mutex
	memory     memory // what could not be written, or not yet
	status     Status
	manifests  map[verify.ID][]byte // files, opened anew for each entry and trust
	trustAsked time.Time
	jobs       chan func(context.Context) (Result, error) // nil while Run does not run
}

// New checks the options and resolves the program's real path, once. It starts
// nothing, asks no network and writes no file.
func New(opts Options) (*Updater, error) {
	u := &Updater{
		opts: opts,
		installation: &installation{reporter: &reporter{
			app: opts.App, log: cmp.Or(opts.Logger, slog.Default()), on: opts.OnEvent,
			now: time.Now, conditions: map[Kind]string{},
		}},
		stdout:     os.Stdout,
		stderr:     os.Stderr,
		proveAfter: proveAfter,
		patience:   patience,
		busy:       make(chan struct{}, 1),
		manifests:  map[verify.ID][]byte{},
	}
	u.merge = func(st *state.State) { _, _ = u.know(st) } // an error leaves st as it was read
	u.show = u.shown
	u.busy <- struct{}{}
	u.manager = sync.OnceValue(u.findManager)
	if err := u.configure(); err != nil {
		return nil, fmt.Errorf("updater: %w", err)
	}
	u.status = Status{
		App: opts.App, Channel: u.opts.Channel, Running: u.running.String(),
		State: Idle, PID: os.Getpid(),
	}
	return u, nil
}

// configure judges every option; the first that is wrong is the error.
func (u *Updater) configure() error {
	o := &u.opts
	for _, required := range []struct{ name, value string }{
		{"Options.App", o.App}, {"Options.Version", o.Version}, {"Options.Key", o.Key}, {"Options.Source", o.Source},
	} {
		if required.value == "" {
			return fmt.Errorf("%s is empty; it is required", required.name)
		}
	}
	if err := release.ValidApp(o.App); err != nil {
		return fmt.Errorf("Options.App: %w", err)
	}
	o.Channel = cmp.Or(o.Channel, "stable")
	if err := release.ValidChannel(o.Channel); err != nil {
		return fmt.Errorf("Options.Channel: %w", err)
	}
	var err error
	if u.running, err = release.ParseVersion(o.Version); err != nil {
		return fmt.Errorf("Options.Version: %w", err)
	}
	if u.root, err = verify.ParseTrust(o.Key); err != nil {
		return fmt.Errorf("Options.Key: %w", err)
	}
	if u.root.App != "" && u.root.App != o.App {
		return fmt.Errorf("Options.Key is a trust document of %q, not of %q", u.root.App, o.App)
	}
	if o.AdminToken != "" && len(o.AdminToken) < 32 {
		return errors.New("Options.AdminToken is shorter than 32 bytes; make one with: openssl rand -hex 32")
	}
	o.Interval = cmp.Or(o.Interval, time.Hour)
	if o.Interval < time.Second {
		return fmt.Errorf("Options.Interval is %v; at least 1s is needed", o.Interval)
	}
	o.Keep = cmp.Or(o.Keep, 1)
	if o.Keep < 1 {
		return fmt.Errorf("Options.Keep is %d; at least 1 is needed, to undo a release that fails", o.Keep)
	}
	if o.Built.IsZero() {
		o.Built = buildDate()
	}
	u.fetch = &fetch.Client{
		Sources: append([]string{o.Source}, o.Mirrors...), HTTP: o.HTTP, CAFile: o.CAFile,
		AllowHTTP: o.AllowHTTP, Stall: o.Stall,
		UserAgent: fmt.Sprintf("theseus (%s/%s; %s/%s)", o.App, u.running, runtime.GOOS, runtime.GOARCH),
	}
	if err := u.fetch.Check(); err != nil {
		return fmt.Errorf("Options.Source: %w", err)
	}
	return u.locate()
}

// locate resolves the program's path while it still can be asked for: after a
// swap the operating system may name the old file.
func (u *Updater) locate() error {
	executable, err := os.Executable()
	if u.opts.Executable != "" {
		executable, err = filepath.Abs(u.opts.Executable)
	}
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	if u.target, err = swap.Open(executable); err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	u.target.Aside = aside.Commit
	// What runs is not what is at the path by now, if another process has
	// updated it since this one was started.
	runs := u.target.Path
	if u.opts.Executable == "" && runtime.GOOS == "linux" {
		runs = "/proc/self/exe" // of the file itself, whatever its name is now
	}
	if u.own, err = os.Stat(runs); err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	// The name it was started by may be a link that a deployment flips.
	u.invoked = executable
	if started, err := exec.LookPath(os.Args[0]); err == nil && u.opts.Executable == "" {
		if started, err = filepath.Abs(started); err == nil {
			if real, err := filepath.EvalSymlinks(started); err == nil && real == u.target.Path {
				u.invoked = started
			}
		}
	}
	return nil
}

// moved reports that the name this program was started by now leads elsewhere:
// swapping the file found at the start would change nothing that will run next.
func (u *Updater) moved() error {
	real, err := filepath.EvalSymlinks(u.invoked)
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	if real != u.target.Path {
		return fmt.Errorf("%s now leads to %s, this process runs %s: restart the service to follow the link, then update",
			u.invoked, real, u.target.Path)
	}
	return nil
}

func buildDate() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, s.Value)
			return t
		}
	}
	return time.Time{}
}

// Status returns what is known now. It does no I/O.
func (u *Updater) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.Failed = maps.Clone(s.Failed)
	return s
}

// set changes the status under its lock.
func (u *Updater) set(change func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.status)
}
