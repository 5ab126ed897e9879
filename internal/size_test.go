package internal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// sizeBudget is how many bytes updater may add to a program that links net/http and TLS already (linux/amd64, stripped).
// doc/benchmarks.md says what they are spent on. Whoever needs more should first see whether that is still true.
const sizeBudget = 3_700_000

func TestSizeBudget(t *testing.T) {
	t.Parallel()
	size := func(name string) int64 {
		exe := filepath.Join(t.TempDir(), name)
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", exe, "./testdata/size/"+name)
		build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		info, err := os.Stat(exe)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	alone, with := size("alone"), size("updater")
	t.Logf("%d bytes alone, %d with updater: %d more", alone, with, with-alone)
	switch added := with - alone; {
	case added > sizeBudget:
		t.Errorf("updater adds %d bytes to a program, and may add %d: go tool nm -size -sort size tells what it is", added, sizeBudget)
	case added < sizeBudget*3/4:
		t.Errorf("updater adds only %d bytes: lower the budget of %d, so that it stays so", added, sizeBudget)
	}
}
