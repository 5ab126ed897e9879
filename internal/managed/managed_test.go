package managed

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/theseus-go/theseus/internal/testenv"
)

// files makes a file system of names and contents; "-> x" is a link to x.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		f := &fstest.MapFile{Data: []byte(pairs[i+1]), Mode: 0o644}
		if to, ok := strings.CutPrefix(pairs[i+1], "-> "); ok {
			f = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
		}
		m[pairs[i]] = f
	}
	return m
}

const apkDB = "C:Q1\nP:musl\nV:1.2\nF:lib\nR:ld-musl.so\n\nC:Q2\nP:greeter\nV:1.0\nF:usr/bin\nR:hello\nR:bye\n\nP:after\nF:usr\nR:x\n"

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name    string
		os      string // default linux
		path    string
		files   fstest.MapFS
		pid     int
		parent  int
		manager string // "" is nobody
		command string
	}{
		{name: "Homebrew on macOS", os: "darwin", path: "opt/homebrew/Cellar/hello/1.0.0/bin/hello",
			files: files("opt/homebrew/Cellar/hello/1.0.0/INSTALL_RECEIPT.json", "{}"), manager: "Homebrew", command: "brew upgrade hello"},
		{name: "Homebrew on Linux", path: "home/linuxbrew/.linuxbrew/Cellar/hello/1.0.0/bin/hello",
			files: files("home/linuxbrew/.linuxbrew/Cellar/hello/1.0.0/INSTALL_RECEIPT.json", "{}"), manager: "Homebrew", command: "brew upgrade hello"},
		{name: "a Homebrew cask", os: "darwin", path: "opt/homebrew/Caskroom/hello/1.0.0/hello",
			files: files("opt/homebrew/Caskroom/hello/.metadata/x", ""), manager: "Homebrew", command: "brew upgrade --cask hello"},
		{name: "a folder called Cellar", path: "home/me/Cellar/hello/1.0.0/hello", files: files("home/me/Cellar/hello/1.0.0/README", "")},
		{name: "a name that would run something", os: "darwin", path: "opt/homebrew/Cellar/$(reboot)/1.0.0/bin/hello",
			files: files("opt/homebrew/Cellar/$(reboot)/1.0.0/INSTALL_RECEIPT.json", "{}"), manager: "Homebrew", command: "brew upgrade '$(reboot)'"},

		{name: "snap", path: "snap/greeter/42/bin/hello", files: files("snap/greeter/42/meta/snap.yaml", "name: greeter"), manager: "snap", command: "sudo snap refresh greeter"},
		{name: "Flatpak from outside", path: "var/lib/flatpak/app/org.example.Hello/x86_64/stable/0123/files/bin/hello",
			files: files("var/lib/flatpak/app/org.example.Hello/x86_64/stable/0123/metadata", "[Application]"), manager: "Flatpak", command: "flatpak update org.example.Hello"},
		{name: "Flatpak from inside", path: "app/bin/hello", files: files(".flatpak-info", "[Application]\nname=org.example.Hello\nruntime=x\n"),
			manager: "Flatpak", command: "flatpak update org.example.Hello"},
		{name: "a folder /app", path: "app/bin/hello", files: files("app/bin/hello", "")},
		{name: "Flatpak, but a file of the user's", path: "home/me/hello", files: files(".flatpak-info", "name=org.example.Hello\n")},

		{name: "Nix", path: "nix/store/abc-hello-1.0.0/bin/hello", files: files("nix/store/abc-hello-1.0.0/bin/hello", ""), manager: "Nix", command: "nix profile upgrade --all"},
		{name: "NixOS", path: "nix/store/abc-hello-1.0.0/bin/hello", files: files("nix/store/abc-hello-1.0.0/bin/hello", "", "etc/NIXOS", ""),
			manager: "NixOS", command: "sudo nixos-rebuild switch --upgrade"},
		{name: "a folder like Nix's", path: "home/me/nix/store/abc/hello", files: files("home/me/nix/store/abc/hello", "")},

		{name: "Scoop", os: "windows", path: "Users/me/scoop/apps/hello/1.0.0/hello.exe",
			files: files("Users/me/scoop/apps/hello/1.0.0/install.json", "{}"), manager: "Scoop", command: "scoop update hello"},
		{name: "Chocolatey", os: "windows", path: "ProgramData/chocolatey/lib/hello/tools/hello.exe",
			files: files("ProgramData/chocolatey/lib/hello/hello.nupkg", "PK"), manager: "Chocolatey", command: "choco upgrade hello"},
		{name: "winget", os: "windows", path: "Users/me/AppData/Local/Microsoft/WinGet/Packages/Example.Hello_Microsoft.Winget.Source_8wekyb3d8bbwe/hello.exe",
			files:   files("Users/me/AppData/Local/Microsoft/WinGet/Packages/Example.Hello_Microsoft.Winget.Source_8wekyb3d8bbwe/hello.exe", ""),
			manager: "winget", command: "winget upgrade --id Example.Hello"},
		{name: "by hand on Windows", os: "windows", path: "Program Files/hello/hello.exe", files: files("Program Files/hello/hello.exe", "")},

		{name: "dpkg", path: "usr/bin/hello", files: files("var/lib/dpkg/info/greeter.list", "/.\n/usr\n/usr/bin\n/usr/bin/hello\n"),
			manager: "apt", command: "sudo apt-get install --only-upgrade greeter"},
		{name: "dpkg, of two architectures", path: "usr/bin/hello", files: files("var/lib/dpkg/info/greeter:amd64.list", "/usr/bin/hello\n"),
			manager: "apt", command: "sudo apt-get install --only-upgrade greeter:amd64"},
		{name: "dpkg, from before /bin was /usr/bin", path: "usr/bin/hello", files: files("var/lib/dpkg/info/greeter.list", "/bin/hello\n"),
			manager: "apt", command: "sudo apt-get install --only-upgrade greeter"},
		{name: "dpkg, a package in /opt", path: "opt/hello/hello", files: files("var/lib/dpkg/info/hello.list", "/opt/hello/hello\n"),
			manager: "apt", command: "sudo apt-get install --only-upgrade hello"},
		{name: "dpkg, a longer name", path: "usr/bin/hello", files: files("var/lib/dpkg/info/greeter.list", "/usr/bin/hello-world\n/x/usr/bin/hello\n")},
		{name: "dpkg, a file that is no list", path: "usr/bin/hello", files: files("var/lib/dpkg/info/greeter.postinst", "/usr/bin/hello\n")},
		{name: "dpkg, by hand in /usr/local", path: "usr/local/bin/hello", files: files("var/lib/dpkg/info/greeter.list", "/bin/hello\n/usr/local/bin/hello\n")},

		{name: "apk", path: "usr/bin/hello", files: files("lib/apk/db/installed", apkDB), manager: "apk", command: "sudo apk add --upgrade greeter"},
		{name: "apk 3", path: "usr/bin/hello", files: files("usr/lib/apk/db/installed", apkDB), manager: "apk", command: "sudo apk add --upgrade greeter"},
		{name: "apk, by hand", path: "usr/local/bin/hello", files: files("lib/apk/db/installed", apkDB)},

		{name: "pacman", path: "usr/bin/hello", files: files("var/lib/pacman/local/hello-world-1.0.0-2/files", "%FILES%\nusr/\nusr/bin/\nusr/bin/hello\n"),
			manager: "pacman", command: "sudo pacman -Syu"},
		{name: "pacman, by hand", path: "usr/local/bin/hello", files: files("var/lib/pacman/local/hello-1-1/files", "%FILES%\nusr/bin/hello\n")},

		{name: "rpm and dnf", path: "usr/bin/hello", files: files("usr/lib/sysimage/rpm/rpmdb.sqlite", "", "usr/bin/dnf", ""),
			manager: "dnf", command: `sudo dnf upgrade "$(rpm -qf --queryformat '%{NAME}' /usr/bin/hello)"`},
		{name: "rpm and dnf5 alone", path: "usr/bin/hello", files: files("usr/lib/sysimage/rpm/rpmdb.sqlite", "", "usr/bin/dnf5", ""),
			manager: "dnf", command: `sudo dnf5 upgrade "$(rpm -qf --queryformat '%{NAME}' /usr/bin/hello)"`},
		{name: "rpm and zypper", path: "usr/bin/hello", files: files("usr/lib/sysimage/rpm/Packages.db", "", "usr/bin/zypper", ""),
			manager: "zypper", command: `sudo zypper update "$(rpm -qf --queryformat '%{NAME}' /usr/bin/hello)"`},
		{name: "rpm of old", path: "usr/sbin/hello", files: files("var/lib/rpm/Packages", ""),
			manager: "rpm", command: `sudo yum update "$(rpm -qf --queryformat '%{NAME}' /usr/sbin/hello)"`},
		{name: "rpm-ostree", path: "usr/bin/hello", files: files("usr/share/rpm/rpmdb.sqlite", "", "run/ostree-booted", ""), manager: "rpm-ostree", command: "rpm-ostree upgrade"},
		{name: "rpm, by hand in /usr/local", path: "usr/local/bin/hello", files: files("usr/lib/sysimage/rpm/rpmdb.sqlite", "")},
		{name: "rpm, in /opt", path: "opt/hello/hello", files: files("usr/lib/sysimage/rpm/rpmdb.sqlite", "")},
		{name: "rpm as a tool on Debian", path: "usr/bin/hello", files: files("var/lib/rpm/rpmdb.sqlite", "", "var/lib/dpkg/status", "")},
		{name: "rpm that was never used", path: "usr/bin/hello", files: files("var/lib/rpm/.keep", "")},

		{name: "process 1 of docker", path: "app/hello", pid: 1, files: files(".dockerenv", ""), manager: "its container image", command: "docker pull IMAGE (or your registry's own way), then start a new container"},
		{name: "process 1 of podman", path: "app/hello", pid: 1, files: files("run/.containerenv", ""), manager: "its container image"},
		{name: "process 1 of Kubernetes", path: "app/hello", pid: 1, files: files("var/run/secrets/kubernetes.io/serviceaccount/token", ""), manager: "its container image"},
		{name: "process 1 without a marker", path: "app/hello", pid: 1, files: files("app/hello", "")},
		{name: "under its own init", path: "app/hello", pid: 7, parent: 1, files: files(".dockerenv", "", "proc/1/exe", "-> /app/hello"), manager: "its container image"},
		{name: "a later generation under its own init", path: "app/hello", pid: 9, parent: 7,
			files: files(".dockerenv", "", "proc/1/exe", "-> /app/.hello.theseus/previous-00 (deleted)"), manager: "its container image"},
		{name: "under tini", path: "app/hello", pid: 7, parent: 1, files: files(".dockerenv", "", "proc/1/comm", "tini\n"), manager: "its container image"},
		{name: "under its anchor under tini", path: "app/hello", pid: 8, parent: 7, files: files(".dockerenv", "", "proc/1/comm", "tini\n", "proc/1/exe", "-> /sbin/tini",
			"proc/7/exe", "-> /app/hello", "proc/7/stat", "7 (hel) lo) S 1 7 7 0"), manager: "its container image"},
		{name: "under a shell under tini", path: "app/hello", pid: 8, parent: 7, files: files(".dockerenv", "", "proc/1/comm", "tini\n", "proc/1/exe", "-> /sbin/tini")},
		{name: "under a shell that is process 1", path: "app/hello", pid: 8, parent: 1, files: files(".dockerenv", "", "proc/1/comm", "bash\n", "proc/1/exe", "-> /bin/bash")},
		{name: "under systemd in a container", path: "app/hello", pid: 8, parent: 1, files: files("run/host/container-manager", "", "proc/1/comm", "systemd\n")},
		{name: "a package in a container", path: "usr/bin/hello", pid: 1, files: files(".dockerenv", "", "var/lib/dpkg/info/hello.list", "/usr/bin/hello\n"),
			manager: "apt", command: "sudo apt-get install --only-upgrade hello"},

		{name: "by hand", path: "usr/local/bin/hello", files: files("usr/local/bin/hello", "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.os == "" {
				c.os = "linux"
			}
			if c.pid == 0 {
				c.pid, c.parent = 100, 99
			}
			m := Find(Place{Root: c.files, Path: c.path, OS: c.os, PID: c.pid, Parent: c.parent})
			switch {
			case m == nil && c.manager != "":
				t.Errorf("found nobody, want %s", c.manager)
			case m != nil && (m.Name != c.manager || c.command != "" && m.Command != c.command):
				t.Errorf("%s, command %q; want %q, %q", m, m.Command, c.manager, c.command)
			case m != nil && m.Because == "":
				t.Error("does not say what gave it away")
			}
		})
	}
}

