package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/internal/versions"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Options says which program is kept current, by whom and from where. App, Key and Source are required; the zero value of
// the rest is what most programs want.
type Options struct {
	// App is the program's name in its release documents. A document that names another app is refused.
	App string
	// Version is the version of the running program, usually set with -ldflags "-X main.version=…". Default:
	// BuildVersion(). v1.2.0, 1.2 and 1.2.0+linux are 1.2.0, and 2026.01.05 is 2026.1.5. What git describe and the Go
	// command say of a build between two releases (1.1.0-4-gabcdef1), or with changes (1.2.0+dirty), is a development
	// build, 1.1.0-dev, as are dev and (devel): it is replaced only by a version that a person names. A version that
	// says nothing of the kind turns updates off.
	Version string
	// Key says who may sign: the text of a minisign public key file, its bare base64 line, or a whole trust document.
	// It should be part of the program (go:embed, or -X), never read from a place that an attacker can write.
	Key string
	// Source is the base URL of the app's repository. https, http on loopback only (see AllowHTTP), or
	// file:///folder.
	Source string

	// Files says where the files of Source lie, if they do not lie below it: a URL with {name} in it, and {version} if they
	// lie with their release, as those of a GitHub release do:
	// https://github.com/OWNER/REPO/releases/download/v{version}/{name}. A query is sent as it is, for storage that opens to
	// a signed one, and is in no error. Mirrors have their files below them.
	Files string
	// Mirrors are further base URLs, asked in this order when Source fails or serves something that is refused.
	Mirrors []string
	// Channel is the channel to follow. Default: stable.
	Channel string
	// Variant chooses among artifacts of one platform, such as "v3" or "musl". An artifact without a variant serves
	// every client.
	Variant string

	// Restart makes the installed file the running one. It is called after the swap and returns nil once the
	// successor has proved itself and serves; an error means that this process serves on, and the swap is undone.
	// (*restart.Restarter).Handover is such a function. nil: Update returns what it installed, and Run returns
	// ErrRestart.
	Restart func(context.Context) error
	// Interval is the time between checks of Run; each is moved by up to a fifth either way at random. Default: one
	// hour. At least one second.
	Interval time.Duration
	// Probe asks a downloaded file, before it is installed, whether it works here. The default runs FILE --version for at
	// most ten seconds, as if the file were in its place already, and looks for the release's version in what it prints
	// (doc/publishing.md, "What a release is asked"). file lies in the program's folder, may be executed, and is gone when
	// Probe has returned. An error refuses the release; wrap ErrInconclusive to have it tried again later. Errors of a
	// machine that is short of something (EMFILE, ENOMEM, ENOSPC, …) are told apart by themselves.
	Probe func(ctx context.Context, file, version string) error
	// Gates are asked, in this order, when a release is verified and probed, and all of them have to agree before it is
	// installed: see Gate. Those that take something that others wait for, such as one of a few slots, belong last.
	Gates []Gate
	// NotifyOnly: Run installs nothing. It looks, and says once of each newer release that it is there (EventHeld, of the kind
	// "updates"); a person may install it.
	NotifyOnly bool
	// RetryFailed says whether a release that failed here gets another chance by itself. Default: RetryFades.
	RetryFailed Retry
	// Executable is the program's file. Default: the running one.
	Executable string
	// Unmanaged: keep the file current also where a package manager or a container image seems to (see
	// doc/managed.md). It does not override what somebody said: the link-time switch, the marker file,
	// THESEUS_MANAGED.
	Unmanaged bool
	// Keep is how many proved earlier versions stay on disk for Rollback; each is as large as the program. Default:
	// 2. At least one is needed to undo a release that fails; the others are given up where space is short.
	Keep int

	// AdminToken opens Handler to every peer that sends the header "Authorization: Bearer TOKEN", over TCP and through
	// proxies too, and closes it to all others. At least 32 bytes, without spaces.
	AdminToken string
	// AdminTokenFile is a file that holds the AdminToken on its only line, instead of AdminToken. A file without a token is an
	// error: it does not leave the endpoint without one.
	AdminTokenFile string
	// AdminGroup is a group, by name or number, whose members AdminServer serves on a unix socket without a token, beside
	// root and the user that this program runs as.
	AdminGroup string
	// Logger gets what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// OnEvent is called for every event, one at a time, on the goroutine that met it; it should not block. It may
	// call Status and no other method of the Updater. See Event.
	OnEvent func(Event)

	// HTTP replaces the HTTP client. Its redirect policy and proxy are its own business; caps, stall detection and
	// signatures hold whatever it does.
	HTTP *http.Client
	// CAFile is a PEM file of certificate authorities that are trusted in addition to the system's.
	CAFile string
	// AllowHTTP permits plain http to other hosts than loopback. Signatures still decide what is installed;
	// eavesdroppers learn which version runs.
	AllowHTTP bool
	// Stall is how long a source may take to answer, and the time over which MinRate is averaged. 30 s if zero. There is no
	// limit to a whole download.
	Stall time.Duration

	// MinRate is the least throughput, in bytes per second, for which a source is kept; one that brings less is given up, and
	// what it brought is resumed later. 4 KiB if zero; set less for machines on slower lines.
	MinRate int64
	// NoNotice: Notice says and asks nothing. It is for the switch of a program's own, or its configuration.
	NoNotice bool
	// Built is the date of the build, a floor for the clock: a machine whose clock stands before it does not believe
	// its clock. Default: vcs.time of the build information, else none.
	Built time.Time
}

