package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A build is one version of a program, and what to put into its variables.
type build struct{ version, ldflags string }

// A pair is two builds of a program for one target.
type pair struct {
	program, module, pkg string
	target               string // os/arch
	toolchain            string // of the old build, if not the local one
	same                 bool   // the new build is by that toolchain too
	debug                bool   // both with debugging information, as go build makes them
	way                  string // of ways
	old, new             build
	most                 int64 // bytes that the patch may have: the goal, or a twentieth above what was measured last
	small                bool
}

func (p pair) name() string {
	s := p.program + " " + p.old.version + " → " + p.new.version + ", " + p.target
	switch {
	case p.same:
		s += ", " + p.toolchain
	case p.toolchain != "":
		s += ", " + p.toolchain + " → local"
	}
	if p.debug {
		s += ", not stripped"
	}
	if p.way != "" {
		s += ", " + p.way
	}
	if p.old.version == p.new.version && p.old.ldflags != p.new.ldflags {
		s += ", version string only"
	}
	return s
}

func age(version string) build { return build{version, "-X main.Version=v" + version} }
func fzf(version string) build { return build{version, "-X main.version=" + version} }
func restic(version string) build {
	return build{version, "-X main.version=" + version}
}
func plain(version string) build { return build{version: version} }

const (
	ageModule    = "filippo.io/age"
	fzfModule    = "github.com/junegunn/fzf"
	caddyModule  = "github.com/caddyserver/caddy/v2"
	resticModule = "github.com/restic/restic"
	rcloneModule = "github.com/rclone/rclone"
	sqliteModule = "github.com/mattn/go-sqlite3"
)

var pairs = []pair{
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", old: age("1.2.0"), new: age("1.2.1"), most: 6400, small: true},
	{program: "fzf", module: fzfModule, pkg: ".", target: "linux/amd64", old: fzf("0.56.0"), new: fzf("0.56.3"), most: 16500, small: true},
	{program: "caddy", module: caddyModule, pkg: "./cmd/caddy", target: "linux/amd64", old: plain("2.8.3"), new: plain("2.8.4"), most: 5300},
	{program: "caddy", module: caddyModule, pkg: "./cmd/caddy", target: "linux/amd64", old: plain("2.9.1"), new: plain("2.10.0"), most: 740000},
	{program: "rclone", module: rcloneModule, pkg: ".", target: "linux/amd64", old: plain("1.68.1"), new: plain("1.68.2"), most: 11600},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/amd64", old: restic("0.16.4"), new: restic("0.16.5"), most: 600000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/amd64", old: restic("0.16.5"), new: restic("0.17.3"), most: 480000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/arm64", old: restic("0.16.4"), new: restic("0.16.5"), most: 560000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "darwin/arm64", old: restic("0.16.4"), new: restic("0.16.5"), most: 600000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "darwin/amd64", old: restic("0.16.4"), new: restic("0.16.5"), most: 635000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "windows/amd64", old: restic("0.16.4"), new: restic("0.16.5"), most: 620000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/amd64", old: restic("0.17.3"), new: build{"0.17.3", "-X main.version=0.17.10-rc.1"}, most: 950},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 16000, small: true},
	{program: "caddy", module: caddyModule, pkg: "./cmd/caddy", target: "linux/amd64", debug: true, old: plain("2.8.3"), new: plain("2.8.4"), most: 42000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/amd64", debug: true, old: restic("0.16.4"), new: restic("0.16.5"), most: 1400000},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/arm64", debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 12500, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "darwin/arm64", debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 15500, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/arm", debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 13000, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "windows/amd64", debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 13500, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.24.11", same: true, debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 14000, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.27.3", same: true, debug: true, old: age("1.2.0"), new: age("1.2.1"), most: 15500, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.24.11", same: true, old: age("1.2.0"), new: age("1.2.1"), most: 5000, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.25.5", same: true, old: age("1.2.0"), new: age("1.2.1"), most: 4600, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.27.3", same: true, old: age("1.2.0"), new: age("1.2.1"), most: 5050, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.26.0", old: age("1.2.1"), new: age("1.2.1"), most: 32500, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", toolchain: "go1.25.5", old: age("1.2.1"), new: age("1.2.1"), most: 625000, small: true},
}

