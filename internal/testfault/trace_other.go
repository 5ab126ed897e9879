//go:build !linux || (!amd64 && !arm64)

package testfault

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

func skipOrFail(tb testing.TB, err error) {
	tb.Helper()
	testenv.Skip(tb, "ptrace of linux on amd64 or arm64", "run the tests there")
}

func trace(*exec.Cmd, []string, map[string]syscall.Errno, int, syscall.Errno, bool, func(int)) ([]Point, int, Ending, error) {
	return nil, 0, Ending{}, errors.ErrUnsupported
}
