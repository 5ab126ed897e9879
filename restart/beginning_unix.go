//go:build unix

package restart

import (
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"sync"
	"syscall"
	"unsafe"

	"github.com/cloudflare/tableflip"

	"github.com/theseus-go/theseus/restart/internal/anchor"
)

// runningFile returns names of the file that runs, the surest first.
func runningFile(path string) []string { return []string{"/proc/self/exe", path} }

func muted() string { return anchor.Ignoring() }

// startBy makes upg start successors as this process has begun. tableflip itself takes the present os.Args and
// environment, and whatever os.Args[0] names; it keeps the function that starts a process in a private field, which is
// replaced for this Upgrader only. startBy returns false if this release of tableflip has no such field.
func (b beginning) startBy(upg *tableflip.Upgrader) bool {
	field := reflect.ValueOf(upg).Elem().FieldByName("env")
	if !field.IsValid() || field.Kind() != reflect.Pointer || field.IsNil() || field.Type().Elem().Kind() != reflect.Struct {
		return false
	}
	field = settable(field)
	env := reflect.New(field.Type().Elem())
	env.Elem().Set(field.Elem())
	start := env.Elem().FieldByName("newProc")
	var model func(executable string, args []string, files []*os.File, env []string) (process, error)
	if !start.IsValid() || !sameButResult(start.Type(), reflect.TypeOf(model)) {
		return false
	}
	result := start.Type().Out(0)
	settable(start).Set(reflect.MakeFunc(start.Type(), func(in []reflect.Value) []reflect.Value {
		files, _ := in[2].Interface().([]*os.File)
		p, err := b.start(files)
		out := []reflect.Value{reflect.Zero(result), reflect.Zero(start.Type().Out(1))}
		if err != nil {
			out[1] = reflect.ValueOf(&err).Elem()
		} else {
			out[0] = reflect.ValueOf(p).Convert(result)
		}
		return out
	}))
	field.Set(env)
	return true
}

// forgetFile closes the copy of a socket that upg keeps for the next process. tableflip has no function for that. It
// returns false if upg has no such copy.
func forgetFile(upg *tableflip.Upgrader, kind, network, address string) bool {
	fds := reflect.ValueOf(upg.Fds).Elem()
	lock, used := fds.FieldByName("mu"), fds.FieldByName("used")
	if !lock.IsValid() || lock.Type() != reflect.TypeFor[sync.Mutex]() || !used.IsValid() || used.Kind() != reflect.Map ||
		used.Type().Key().Kind() != reflect.Array || used.Type().Key().Elem().Kind() != reflect.String || used.Type().Key().Len() < 3 {
		return false
	}
	mu := (*sync.Mutex)(unsafe.Pointer(lock.UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	used = settable(used)
	for _, key := range used.MapKeys() {
		if key.Index(0).String() != kind || key.Index(1).String() != network || key.Index(2).String() != address {
			continue
		}
		if f, ok := reflect.Indirect(used.MapIndex(key)).FieldByName("File").Interface().(*os.File); ok {
			f.Close()
			used.SetMapIndex(key, reflect.Value{})
			return true
		}
	}
	return false
}

// settable returns a value for the same private field that may be set.
func settable(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
}

// sameButResult reports whether got is want, except that its first result may be another interface that a *child has.
func sameButResult(got, want reflect.Type) bool {
	if got.Kind() != reflect.Func || got.NumIn() != want.NumIn() || got.NumOut() != want.NumOut() || got.IsVariadic() {
		return false
	}
	for i := range want.NumIn() {
		if got.In(i) != want.In(i) {
			return false
		}
	}
	return got.Out(1) == want.Out(1) && got.Out(0).Kind() == reflect.Interface && reflect.TypeOf(&child{}).Implements(got.Out(0))
}

// process is what tableflip wants to know of one.
type process interface {
	fmt.Stringer
	Signal(os.Signal) error
	Wait() error
}

// start starts a successor with these descriptors.
func (b beginning) start(files []*os.File) (*child, error) {
	fds := make([]uintptr, 0, len(files))
	for _, f := range files {
		raw, err := f.SyscallConn() // Fd would make it block
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds = append(fds, fd) })
		}
		if err != nil {
			return nil, err
		}
	}
	env := append(b.environment(), sentinel+"=yes")
	if b.mute != "" {
		env = append(env, b.mute)
	}
	pid, _, err := syscall.StartProcess(b.path, b.args, &syscall.ProcAttr{Dir: b.dir, Env: env, Files: fds})
	if err != nil {
		return nil, &os.PathError{Op: "fork/exec", Path: b.path, Err: err}
	}
	p, err := os.FindProcess(pid)
	return &child{p}, err
}

// A child is a successor that this process has started.
type child struct{ *os.Process }

func (c *child) String() string { return fmt.Sprintf("pid=%d", c.Pid) }

// Wait returns an *exec.ExitError unless the exit status is 0.
func (c *child) Wait() error {
	state, err := c.Process.Wait()
	if err == nil && !state.Success() {
		err = &exec.ExitError{ProcessState: state}
	}
	return err
}
