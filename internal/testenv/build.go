package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// Build builds the program in the folder pkg, with these flags of go build, and puts it at out. Where the build cache has
// it already nothing is linked: unlike go build, go run keeps programs there.
func Build(out, pkg string, flags ...string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	args := slices.Concat([]string{"run", "-C", pkg, "-buildvcs=false", "-exec", "cp"}, flags, []string{".", out})
	if runtime.GOOS == "windows" {
		args = slices.Concat([]string{"build", "-C", pkg, "-buildvcs=false", "-o", out}, flags, []string{"."})
	}
	if said, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, said)
	}
	return nil
}
