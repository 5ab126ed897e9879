// Package teststore has servers for tests of stores: one that keeps the rules of GitHub, and OpenSSH's.
package teststore

import (
	"net/http"
	"sync"
)

// A Hook is called before and after a server has done what a request asks for.
type Hook struct {
	mu            sync.Mutex
	before, after func(*http.Request)
}

// Set exchanges both; nil: nothing happens.
func (h *Hook) Set(before, after func(*http.Request)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before, h.after = before, after
}

func (h *Hook) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		before, after := h.before, h.after
		h.mu.Unlock()
		if before != nil {
			before(r)
		}
		next.ServeHTTP(w, r)
		if after != nil {
			after(r)
		}
	})
}
