package store

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// s3Server is a server in memory that obeys conditions, with a bucket "releases", behind whatever wrap makes of it.
func s3Server(t *testing.T, wrap func(http.Handler) http.Handler) (address string, backend *s3mem.Backend) {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"} {
		if e := setenv(name, value); e != nil {
			t.Fatal(e)
		}
	}
	backend = s3mem.New()
	if err := backend.CreateBucket("releases"); err != nil {
		t.Fatal(err)
	}
	h := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	if wrap != nil {
		h = wrap(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return "s3://releases/dl?region=us-east-1&endpoint=" + server.URL, backend
}

func fakeS3(t *testing.T) func() Opened {
	address, _ := s3Server(t, nil)
	return func() Opened {
		s, err := Open(t.Context(), address)
		if err != nil {
			t.Error(err)
			return nil
		}
		return s
	}
}

// What clients and caches are told.
func TestS3Headers(t *testing.T) {
	seen := map[string]http.Header{}
	address, _ := s3Server(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				seen[strings.TrimPrefix(r.URL.Path, "/releases/dl/")] = r.Header.Clone()
			}
			next.ServeHTTP(w, r)
		})
	})
	s, err := Open(t.Context(), address)
	must(t, err)
	file := fileName("x", ".zst")
	must(t, put(t.Context(), s, "stable", "one", Nothing))
	must(t, put(t.Context(), s, file, "x", Anything))
	for name, want := range map[string][2]string{
		"stable": {"text/plain; charset=utf-8", "public, max-age=0, s-maxage=60"},
		file:     {"application/octet-stream", "public, max-age=31536000, immutable"},
	} {
		if h := seen[name]; h.Get("Content-Type") != want[0] || h.Get("Cache-Control") != want[1] {
			t.Errorf("%s: %q", name, h)
		}
	}
}

// A server that does not know conditional writes would let two publishers overwrite each other.
func TestS3ServerThatIgnoresConditions(t *testing.T) {
	for _, header := range []string{"If-Match", "If-None-Match"} {
		address, _ := s3Server(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del(header)
				next.ServeHTTP(w, r)
			})
		})
		s, err := Open(t.Context(), address)
		must(t, err)
		if err := put(t.Context(), s, "stable", "one", Nothing); err == nil || !strings.Contains(err.Error(), "ignores "+header+",") {
			t.Errorf("%s: %v", header, err)
		}
		if list, err := s.List(t.Context(), ""); err != nil || len(list) != 0 {
			t.Errorf("%s: %v, %v", header, list, err)
		}
	}
}

// 409, 412, 404 and 304 all say no more than: read again. If it is our own object that is there, it has arrived.
func TestS3AnswersThatMeanReadAgain(t *testing.T) {
	for _, status := range []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusNotFound, http.StatusNotModified} {
		for _, arrived := range []bool{false, true} {
			var armed bool
			address, _ := s3Server(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !armed || r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/stable") {
						next.ServeHTTP(w, r)
						return
					}
					if arrived {
						next.ServeHTTP(httptest.NewRecorder(), r)
					} else {
						io.Copy(io.Discard, r.Body)
					}
					w.WriteHeader(status)
				})
			})
			s, err := Open(t.Context(), address)
			must(t, err)
			must(t, put(t.Context(), s, "stable", "one", Nothing))
			_, v := get(t, s, "stable")
			armed = true
			err = put(t.Context(), s, "stable", "two", v)
			if arrived && err != nil || !arrived && !errors.Is(err, ErrChanged) {
				t.Errorf("%d, arrived %v: %v", status, arrived, err)
			}
		}
	}
}

func TestS3ErrorsSayWhatToDo(t *testing.T) {
	address, _ := s3Server(t, nil)
	for _, c := range []struct {
		address, says string
		code          int
	}{
		{strings.Replace(address, "//releases", "//nothere", 1), "there is no such bucket", ui.ExitError},
		{"s3://releases?endpoint=http://127.0.0.1:1", "does not answer", ui.ExitUnreachable},
		{"s3://releases?endpiont=http://127.0.0.1:1", `no option "endpiont"`, ui.ExitUsage},
		{"s3:///dl", "names no bucket", ui.ExitUsage},
		{"s3://key:secret@releases/dl", "a password in an address", ui.ExitUsage},
		{"s3://releases/../x", "no plain path", ui.ExitUsage},
		{"s3://releases/dl?endpoint=ftp://x", "is no server", ui.ExitUsage},
		{"s3://releases/dl?credentials=mine", "credentials are", ui.ExitUsage},
		{"https://dl.example.com", "nothing can be written there", ui.ExitUsage},
	} {
		s, err := Open(t.Context(), c.address)
		if err == nil {
			ctx := t.Context()
			_, err = s.List(ctx, "files")
			if err == nil {
				err = put(ctx, s, "stable", "one", Nothing)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || ui.ExitCode(err) != c.code || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: exit code %d: %v", c.address, ui.ExitCode(err), err)
		}
	}
}

func init() { slog.SetDefault(slog.New(slog.DiscardHandler)) }
