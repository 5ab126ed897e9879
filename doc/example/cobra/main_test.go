package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The built program answers as any other that embeds updater.
func TestSelfUpdate(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "tool")
	key := "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3" // minisign's own, of its manual page
	build := exec.Command("go", "build", "-ldflags", "-X main.version=1.2.3 -X main.key="+key, "-o", exe, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, row := range []struct {
		args string
		code int
		says string
	}{
		{"--version", 0, "1.2.3\n"},
		{"self-update --help", 0, "usage: tool self-update"},
		{"self-update --force", 2, "Try: tool self-update --help"},
		{"self-update --from missing --check", 5, "no such folder or bundle"},
	} {
		cmd := exec.Command(exe, strings.Fields(row.args)...)
		cmd.Dir = t.TempDir()
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != row.code || !strings.Contains(string(out), row.says) {
			t.Errorf("%s: exit code %d, want %d\n%s", row.args, code, row.code, out)
		}
	}
}
