// Package testenv is the one way for a test not to run.
//
// `go test` prints nothing about a skipped test unless it is asked with -v, so a suite can grow quiet without anybody
// noticing. Every skip of this repository therefore goes through here: it names what is missing and how to get it, and it
// is written to the file that the environment variable TESTENV_SKIPS names. The check script lists that file and fails
// when it has more lines than the script allows.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Marker begins the message of every skip.
const Marker = "SKIPPED, NOT TESTED HERE:"

// Need skips the test unless every tool is on the PATH.
func Need(tb testing.TB, tools ...string) {
	tb.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			Skip(tb, tool, remedy(tool))
		}
	}
}

// NeedRoot skips the test unless it runs as root.
func NeedRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		Skip(tb, "root", "run the tests as root")
	}
}

// NeedOS skips the test unless it runs on one of the systems, named as GOOS names them. A test file that needs one system
// to compile has a build constraint instead.
func NeedOS(tb testing.TB, systems ...string) {
	tb.Helper()
	for _, os := range systems {
		if os == runtime.GOOS {
			return
		}
	}
	list := strings.Join(systems, " or ")
	Skip(tb, list, "run the tests on "+list)
}

// Skip skips the test for want of something that Need does not know, for example a kernel feature, and says how to get it.
func Skip(tb testing.TB, missing, remedy string) {
	tb.Helper()
	if err := record(tb.Name(), missing, remedy); err != nil {
		tb.Fatal(err)
	}
	tb.Skipf("%s %s", Marker, sentence(missing, remedy))
}

// Condition is Need for script tests: give it to testscript.Params.Condition and begin a script with
//
//	[!need:strace] skip
//
// The condition is true where the tool is on the PATH and records the skip where it is not.
func Condition(condition string) (bool, error) {
	tool, ok := strings.CutPrefix(condition, "need:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", condition)
	}
	if _, err := exec.LookPath(tool); err != nil {
		return false, record("a script", tool, remedy(tool))
	}
	return true, nil
}

// record appends one line. The variable is read only here, so that the cached result of a test that skipped is not used
// when a new file is to be filled, while all other results stay cached.
func record(name, missing, remedy string) error {
	path := os.Getenv("TESTENV_SKIPS")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("recording a skip: %w", err)
	}
	defer f.Close()
	// One write of one short line: test processes run side by side.
	_, err = fmt.Fprintf(f, "%s %s: %s\n", strings.TrimSuffix(filepath.Base(os.Args[0]), ".test"), name, sentence(missing, remedy))
	return err
}

func sentence(missing, remedy string) string {
	return fmt.Sprintf("%s is missing; to run this test: %s", missing, remedy)
}

// packages holds the tools whose Debian package has another name.
var packages = map[string]string{
	"btrfs":           "btrfs-progs",
	"capsh":           "libcap2-bin",
	"chattr":          "e2fsprogs",
	"debugfs":         "e2fsprogs",
	"dpkg-query":      "dpkg",
	"promtool":        "prometheus",
	"flock":           "util-linux",
	"getcap":          "libcap2-bin",
	"getfacl":         "acl",
	"getfattr":        "attr",
	"losetup":         "mount",
	"lsattr":          "e2fsprogs",
	"mkfs.btrfs":      "btrfs-progs",
	"mkfs.ext4":       "e2fsprogs",
	"mkfs.xfs":        "xfsprogs",
	"mount":           "mount",
	"nohup":           "coreutils",
	"nsenter":         "util-linux",
	"pidproxy":        "supervisor",
	"chrt":            "util-linux",
	"prlimit":         "util-linux",
	"taskset":         "util-linux",
	"runsv":           "runit",
	"sshd":            "openssh-server",
	"s6-supervise":    "s6",
	"s6-svc":          "s6",
	"setcap":          "libcap2-bin",
	"setfacl":         "acl",
	"setfattr":        "attr",
	"setpriv":         "util-linux",
	"sftp-server":     "openssh-sftp-server",
	"sh":              "dash",
	"sha256sum":       "coreutils",
	"supervisord":     "supervisor",
	"sv":              "runit",
	"systemd-analyze": "systemd",
	"timeout":         "coreutils",
	"umount":          "mount",
	"unshare":         "util-linux",
}

func remedy(tool string) string {
	if tool == "go" {
		return "install Go"
	}
	name, ok := packages[tool]
	if !ok {
		name = tool
	}
	return "apt-get install " + name
}
