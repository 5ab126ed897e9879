package managed

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A row says how the files of one package manager are told from others.
type row struct {
	name string
	os   string // only there; "" is everywhere
	// where is a file that must exist for the row to count.
	where string
	// tree is the folders that its programs are in, and proof a file below that only it writes.
	tree, proof string
	// trim ends the package's name where the folder's goes on.
	trim string
	// ask finds the package and what gave it away, where a path alone does not tell.
	ask     func(Place) (pkg, because string)
	command string
}

// table is asked from the top; the first row that finds its own counts. Sources: the managers' own documentation of
// their layout, named where it is not in the manual page.
var table = []row{
	// A program in a keg (docs.brew.sh/Formula-Cookbook) or in a cask's folder.
	{name: "Homebrew", tree: "Cellar/PACKAGE/*", proof: "INSTALL_RECEIPT.json", command: "brew upgrade {package}"},
	{name: "Homebrew", tree: "Caskroom/PACKAGE", proof: ".metadata", command: "brew upgrade --cask {package}"},

	{name: "snap", tree: "snap/PACKAGE/*", proof: "meta/snap.yaml", command: "sudo snap refresh {package}"},

	// Seen from outside, and from inside the sandbox, whose /.flatpak-info only flatpak can write (docs.flatpak.org).
	{name: "Flatpak", tree: "flatpak/app/PACKAGE/*/*/*", proof: "metadata", command: "flatpak update {package}"},
	{name: "Flatpak", ask: flatpakSandbox, command: "flatpak update {package}"},

	// The store is read-only; what replaces a program there is a new generation.
	{name: "NixOS", where: "etc/NIXOS", tree: "/nix/store/PACKAGE", command: "sudo nixos-rebuild switch --upgrade"},
	{name: "Nix", tree: "/nix/store/PACKAGE", command: "nix profile upgrade --all"},

	{name: "Scoop", os: "windows", tree: "apps/PACKAGE/*", proof: "install.json", command: "scoop update {package}"},
	{name: "Chocolatey", os: "windows", tree: "lib/PACKAGE", proof: "PACKAGE.nupkg", command: "choco upgrade {package}"},
	{name: "winget", os: "windows", tree: "WinGet/Packages/PACKAGE", trim: "_Microsoft.Winget.Source_", command: "winget upgrade --id {package}"},

	{name: "apt", os: "linux", ask: dpkg, command: "sudo apt-get install --only-upgrade {package}"},
	{name: "apk", os: "linux", ask: apk, command: "sudo apk add --upgrade {package}"},
	// Arch Linux supports no upgrade of one package alone (wiki.archlinux.org/title/System_maintenance).
	{name: "pacman", os: "linux", ask: pacman, command: "sudo pacman -Syu"},

	{name: "rpm-ostree", os: "linux", where: "run/ostree-booted", ask: rpm, command: "rpm-ostree upgrade"},
	{name: "dnf", os: "linux", where: "usr/bin/dnf", ask: rpm, command: rpmPackage("sudo dnf upgrade")},
	{name: "dnf", os: "linux", where: "usr/bin/dnf5", ask: rpm, command: rpmPackage("sudo dnf5 upgrade")},
	{name: "zypper", os: "linux", where: "usr/bin/zypper", ask: rpm, command: rpmPackage("sudo zypper update")},
	{name: "rpm", os: "linux", ask: rpm, command: rpmPackage("sudo yum update")},

	// Last: a package in a container is better updated with the image, but the package's command says more.
	{name: "its container image", os: "linux", ask: container, command: "docker pull IMAGE (or your registry's own way), then start a new container"},
}

// flatpakSandbox: below /app are the files of the one app that the sandbox is for.
func flatpakSandbox(p Place) (pkg, because string) {
	if !strings.HasPrefix(p.Path, "app/") {
		return "", ""
	}
	r := reader{root: p.Root}
	for l := range strings.Lines(string(r.read(".flatpak-info"))) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(l), "name="); ok {
			return id, "/.flatpak-info"
		}
	}
	return "", ""
}

// dpkg looks the file up in /var/lib/dpkg/info/PACKAGE.list, a path a line (dpkg-query(1), --listfiles). A list may
// name a file of /usr/bin as /bin, from before the two became one folder.
func dpkg(p Place) (pkg, because string) {
	names := []string{"/" + p.Path}
	if old, ok := strings.CutPrefix(p.Path, "usr/"); ok && !strings.HasPrefix(old, "local/") {
		names = append(names, "/"+old)
	}
	return listed(p, "var/lib/dpkg/info", func(entry string) (file, pkg string) {
		pkg, ok := strings.CutSuffix(entry, ".list")
		if !ok {
			return "", ""
		}
		return entry, pkg
	}, names...)
}

// pacman looks the file up in /var/lib/pacman/local/PACKAGE-VERSION-RELEASE/files (alpm-files(5)).
func pacman(p Place) (pkg, because string) {
	return listed(p, "var/lib/pacman/local", func(entry string) (file, pkg string) {
		parts := strings.Split(entry, "-")
		if len(parts) < 3 {
			return "", ""
		}
		return entry + "/files", strings.Join(parts[:len(parts)-2], "-")
	}, p.Path)
}

