package blame_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/blame"
)

// ends is an error of somebody else's that knows whose fault it is.
type ends struct{ fault string }

func (e *ends) Error() string { return "it has ended" }
func (e *ends) Blame() string { return e.fault }
func (e *ends) Served() bool  { return true }
func (e *ends) Attempts() int { return 3 }

func TestOf(t *testing.T) {
	for _, row := range []struct {
		err  error
		want blame.Fault
	}{
		{nil, blame.Release},
		{errors.New("exit status 2"), blame.Release},
		{syscall.ENOEXEC, blame.Release},
		{&os.PathError{Op: "fork/exec", Path: "x", Err: syscall.ENOENT}, blame.Release}, // its loader is missing
		{&os.PathError{Op: "fork/exec", Path: "x", Err: syscall.EMFILE}, blame.Machine},
		{fmt.Errorf("wrapped: %w", syscall.ENFILE), blame.Machine},
		{syscall.EAGAIN, blame.Machine},
		{syscall.ENOMEM, blame.Machine},
		{errors.Join(errors.New("x"), syscall.ENOSPC), blame.Machine},
		{syscall.ETXTBSY, blame.Machine},
		{syscall.EIO, blame.Machine},
		{context.Canceled, blame.Stop},
		{fmt.Errorf("%w: %w", context.Canceled, syscall.EMFILE), blame.Machine},
		{context.DeadlineExceeded, blame.Unknown},
		{&ends{"machine"}, blame.Machine},
		{fmt.Errorf("%w: %w", context.Canceled, &ends{"unknown"}), blame.Unknown},
		{&ends{"nonsense"}, blame.Release},
		{blame.As(blame.Stop, syscall.EIO), blame.Stop},
	} {
		if got := blame.Of(row.err); got != row.want {
			t.Errorf("%v: %s, want %s", row.err, got, row.want)
		}
	}
	for text, want := range map[string]blame.Fault{
		"can't start child: can't start process hello: fork/exec: too many open files":                         blame.Machine,
		"runtime: failed to create new OS thread (have 5 already; errno=11): Resource temporarily unavailable": blame.Machine,
		"libx.so.1: failed to map segment from shared object: Cannot allocate memory":                          blame.Machine,
		"child 12 exited: signal: killed":                           blame.Unknown,
		"child 12 exited: signal: terminated":                       blame.Unknown,
		"child 12 exited: signal: segmentation fault (core dumped)": blame.Release,
		"child 12 exited: signal: illegal instruction":              blame.Release,
		"child 12 exited: exit status 1":                            blame.Release,
		"child 12 exited":                                           blame.Release,
	} {
		if got := blame.OfText(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	if j := blame.Judge(fmt.Errorf("wrapped: %w", &ends{"unknown"})); j != (blame.Judgement{Fault: blame.Unknown, Served: true, Attempts: 3}) {
		t.Errorf("%+v", j)
	}
	if j := blame.Judge(fmt.Errorf("it says 1.0.9: %w", blame.ErrWrong)); j != (blame.Judgement{Fault: blame.Release, Wrong: true}) {
		t.Errorf("%+v", j)
	}
}
