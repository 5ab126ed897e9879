package conn

import (
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// http.Server.Shutdown calls the functions of RegisterOnShutdown first. Here Shutdown comes last, because it loses requests,
// so the functions are called when a drain begins: event streams and WebSockets end by them. net/http keeps them in a
// private field, and offers no other way to call them.

// runOnShutdown calls the functions of srv.RegisterOnShutdown, each in a goroutine of its own, and removes them, so that
// Shutdown does not call them again. It leaves those by which HTTP/2 sends its single GOAWAY. It returns false, and Shutdown
// calls them, if this release of Go has no such field.
func runOnShutdown(srv *http.Server) bool {
	v := reflect.ValueOf(srv).Elem()
	lock, field := v.FieldByName("mu"), v.FieldByName("onShutdown")
	if !lock.IsValid() || !field.IsValid() || lock.Type() != reflect.TypeFor[sync.Mutex]() || field.Type() != reflect.TypeFor[[]func()]() {
		return false
	}
	mu := (*sync.Mutex)(unsafe.Pointer(lock.UnsafeAddr()))
	list := (*[]func())(unsafe.Pointer(field.UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	var stay []func()
	for _, f := range *list {
		if name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name(); strings.Contains(name, "http") && strings.HasSuffix(name, ".startGracefulShutdown-fm") {
			stay = append(stay, f)
		} else {
			go f()
		}
	}
	*list = stay
	return true
}