// Every row of the table is one that a test finds: a row that nothing reaches would be decoration.
func TestFindTriesEveryRow(t *testing.T) {
	b, err := os.ReadFile("managed_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table {
		if !strings.Contains(string(b), `manager: "`+row.name+`"`) {
			t.Errorf("no test finds %s", row.name)
		}
	}
}

// The database of the machine that runs the test, beside what its own tool says.
func TestFindAsDpkgDoes(t *testing.T) {
	testenv.Need(t, "dpkg-query", "tar")
	tool, err := exec.LookPath("tar")
	if err != nil {
		t.Fatal(err)
	}
	if tool, err = filepath.EvalSymlinks(tool); err != nil {
		t.Fatal(err)
	}
	m := Find(Place{Root: os.DirFS("/"), Path: tool[1:], OS: "linux", PID: os.Getpid(), Parent: os.Getppid()})
	if m == nil || !strings.HasSuffix(m.Command, " tar") {
		t.Errorf("%s: %v", tool, m)
	}
	if m := Find(Place{Root: os.DirFS("/"), Path: "opt/nobody's/tar", OS: "linux", PID: os.Getpid(), Parent: os.Getppid()}); m != nil {
		t.Errorf("a file of nobody's: %v", m)
	}
}

func TestSaid(t *testing.T) {
	marked := files("opt/.hello.managed", "\x1b[31mansible-playbook\thello.yml\nnot shown\n")
	for _, c := range []struct {
		name       string
		files      fstest.MapFS
		build, env string
		command    string
		because    string // "" is nobody
		free       bool
	}{
		{name: "nothing", files: files()},
		{name: "marker", files: marked, command: "[31mansible-playbook hello.yml", because: "/opt/.hello.managed"},
		{name: "empty marker", files: files("opt/.hello.managed", ""), because: "/opt/.hello.managed"},
		{name: "a folder with the marker's name", files: files("opt/.hello.managed/x", "")},
		{name: "a marker for another program", files: files("opt/.bye.managed", "")},
		{name: "build", files: marked, build: "guix upgrade hello", command: "guix upgrade hello", because: "as it was built"},
		{name: "build without a command", files: files(), build: "true", because: "as it was built"},
		{name: "environment", files: marked, build: "guix upgrade hello", env: "make deploy", command: "make deploy", because: "the environment variable THESEUS_MANAGED"},
		{name: "environment, 1", files: files(), env: "1", because: "the environment variable THESEUS_MANAGED"},
		{name: "environment, 0", files: marked, build: "guix upgrade hello", env: "0", free: true},
		{name: "environment, no", files: marked, env: "No", free: true},
		{name: "a command that is no command", files: files("opt/.hello.managed", strings.Repeat("x", 1000)), because: "/opt/.hello.managed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, free := Said(Place{Root: c.files, Path: "opt/hello", OS: "linux"}, c.build, c.env)
			if free != c.free || (m != nil) != (c.because != "") {
				t.Fatalf("%v, free %v", m, free)
			}
			if m != nil && (m.Command != c.command || m.Because != c.because) {
				t.Errorf("command %q, because of %q", m.Command, m.Because)
			}
		})
	}
}

