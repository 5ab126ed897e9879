package testenv

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds the program in the folder pkg, with these flags of go build, and puts it at out. Where the build cache has
// it already nothing is linked: unlike go build, go run keeps programs there.
func Build(out, pkg string, flags ...string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	args := append([]string{"run", "-C", pkg, "-buildvcs=false", "-exec", "cp"}, flags...)
	if said, err := exec.Command("go", append(args, ".", out)...).CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, said)
	}
	return nil
}
