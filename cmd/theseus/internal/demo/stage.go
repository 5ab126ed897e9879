package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/cmd/theseus/internal/web"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A stage is where the demo plays: a temporary folder with keys, programs and a repository, and a web server in front of
// the repository that can be made to lie.
type stage struct {
	dir    string
	public string // public key file
	signer verify.Signer
	root   *verify.Trust
	memory *publisher.Memory
	repo   string
	mirror *mirror
	deltas int          // how many releases back the next publication makes deltas from
	copy   *idleInstall // an installation that nobody runs
	builds map[string]*build
	ctx    context.Context
	cancel context.CancelFunc
}

const demoApp = "hello"

// programs are the versions that are built, and the build tags of each.
var programs = []struct{ version, tags string }{
	{"1.0.0", ""}, {"1.1.0", ""}, {"1.2.0", ""}, {"1.3.0", "faults"}, {"1.4.0", ""}, {"1.5.0", ""},
}

func newStage(ctx context.Context, tell *narrator) (s *stage, err error) {
	source, err := sourceFolder(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "theseus-demo-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s = &stage{ctx: ctx, cancel: cancel, dir: dir, repo: filepath.Join(dir, "repo"), public: filepath.Join(dir, "demo.pub")}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	began := time.Now()
	s.build(source)
	if _, err := s.built("1.0.0"); err != nil {
		return nil, err
	}
	tell.fact("built hello 1.0.0 from %s in %.1f s; its successors are built meanwhile", source, time.Since(began).Seconds())

	if err := s.makeKey(); err != nil {
		return nil, err
	}
	if err := s.publish("1.0.0"); err != nil {
		return nil, err
	}
	if s.mirror, err = newMirror(s.repo); err != nil {
		return nil, err
	}
	tell.fact("made keys, published 1.0.0 and serve the repository at %s", s.mirror.url)

	if err := os.Mkdir(filepath.Join(dir, "copy"), 0o755); err != nil {
		return nil, err
	}
	s.copy = &idleInstall{stage: s, path: filepath.Join(dir, "copy", demoApp)}
	return s, s.install("1.0.0", s.copy.path)
}

func (s *stage) close() error {
	if s == nil {
		return nil
	}
	s.cancel()
	for _, b := range s.builds {
		<-b.done
	}
	if s.mirror != nil {
		s.mirror.close()
	}
	return os.RemoveAll(s.dir)
}

// sourceFolder finds the module: the one that we stand in, the one in the module cache, or the one that this program was built from.
func sourceFolder(ctx context.Context) (string, error) {
	const module = "github.com/theseus-go/theseus"
	if _, err := exec.LookPath("go"); err != nil {
		return "", ui.Fail(ui.ExitError, "the demo builds a small server and needs Go for it: install Go (https://go.dev/dl) and run this again")
	}
	var candidates []string
	if out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		library := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == module && m.Replace == nil })
		if out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output(); err == nil && library >= 0 {
			candidates = append(candidates, filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(module)+"@"+info.Deps[library].Version))
		}
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		candidates = append(candidates, filepath.Join(filepath.Dir(file), "..", "..", "..", ".."))
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "hello", "main.go")); filepath.IsAbs(dir) && err == nil {
			return dir, nil
		}
	}
	return "", ui.Fail(ui.ExitError, "the demo builds a small server from the source of Theseus, which is not here: run it in a checkout of %s", module)
}

// A build is a program in the making.
type build struct {
	path string
	done chan struct{} // closed when it is made, or could not be
	err  error
}

// build starts to build all versions, in their order, as many at once as there are processors.
func (s *stage) build(source string) {
	s.builds = map[string]*build{}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range programs {
		s.builds[p.version] = &build{path: filepath.Join(s.dir, "built-"+p.version), done: make(chan struct{})}
	}
	go func() {
		for _, p := range programs {
			b := s.builds[p.version]
			g.Go(func() error { // waits for its turn
				defer close(b.done)
				c := exec.CommandContext(s.ctx, "go", "build", "-C", source, "-buildvcs=false", "-tags", p.tags,
					"-ldflags", "-s -w -X main.version="+p.version, "-o", b.path, "./cmd/hello")
				// What an interrupted build leaves goes with the folder. The module cache has the library's go.work and not its tools.
				c.Env = append(os.Environ(), "GOTMPDIR="+s.dir, "GOWORK=off")
				c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
				c.WaitDelay = 10 * time.Second
				if out, err := c.CombinedOutput(); err != nil {
					b.err = ui.Fail(ui.ExitError, "building hello %s: %w: %s", p.version, err, bytes.TrimSpace(out))
				}
				return nil
			})
		}
	}()
}

// built returns the path of a version's program once it is there.
func (s *stage) built(version string) (string, error) {
	b := s.builds[version]
	<-b.done
	return b.path, b.err
}

// install copies a version's program.
func (s *stage) install(version, path string) error {
	from, err := s.built(version)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	// No fork while the file is open for writing: the child of one (a build) would have it open too for a moment, and the
	// kernel starts no program that is open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, data, 0o755)
}