// settings are Options that were judged.
type settings struct {
	Options // with its defaults
	running *semver.Version
	root    *verify.Trust // what the program was built with
	network *fetch.Client // Source and Mirrors
	odd     error         // why Version is none

	adminGroup *uint32 // nil: none
}

// judge checks every option; the first that is wrong is the error.
func (o Options) judge() (s *settings, err error) {
	for _, required := range []struct{ name, value string }{
		{"Options.App", o.App}, {"Options.Key", o.Key}, {"Options.Source", o.Source},
	} {
		if required.value == "" {
			return nil, fmt.Errorf("%s is empty; it is required", required.name)
		}
	}
	if err := release.ValidApp(o.App); err != nil {
		return nil, fmt.Errorf("Options.App: %w", err)
	}
	o.Channel = cmp.Or(o.Channel, "stable")
	if err := release.ValidChannel(o.Channel); err != nil {
		return nil, fmt.Errorf("Options.Channel: %w", err)
	}
	s = &settings{}
	if s.running, s.odd = runningVersion(o.Version); s.odd != nil {
		s.odd = text.Error(fmt.Errorf("Options.Version: %w; build the program with one", s.odd))
	}
	if s.root, err = verify.ParseTrust(o.Key); err != nil {
		return nil, fmt.Errorf("Options.Key: %w", err)
	}
	if s.root.App != "" && s.root.App != o.App {
		return nil, fmt.Errorf("Options.Key is a trust document of %q, not of %q", s.root.App, o.App)
	}
	if o.AdminToken, err = o.adminToken(); err != nil {
		return nil, err
	}
	if o.AdminGroup != "" {
		gid, err := groupID(o.AdminGroup)
		if err != nil {
			return nil, fmt.Errorf("Options.AdminGroup: %w", err)
		}
		s.adminGroup = &gid
	}
	for i, g := range o.Gates {
		if g == nil {
			return nil, fmt.Errorf("Options.Gates: number %d is nil", i+1)
		}
		if c, ok := g.(checked); ok {
			if err := c.check(); err != nil {
				return nil, fmt.Errorf("Options.Gates: %w", err)
			}
		}
	}
	if restart := o.Restart; restart != nil {
		// Why a successor failed is what the successor says.
		o.Restart = func(ctx context.Context) error { return text.Error(restart(ctx)) }
	}
	o.Interval = cmp.Or(o.Interval, time.Hour)
	if o.Interval < time.Second {
		return nil, fmt.Errorf("Options.Interval is %v; at least 1s is needed", o.Interval)
	}
	o.Keep = cmp.Or(o.Keep, 2)
	if o.Keep < 1 {
		return nil, fmt.Errorf("Options.Keep is %d; at least 1 is needed, to undo a release that fails", o.Keep)
	}
	if o.Built.IsZero() {
		o.Built = buildDate()
	}
	s.network = &fetch.Client{
		Sources: append([]string{o.Source}, o.Mirrors...), Files: o.Files, HTTP: o.HTTP, CAFile: o.CAFile,
		AllowHTTP: o.AllowHTTP, Stall: o.Stall, MinRate: o.MinRate,
		UserAgent: fmt.Sprintf("theseus (%s/%s; %s/%s)", o.App, s.running, runtime.GOOS, runtime.GOARCH),
	}
	if err := s.network.Check(); err != nil {
		return nil, fmt.Errorf("Options.Source: %w", err)
	}
	s.Options = o
	return s, nil
}

