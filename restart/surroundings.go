//go:build unix

package restart

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// waiters are programs that wait for the one process that they have started, and take its end for the end of the
// service. The names are those that the kernel keeps, at most 15 bytes of them.
var waiters = map[string]bool{}

func init() {
	for _, names := range []string{
		"runsv s6-supervise supervise supervise-daemo svscan perpd dinit finit nosh service-manager",
		"supervisord pidproxy circusd honcho foreman goreman forego overmind hivemind pm2 PM2 daemon watchman immortal horust",
		"tini tini-static dumb-init docker-init catatonit my_init pid1 podman-init execlineb conmon containerd-shim",
		"sh bash dash ash zsh fish ksh ksh93 mksh oksh lksh yash tcsh csh busybox rbash elvish nu pwsh osh hush",
		"go nodemon air entr reflex watchexec make just task timeout time script strace ltrace sudo su doas runuser",
		"sshd sshd-session login tmux screen cron crond atd npm yarn firejail bwrap unshare nsenter setsid",
	} {
		for _, name := range strings.Fields(names) {
			waiters[name[:min(len(name), 15)]] = true
		}
	}
}

// isWaiter reports whether the process with that id and name is one of the waiters. A script has its own name, so what runs
// it counts too, and an interpreter may run a waiter.
func isWaiter(pid int, name string) bool {
	name = strings.TrimPrefix(name, "-") // a login shell
	if first, _, ok := strings.Cut(name, ":"); ok {
		name = first // "tmux: server"
	}
	if waiters[name] {
		return true
	}
	proc := "/proc/" + strconv.Itoa(pid)
	exe, _ := os.Readlink(proc + "/exe")
	b, _ := os.ReadFile(proc + "/cmdline")
	args := strings.Split(string(b), "\x00")
	runs := filepath.Base(exe)
	if exe == "" {
		runs = filepath.Base(args[0])
	}
	if waiters[runs] {
		return true
	}
	interpreter := strings.TrimRight(runs, "0123456789.")
	if !slices.Contains([]string{"python", "ruby", "node", "perl", "java"}, interpreter) {
		return false
	}
	for _, arg := range args[1:] {
		base := strings.TrimSuffix(filepath.Base(arg), ".py")
		if waiters[base] && !strings.Contains(arg, " ") || strings.Contains(arg, "supervisor.pidproxy") {
			return true
		}
	}
	return false
}

// startedBySystemd reports whether systemd has started this process itself: what has lost its parent looks alike.
func startedBySystemd(pid, parent int, name string) bool {
	if v := os.Getenv("SYSTEMD_EXEC_PID"); v != "" { // since systemd 248
		return v == strconv.Itoa(pid)
	}
	return os.Getenv("INVOCATION_ID") != "" && name == "systemd"
}

// startedByLaunchd reports whether this process is a job of launchd.
func startedByLaunchd(parent int) bool {
	job := os.Getenv("XPC_SERVICE_NAME")
	return runtime.GOOS == "darwin" && parent == 1 && job != "" && job != "0"
}
