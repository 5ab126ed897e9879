package restart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// startDir is the working directory in which this process was started, before main could change it. A relative name of
// the program is relative to it, and tableflip starts the successor in it.
var startDir, _ = os.Getwd()

// absoluteArg0 makes os.Args[0] absolute without following links.
func absoluteArg0() error {
	name := os.Args[0]
	if filepath.IsAbs(name) {
		return nil
	}
	if !strings.ContainsRune(name, filepath.Separator) { // found in PATH
		found, err := exec.LookPath(name)
		if err != nil {
			found, err = os.Executable()
		}
		if err != nil {
			return fmt.Errorf("finding the program %s: %w", name, err)
		}
		name = found
	}
	if !filepath.IsAbs(name) {
		if startDir == "" {
			return fmt.Errorf("the working directory was deleted before the program %s started", name)
		}
		name = filepath.Join(startDir, name)
	}
	os.Args[0] = name
	return nil
}

// checkSurroundings turns likely exec failures into clear errors.
func checkSurroundings() error {
	if _, err := os.Stat(startDir); err != nil {
		return calledOff(fmt.Errorf("the working directory %s, in which this program was started and its successor would be, is gone: %w", startDir, err))
	}
	info, err := os.Stat(os.Args[0])
	switch {
	case err != nil:
		return fmt.Errorf("the executable cannot be started: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("the executable cannot be started: %s is not an executable file (%v)", os.Args[0], info.Mode())
	case info.Size() == 0:
		return fmt.Errorf("the executable cannot be started: %s is empty", os.Args[0])
	}
	// A handover needs a few descriptors. Without them it would fail halfway, and blame the version.
	var files []*os.File
	for range 4 {
		a, b, err := os.Pipe()
		if err != nil {
			err = calledOff(fmt.Errorf("no file descriptors are left for a handover: %w", err))
			for _, f := range files {
				f.Close()
			}
			return err
		}
		files = append(files, a, b)
	}
	for _, f := range files {
		f.Close()
	}
	return nil
}