// runningVersion is the version that Options.Version means; with an error, that of a build without one.
func runningVersion(said string) (*semver.Version, error) {
	normal, err := versions.Normal(cmp.Or(said, BuildVersion()))
	if err != nil {
		normal = versions.Development
	}
	v, parseErr := release.ParseVersion(normal)
	return v, errors.Join(err, parseErr)
}

const maxAdminToken = 4 << 10 // a header holds it

// adminToken returns the token from wherever it is; "" only if neither option is set.
func (o Options) adminToken() (string, error) {
	token, from := o.AdminToken, "Options.AdminToken"
	switch {
	case o.AdminTokenFile != "" && token != "":
		return "", errors.New("Options.AdminToken and Options.AdminTokenFile are both set; choose one")
	case o.AdminTokenFile != "":
		f, err := os.Open(o.AdminTokenFile)
		if err != nil {
			return "", fmt.Errorf("the admin token: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxAdminToken+1))
		if err != nil {
			return "", fmt.Errorf("the admin token: %w", err)
		}
		token, from = strings.TrimSpace(string(b)), "the admin token in "+o.AdminTokenFile
	case token == "":
		return "", nil
	}
	switch {
	case len(token) < 32:
		return "", fmt.Errorf("%s is shorter than 32 bytes; make one with: openssl rand -hex 32", from)
	case len(token) > maxAdminToken:
		return "", fmt.Errorf("%s is longer than 4 KiB; make one with: openssl rand -hex 32", from)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("%s is not one word of printable ASCII, which is all that a header carries; make one with: openssl rand -hex 32", from)
	}
	return token, nil
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

// patient is a source that is waited for in another way.
func patient(c *fetch.Client, stall time.Duration) *fetch.Client {
	return &fetch.Client{
		Sources: c.Sources, Files: c.Files, HTTP: c.HTTP, CAFile: c.CAFile, AllowHTTP: c.AllowHTTP,
		Stall: stall, MinRate: c.MinRate, UserAgent: c.UserAgent,
	}
}

// only is a source in place of Source and Mirrors: a bundle, or the folder of a repository. A relative path begins at
// the working directory. Nothing else is different: what a bundle holds is signed, dated and counted like what comes
// over the network, and the person who brings it is trusted no more than a server.
func (s *settings) only(path string) (*fetch.Client, error) {
	if path == "" {
		return nil, errors.New("name a bundle, or the folder of a repository")
	}
	source, err := fetch.FileURL(path)
	if err != nil {
		return nil, err
	}
	c := &fetch.Client{Sources: []string{source}, Stall: s.Stall, MinRate: s.MinRate}
	return c, c.Check()
}