// publish publishes a version, for everybody or for a share of the installations.
func (s *stage) publish(version string, rollout ...string) error {
	_, err := s.publishAs(version, version, append(rollout, "all")[0])
	return err
}

// publishAs publishes the program of one version under the name of another.
func (s *stage) publishAs(version, program, rollout string) (done *publisher.Published, err error) {
	file, err := s.built(program)
	if err != nil {
		return nil, err
	}
	v, err := release.ParseVersion(version)
	if err != nil {
		return nil, err
	}
	r := &publisher.Release{Version: v, Channel: "stable", Keep: 20, Deltas: s.deltas, Quiet: true,
		Allow:     []publisher.Check{publisher.OtherVersion}, // bad releases are what the demo is about
		Artifacts: []publisher.Artifact{{Platform: release.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}, Path: file}}}
	if rollout == "0%" {
		r.Rollout = func(now time.Time) release.Rollout { return release.Rollout{{At: now}} }
	}
	err = s.edit(func(p *publisher.Publisher) error {
		done, err = p.Publish(s.ctx, r)
		return err
	})
	return done, err
}

// edit opens the repository as each command of the tool does, for one change.
func (s *stage) edit(change func(*publisher.Publisher) error) error {
	folder, err := store.OpenFolder(s.repo)
	if err != nil {
		return err
	}
	defer folder.Close()
	p, err := publisher.Open(s.ctx, publisher.Options{Store: folder, App: demoApp, Root: s.root, Memory: s.memory, Signers: []verify.Signer{s.signer}})
	if err != nil {
		return err
	}
	return change(p)
}

func (s *stage) yank(version, reason string) error {
	v, err := release.ParseVersion(version)
	if err != nil {
		return err
	}
	return s.edit(func(p *publisher.Publisher) error {
		_, _, err := p.Amend(s.ctx, "stable", v, 0, func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			e.Yanked = &release.Yank{Reason: reason, Action: "stay"}
			return "", nil
		})
		return err
	})
}

// makeKey makes the publisher's key.
func (s *stage) makeKey() error {
	public, text, err := verify.GenerateKey(nil, "")
	if err != nil {
		return err
	}
	private, err := verify.ParsePrivateKey(text)
	if err != nil {
		return err
	}
	s.signer, s.memory = private.Signer(time.Now()), publisher.NewMemory()
	if s.root, err = verify.ParseTrust(s.signer.Key().String()); err != nil {
		return err
	}
	return os.WriteFile(s.public, []byte(public), 0o644)
}

// A mirror is the web server between publisher and programs. Most of the time it is honest.
type mirror struct {
	url    string
	honest *web.Handler
	server *http.Server

	mu   sync.Mutex
	lies map[string][]byte // by path
	sent map[string]bool   // the files that were asked for
}

func newMirror(repo string) (*mirror, error) {
	h, err := web.Open(repo)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.Close()
		return nil, err
	}
	m := &mirror{url: "http://" + l.Addr().String(), honest: h, lies: map[string][]byte{}, sent: map[string]bool{}}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	go m.server.Serve(l)
	return m, nil
}

func (m *mirror) close() {
	m.server.Close()
	m.honest.Close()
}

// lie serves bytes in place of what the repository has under a path.
func (m *mirror) lie(path string, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lies[path] = b
}

func (m *mirror) restore() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.lies)
}

// asked reports whether a file was asked for.
func (m *mirror) asked(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent[path]
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	m.mu.Lock()
	b, lying := m.lies[path]
	m.sent[path] = true
	m.mu.Unlock()
	if lying {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		return
	}
	m.honest.ServeHTTP(w, r)
}

// idleInstall is an installed program that does not run: what an administrator updates by hand.
type idleInstall struct {
	*stage
	path string
}

type outcome struct {
	code int
	text string // what it printed
}

// run runs the program with the flags that every command of it needs, and these.
func (s *idleInstall) run(ctx context.Context, args ...string) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := exec.CommandContext(ctx, s.path, append([]string{"--updates", s.mirror.url, "--key", s.public}, args...)...)
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(c.Args, " "), ctx.Err())
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &outcome{exit.ExitCode(), string(out)}, nil
	}
	return &outcome{0, string(out)}, err
}

// version asks the program on disk who it is.
func (s *idleInstall) version(ctx context.Context) (string, error) {
	out, err := s.run(ctx, "--version")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(strings.TrimPrefix(out.text, demoApp+" ")), nil
}

// update asks for an update and returns the exit code and the error that the program gave.
func (s *idleInstall) update(ctx context.Context) (code int, message string, err error) {
	out, err := s.run(ctx, "self-update", "--json")
	if err != nil {
		return 0, "", err
	}
	lines := strings.Split(strings.TrimSpace(out.text), "\n")
	var said struct{ Error string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &said); err != nil {
		return out.code, "", fmt.Errorf("hello self-update --json printed no JSON: %s", out.text)
	}
	return out.code, strings.TrimPrefix(said.Error, "updater: "), nil
}

// folder lists what is beside the program.
func (s *idleInstall) folder() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.path))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, err
}
