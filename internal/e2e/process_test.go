//go:build unix

package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// offered is an installation of 1.0.0 to which 1.1.0 is on offer.
func offered(t *testing.T) (*installation, *testrelease.Repo) {
	t.Helper()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.1.0", script("1.1.0"))
	return i, repo
}

// Names that other updaters use, and that somebody may have planted, mean nothing here.
func TestF03PlantedLinks(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	victim := filepath.Join(i.side, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	planted := []string{".hello.new", "hello.new", ".hello.old", "hello.old", ".hello.app.check-perm", ".hello.theseus.tmp"}
	for _, name := range planted {
		if err := os.Symlink(victim, filepath.Join(i.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("the file behind the links: %q, %v", b, err)
	}
	for _, name := range planted {
		if to, err := os.Readlink(filepath.Join(i.dir, name)); err != nil || to != victim {
			t.Errorf("%s leads to %q, %v", name, to, err)
		}
	}
}

// A state folder that is a link to somewhere else is somebody's trick.
func TestF03StateFolderIsALink(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	elsewhere := filepath.Join(i.side, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, i.home()); err != nil {
		t.Fatal(err)
	}
	if r := i.selfUpdate(repo); r.code == 0 || !strings.Contains(r.errout, i.home()) {
		t.Errorf("%v", r)
	}
	if v := i.version(); v != "1.0.0" {
		t.Errorf("the program is %s", v)
	}
	if names := i.list(elsewhere); len(names) != 0 {
		t.Errorf("wrote %q behind the link", names)
	}
}

// The mode of the program is a policy, not an accident of what lay about or of a umask.
func TestModeIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		mode  os.FileMode
		umask string
		stale bool
	}{
		{"F05 stale file of mode 0600", 0o755, "022", true},
		{"F06 umask 077", 0o755, "077", false},
		{"F06 umask 000", 0o750, "000", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i, repo := offered(t)
			if err := os.Chmod(i.path, c.mode); err != nil {
				t.Fatal(err)
			}
			if c.stale {
				for _, name := range []string{".hello.new", "hello.new"} {
					if err := os.WriteFile(filepath.Join(i.dir, name), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			args := append([]string{"-c", `umask ` + c.umask + `; exec "$@"`, "sh", i.path}, append(i.flags(repo), "self-update")...)
			if out, err := exec.Command("sh", args...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			info, err := os.Stat(i.path)
			if err != nil || info.Mode() != c.mode || i.version() != "1.1.0" {
				t.Errorf("mode %v, want %v (%v); version %s", info.Mode(), c.mode, err, i.version())
			}
			for path, want := range map[string]os.FileMode{i.home(): 0o755 | os.ModeDir, i.home() + "/state": 0o644, i.home() + "/lock": 0o600} {
				if info, err := os.Stat(path); err != nil || info.Mode() != want {
					t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode(), want, err)
				}
			}
		})
	}
}

func TestF17ReadOnly(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.Need(t, "unshare", "mount")
	i, repo := offered(t)
	before := i.look()
	script := `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, i.dir, i.path}, append(i.flags(repo), "self-update")...)...)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 6 || !bytes.Contains(out, []byte("read-only")) {
		t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	if n := repo.Requested("files/"); n != 0 {
		t.Errorf("%d artifacts were asked for before it was noticed", n)
	}
	i.unmoved(before)
}

// nobody runs hello as a user that owns nothing.
func nobody(i *installation, args ...string) (code int, out string) {
	i.t.Helper()
	cmd := exec.Command(i.path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	b, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(b)
}

// The README's layout: a service cannot update a program in a folder that it may not write, and can in one of its own.
func TestPermission(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	i, repo := offered(t)
	args := append(i.flags(repo), "self-update")
	before := i.look()
	code, out := nobody(i, args...)
	if code != 6 || !strings.Contains(out, i.dir) {
		t.Errorf("in a folder of root's: exit code %d\n%s", code, out)
	}
	if n := repo.Requested("files/"); n != 0 {
		t.Errorf("%d artifacts were asked for", n)
	}
	i.unmoved(before)
	if code, out := nobody(i, append(args, "--check")...); code != 100 {
		t.Errorf("--check in a folder of root's: exit code %d\n%s", code, out)
	}

	for _, path := range []string{i.dir, i.path} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := nobody(i, args...); code != 0 || i.version() != "1.1.0" {
		t.Errorf("in a folder of its own: exit code %d, version %s\n%s", code, i.version(), out)
	}

	// Root changes nothing there, and says who may: see doc/recovery.md.
	j := install(t, build(t, "1.0.0")).trusts(repo)
	for _, path := range []string{j.dir, j.path} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	before = j.look()
	owners := "sudo -u '#65534' " + strings.Join(append([]string{j.path}, append(j.flags(repo), "self-update")...), " ")
	if r := j.selfUpdate(repo); r.code != 6 || !strings.Contains(r.errout, owners) {
		t.Errorf("root in a folder of somebody else's: %v\nwant %s", r, owners)
	}
	j.unmoved(before)
	if code, out := nobody(j, append(j.flags(repo), "self-update")...); code != 0 {
		t.Errorf("its owner after that: exit code %d\n%s", code, out)
	}
	for _, path := range []string{j.path, j.home(), j.home() + "/state", j.home() + "/lock"} {
		if info, err := os.Stat(path); err != nil || owner(info) != [2]uint32{65534, 65534} {
			t.Errorf("%s belongs to %v, %v", path, owner(info), err)
		}
	}
}

func TestF20TwoUpdatersAtOnce(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	const n = 6
	codes := make([]result, n)
	var wg sync.WaitGroup
	for k := range codes {
		wg.Go(func() { codes[k] = i.selfUpdate(repo) })
	}
	wg.Wait()
	won := 0
	for _, r := range codes {
		switch {
		case r.code == 0:
			won++
		case r.code == 7 && strings.Contains(r.errout, "another update"):
		default:
			t.Errorf("%v", r)
		}
	}
	if won == 0 {
		t.Error("nobody won")
	}
	if v := i.version(); v != "1.1.0" {
		t.Errorf("the program is %s", v)
	}
	i.tidy()
	t.Logf("%d of %d installed it or found it installed, the others said that another update is running", won, n)
}

// A version beside --self-update is the one to install, as people type it.
func TestVersionBesideSelfUpdate(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--self-update", "--version", "1.1.0"}, {"--self-update", "1.1.0"}, {"self-update", "v1.1.0"}} {
		i, repo := offered(t)
		repo.Publish("1.2.0", script("1.2.0"))
		if r := i.run(append(i.flags(repo), args...)...); r.code != 0 || i.version() != "1.1.0" {
			t.Errorf("%q: %v", args, r)
		}
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	if r := i.selfUpdate(repo, "--check"); r.code != 100 {
		t.Fatalf("%v", r)
	}
	lock, err := os.OpenFile(filepath.Join(i.home(), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before := i.look()
	if r := i.selfUpdate(repo); r.code != 7 {
		t.Errorf("%v", r)
	}
	i.unmoved(before)
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if r := i.selfUpdate(repo); r.code != 0 {
		t.Errorf("%v", r)
	}
}

func TestF35LockOfAnotherUser(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.Need(t, "setpriv", "flock")
	i, repo := offered(t)
	if r := i.selfUpdate(repo, "--check"); r.code != 100 {
		t.Fatalf("%v", r)
	}
	lock := filepath.Join(i.home(), "lock")
	out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "flock", "--shared", "--nonblock", lock, "true").CombinedOutput()
	if err == nil {
		t.Errorf("another user can hold the lock: %s", out)
	}
	if r := i.selfUpdate(repo); r.code != 0 {
		t.Errorf("%v", r)
	}
}

// The admin endpoint of the built program: over TCP as an attacker's browser or a proxy on the machine reaches it, and over
// its unix socket.
func TestAdminEndpoint(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	tcp, socket := testenv.Port(t), filepath.Join(i.side, "a")
	s := i.start(i.flags(repo)...)
	open, openRepo := offered(t)
	open.start(append(open.flags(openRepo), "--admin", tcp)...)
	repo.Forget()
	if info, err := os.Lstat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("R18: the socket has mode %v, %v", info.Mode(), err)
	}
	before := i.look()

	for _, c := range []struct {
		name         string
		method, path string
		header       map[string]string // Host among them
		body         string
		code         int
	}{
		{"H01 DNS rebinding", "POST", "/update", map[string]string{"Host": "rebind.example"}, "{}", 403},
		{"H01 DNS rebinding, reading", "GET", "/update", map[string]string{"Host": "rebind.example:80"}, "", 403},
		{"R16 a change over TCP", "POST", "/update", nil, "{}", 403},
		{"R16 a rollback over TCP", "POST", "/update/rollback", nil, "{}", 403},
		{"R16 what a proxy passes on over TCP", "GET", "/update", map[string]string{"X-Forwarded-For": "198.51.100.7"}, "", 403},
		{"R16 what a proxy passes on", "POST", "/update", map[string]string{"Forwarded": "for=198.51.100.7"}, "{}", 403},
		{"H02 CSRF: a form", "POST", "/update", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, "a=b", 415},
		{"H02 CSRF: a simple request", "POST", "/update", map[string]string{"Content-Type": "text/plain"}, "{}", 415},
		{"H02 CSRF: another origin", "POST", "/update", map[string]string{"Origin": "https://evil.example"}, "{}", 403},
		{"H02 CSRF: another site", "POST", "/update", map[string]string{"Sec-Fetch-Site": "cross-site"}, "{}", 403},
		{"H04 SSRF: a URL", "POST", "/update", nil, `{"url":"http://169.254.169.254/"}`, 400},
		{"H04 SSRF: a source", "POST", "/update", nil, `{"source":"file:///etc"}`, 400},
		{"H04 SSRF: a path for a version", "POST", "/update", nil, `{"version":"../../etc/passwd"}`, 400},
		{"H04 SSRF: a key", "POST", "/update", nil, `{"key":"RWQ"}`, 400},
		{"H05 state change by another method: DELETE", "DELETE", "/update", nil, "", 405},
		{"H05 state change by another method: PUT", "PUT", "/update", nil, "{}", 405},
		{"H05 state change by another method: GET", "GET", "/update/rollback", nil, "", 405},
		{"H06 huge body", "POST", "/update", nil, `{"version":"` + strings.Repeat("1", 8<<10) + `"}`, 413},
		{"no JSON", "POST", "/update", nil, "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			network, addr := "unix", socket
			if strings.HasPrefix(c.name, "H01") || strings.HasSuffix(c.name, "over TCP") {
				network, addr = "tcp", tcp
			}
			req, err := http.NewRequest(c.method, "http://"+tcp+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			if host := c.header["Host"]; host != "" {
				req.Host = host
			}
			resp, err := over(network, addr).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.code {
				t.Errorf("%s, want %d", resp.Status, c.code)
			}
			if c.code == 405 && resp.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			s.quiet(t, resp)
		})
	}
	if v := s.serves("1.0.0"); v == 0 {
		t.Error("no process id")
	}
	if n := repo.Requested("files/"); n != 0 {
		t.Errorf("%d artifacts were asked for", n)
	}
	i.same(before)
	repo.Hook("stable", testrelease.Page())
	s.post()
	s.await("the refusal", func() bool { st := s.status(); return st.Outcome != nil && st.Outcome.Code == 4 })
	resp, err := s.admin.Get("http://localhost/update")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.quiet(t, resp)
}

// R16: with a token the endpoint is for whoever has it, through a proxy too, and for nobody else.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	tcp, secret, file := testenv.Port(t), strings.Repeat("0123456789abcdef", 2), filepath.Join(i.side, "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := i.start(append(i.flags(repo), "--admin", tcp, "--admin-token", file)...)
	ask := func(method, token string) int {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+tcp+"/update", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-For", "198.51.100.7")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := over("tcp", tcp).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for range 12 {
		if code := ask("POST", strings.Repeat("x", 32)); code != 401 && code != 429 {
			t.Fatalf("a wrong token: %d", code)
		}
	}
	if code := ask("GET", secret); code != 200 { // R17: after all the wrong ones
		t.Errorf("the right token: %d", code)
	}
	s.await("an update that is taken on", func() bool { return ask("POST", secret) == 202 })
}

// quiet is H11: an answer of the admin endpoint tells nothing about the machine and is nothing to a browser.
func (s *service) quiet(t *testing.T, resp *http.Response) {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{s.dir, s.side, "goroutine"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("H11 information leak: the answer names %s:\n%s", secret, &b)
		}
	}
	if h := resp.Header; h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("H11 headers: %v", h)
	}
}
