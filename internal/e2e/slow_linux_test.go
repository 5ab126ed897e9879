package e2e

import (
	"bytes"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
)

// R19: while a command that was given to cron is at a source that sends 1 kB/s, a person goes back, a service's start
// recovers, and the command goes on where it was.
func TestR19SlowSource(t *testing.T) {
	t.Parallel()
	repo := testrelease.New(t)
	repo.Publish("1.1.0", bytesOf(t, "1.1.0"), testrelease.Zstd())
	i := install(t, build(t, "1.0.0")).trusts(repo)
	i.must(i.selfUpdate(repo))
	next := append(script("1.2.0"), bytes.Repeat([]byte("# and so on\n"), 64<<10)...)
	repo.Publish("1.2.0", next)
	var quick atomic.Bool
	begun := make(chan struct{}, 100)
	for _, path := range repo.Files() {
		if !bytes.Equal(repo.Get(path), next) {
			continue
		}
		repo.Hook(path, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			if quick.Load() {
				honest.ServeHTTP(w, r)
				return
			}
			begun <- struct{}{}
			honest.ServeHTTP(&trickle{ResponseWriter: w, request: r}, r)
		})
	}
	cron := exec.Command(i.path, append(i.flags(repo), "self-update")...)
	var said bytes.Buffer
	cron.Stdout, cron.Stderr = &said, &said
	if err := cron.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cron.Wait() }()
	<-begun
	i.must(i.selfUpdate(repo, "--rollback"))
	if v := i.version(); v != "1.0.0" {
		t.Errorf("after --rollback it is %s", v)
	}
	<-begun // it came back
	if out, err := exec.Command(theseus(t), "recover", i.path).CombinedOutput(); err != nil || strings.Contains(string(out), "another") {
		t.Errorf("recover: %v\n%s", err, out)
	}
	quick.Store(true)
	if err := <-ended; err != nil || i.version() != "1.2.0" {
		t.Errorf("%v, and %s is installed\n%s", err, i.version(), &said)
	}
	i.tidy()
}

// trickle sends 1 kB/s.
type trickle struct {
	http.ResponseWriter
	request *http.Request
}

func (w *trickle) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), 1000)]
		if _, err := w.ResponseWriter.Write(part); err != nil {
			return n, err
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		n, b = n+len(part), b[len(part):]
		select {
		case <-w.request.Context().Done():
			return n, w.request.Context().Err()
		case <-time.After(time.Second):
		}
	}
	return n, nil
}