// notOfPackages are the folders that no package may put a file into (Filesystem Hierarchy Standard 3.0, 3.8, 3.14,
// 3.18, 4.9; Debian Policy 9.1.2). Programs that people put there need no look into thousands of lists.
var notOfPackages = []string{"home/", "root/", "tmp/", "usr/local/"}

// listed looks for a line in the file lists that a database keeps, one for each package.
func listed(p Place, folder string, list func(entry string) (file, pkg string), lines ...string) (pkg, because string) {
	if slices.ContainsFunc(notOfPackages, func(top string) bool { return strings.HasPrefix(p.Path, top) }) {
		return "", ""
	}
	entries, err := fs.ReadDir(p.Root, folder)
	if err != nil {
		return "", ""
	}
	// Most packages are named after their program: their lists are read first.
	base := path.Base(p.Path)
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int {
		return rank(a.Name(), base) - rank(b.Name(), base)
	})
	r := reader{root: p.Root}
	for _, e := range entries {
		file, pkg := list(e.Name())
		if file == "" {
			continue
		}
		b := r.read(path.Join(folder, file))
		if slices.ContainsFunc(lines, func(l string) bool { return line(b, l) }) {
			return pkg, p.shown(path.Join(folder, file))
		}
	}
	return "", ""
}

func rank(name, base string) int {
	if strings.HasPrefix(name, base) {
		return 0
	}
	return 1
}

// apk looks the file up in the database of installed packages: P: begins a package, F: a folder, R: names a file in it
// (wiki.alpinelinux.org/wiki/Apk_spec). apk-tools 3 keeps it in /usr.
func apk(p Place) (pkg, because string) {
	r := reader{root: p.Root}
	for _, db := range []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		folder := ""
		for l := range bytes.Lines(r.read(db)) {
			key, value, _ := strings.Cut(strings.TrimRight(string(l), "\n"), ":")
			switch key {
			case "P":
				pkg = value
			case "F":
				folder = value
			case "R":
				if path.Join(folder, value) == p.Path {
					return pkg, "/" + db
				}
			}
		}
	}
	return "", ""
}

// rpm decides by the path alone: its database (SQLite, Berkeley DB or its own) cannot be read without its library.
// Where it rules, which is where no other database of this table is, the Filesystem Hierarchy Standard 3.0 (4.1, 4.9)
// leaves nothing in /usr but /usr/local to anybody else. What a vendor's package put into /opt is not found; its
// publisher knows, and should link such builds with the switch.
func rpm(p Place) (pkg, because string) {
	if !strings.HasPrefix(p.Path, "usr/") || strings.HasPrefix(p.Path, "usr/local/") {
		return "", ""
	}
	for _, other := range []string{"var/lib/dpkg/status", "var/lib/pacman/local", "lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		if p.exists(other) {
			return "", ""
		}
	}
	for _, db := range []string{"usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"} {
		for _, file := range []string{"rpmdb.sqlite", "Packages.db", "Packages"} {
			if p.exists(path.Join(db, file)) {
				return "", "/" + path.Join(db, file)
			}
		}
	}
	return "", ""
}

// rpmPackage has the shell ask for the package's name, which we cannot know.
func rpmPackage(upgrade string) string {
	return upgrade + ` "$(rpm -qf --queryformat '%{NAME}' {path})"`
}

// Files that container engines put into every container: docker, podman, systemd's interface for others
// (systemd.io/CONTAINER_INTERFACE), Kubernetes with its default service account.
var containerMarkers = []string{".dockerenv", "run/.containerenv", "run/host/container-manager", "var/run/secrets/kubernetes.io"}

// Inits whose only purpose is to be process 1 for the program that a container is made for.
var smallInits = []string{"docker-init", "tini", "tini-static", "dumb-init", "catatonit", "podman-init"}

// container reports whether the container exists for this program: process 1 is the program, or the program is the one
// child of an init that runs nothing else. Any other process in a container, a shell's or a full init's, lives as on a
// machine.
func container(p Place) (pkg, because string) {
	i := slices.IndexFunc(containerMarkers, p.exists)
	if i < 0 {
		return "", ""
	}
	because = "process 1 is this program, and there is /" + containerMarkers[i]
	if p.PID == 1 || p.runsProgram(1) {
		return "", because
	}
	r := reader{root: p.Root}
	name := strings.TrimSpace(string(r.read("proc/1/comm")))
	parent := p.Parent
	for parent > 1 && p.runsProgram(parent) { // the anchor of its service, or the process before this one
		parent = r.parent(parent)
	}
	if parent == 1 && slices.Contains(smallInits, name) {
		return "", "process 1 is " + name + " for this program, and there is /" + containerMarkers[i]
	}
	return "", ""
}

// runsProgram reports whether a process runs the program's file, or the one that was at its path before.
func (p Place) runsProgram(pid int) bool {
	exe, err := fs.ReadLink(p.Root, "proc/"+strconv.Itoa(pid)+"/exe")
	if err != nil {
		return false // of another user: none of ours
	}
	exe = strings.TrimSuffix(strings.TrimPrefix(exe, "/"), " (deleted)")
	dir, name := path.Split(p.Path)
	return exe == p.Path || path.Dir(exe) == path.Join(dir, "."+name+".theseus")
}

// parent returns the parent of a process, or 0.
func (r *reader) parent(pid int) int {
	stat := string(r.read("proc/" + strconv.Itoa(pid) + "/stat"))
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // its name comes before, and may contain anything
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}