// R13: whatever a marker, the environment or a folder's name holds, a terminal gets one line of text; and a marker of
// somebody who could not replace the program is not believed.
func TestR13MarkerOfAnotherUser(t *testing.T) {
	files := fstest.MapFS{
		"opt/hello":          {Mode: 0o755},
		"opt/.hello.managed": {Data: []byte("rm -rf \x1b[8m/\u202e \xff\x00now\nsecond line"), Mode: 0o644},
	}
	p := Place{Root: files, Path: "opt/hello", OS: "linux"}
	m, free := Said(p, "", "")
	if m == nil || free || m.Command != "rm -rf [8m/ \uFFFD now" {
		t.Errorf("%+v", m)
	}
	if m, _ := Said(p, "", "a\u2066b\x07"); m == nil || m.Command != "a b" {
		t.Errorf("%+v", m)
	}
	asked := ""
	p.Believe = func(name string) bool { asked = name; return false }
	if m, free := Said(p, "", ""); m != nil || free || asked != "opt/.hello.managed" {
		t.Errorf("%+v, asked for %q", m, asked)
	}
	if m := newManager("x", "y", "/opt/\x1b[2J\u202e/hello"); m.Because != "/opt/ [2J /hello" {
		t.Errorf("%q", m.Because)
	}
}