// The same programs for other processors, and as people build them besides.
var otherPairs = []pair{
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/arm", old: age("1.2.0"), new: age("1.2.1"), most: 5000, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/386", old: age("1.2.0"), new: age("1.2.1"), most: 4800, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/riscv64", old: age("1.2.0"), new: age("1.2.1"), most: 4300, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/loong64", old: age("1.2.0"), new: age("1.2.1"), most: 3900, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/ppc64le", old: age("1.2.0"), new: age("1.2.1"), most: 4100, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/s390x", old: age("1.2.0"), new: age("1.2.1"), most: 4300, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/mips", old: age("1.2.0"), new: age("1.2.1"), most: 4800, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/mips64le", old: age("1.2.0"), new: age("1.2.1"), most: 19500, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "windows/386", old: age("1.2.0"), new: age("1.2.1"), most: 5600, small: true},
	{program: "fzf", module: fzfModule, pkg: ".", target: "linux/arm", old: fzf("0.56.0"), new: fzf("0.56.3"), most: 16500, small: true},
	{program: "fzf", module: fzfModule, pkg: ".", target: "linux/386", old: fzf("0.56.0"), new: fzf("0.56.3"), most: 16500, small: true},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/arm", old: restic("0.16.4"), new: restic("0.16.5"), most: 575000},
	{program: "restic", module: resticModule, pkg: "./cmd/restic", target: "linux/386", old: restic("0.16.4"), new: restic("0.16.5"), most: 575000},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", way: "PIE", old: age("1.2.0"), new: age("1.2.1"), most: 6350, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", way: "c-shared", old: age("1.2.0"), new: age("1.2.1"), most: 7050, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", way: "linked by gcc", old: age("1.2.0"), new: age("1.2.1"), most: 5100, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", way: "with musl, static", old: age("1.2.0"), new: age("1.2.1"), most: 5250, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", way: "packed", old: age("1.2.0"), new: age("1.2.1"), most: 1778000, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/arm64", way: "PIE", old: age("1.2.0"), new: age("1.2.1"), most: 4150, small: true},
	{program: "age", module: ageModule, pkg: "./cmd/age", target: "linux/amd64", way: "by garble", toolchain: "go1.25.5", same: true, old: age("1.2.0"), new: age("1.2.1"), most: 62000, small: true},
	{program: "sqlite", module: sqliteModule, pkg: "./_example/simple", target: "linux/amd64", way: "with C code", old: plain("1.14.22"), new: plain("1.14.24"), most: 97500},
}

// build builds one side of the pair, or finds it built, and returns its path.
func (p pair) build(dir string, b build, toolchain string) (string, error) {
	if toolchain == "" {
		toolchain = "local"
	}
	w := ways[p.way]
	goos, goarch, _ := strings.Cut(p.target, "/")
	flags, kind := "-s -w ", ""
	if p.debug {
		flags, kind = "", "_debug"
	}
	label := strings.NewReplacer("-X main.", "", "=", "-", " ", "").Replace(b.ldflags)
	out, err := filepath.Abs(filepath.Join(dir, strings.Join([]string{p.program + w.label, b.version, label, goos, goarch, toolchain}, "_")+kind))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	source, err := sources(dir, p.module, b.version)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "building", filepath.Base(out))
	args := slices.Concat([]string{"build", "-trimpath", "-ldflags", flags + b.ldflags + w.ldflags}, w.flags, []string{"-o", out, p.pkg})
	cmd := exec.Command(cmp.Or(w.tool, "go"), args...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch, "GOTOOLCHAIN="+toolchain, "GOWORK=off", "GOFLAGS=")
	cmd.Env = append(cmd.Env, w.env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", p.name(), err, text)
	}
	if w.packed {
		if err := pack(out); err != nil {
			return "", err
		}
	}
	return out, nil
}

// sources returns a writable copy of a module's sources.
func sources(dir, module, version string) (string, error) {
	copied := filepath.Join(dir, "src", filepath.Base(filepath.Dir(module))+"-"+filepath.Base(module)+"-"+version)
	if _, err := os.Stat(copied); err == nil {
		return copied, nil
	}
	cmd := exec.Command("go", "mod", "download", "-json", module+"@v"+version)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	text, err := cmd.Output()
	var got struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(text, &got); jsonErr == nil && got.Error != "" {
		err = errors.New(got.Error)
	}
	if err != nil {
		return "", fmt.Errorf("downloading %s %s: %w", module, version, err)
	}
	if err := os.CopyFS(copied+".part", os.DirFS(got.Dir)); err != nil {
		return "", err
	}
	// The module cache is read-only; the copy needs not be.
	err = filepath.WalkDir(copied+".part", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o644)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return copied, os.Rename(copied+".part", copied)
}
