package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Access says who may do what. A token is sent as "Authorization: Bearer TOKEN".
type Access struct {
	// Hosts are tokens of machines. None: whoever reaches the handler may ask and report, as FleetLock has it.
	Hosts []string
	// Readers are tokens for GET /v1/fleet and /metrics.
	Readers []string
	// Operators are tokens for halt, resume and clear, and for all that readers may do. None: nobody may.
	Operators []string
}

// Limits of the handler.
const (
	maxRequest = 4 << 10
	maxListed  = 1000 // machines in one answer
)

// Handler serves a Coordinator:
//
//	POST /v1/pre-reboot    FleetLock: may this machine go now? 200, or 423 and why not
//	POST /v1/steady-state  FleetLock: its turn is over
//	GET  /v1/fleet         the groups as JSON; ?app= and ?group= choose; ?hosts=100&after=ID lists machines of one
//	POST /v1/halt          {"app", "group", "reason"}: let nobody in any more
//	POST /v1/resume        {"app", "group", "reason"}: end a halt
//	POST /v1/clear         {"app", "group", "id", "reason"}: forget that a machine has failed or not come back
//	GET  /metrics          the same as text for Prometheus
//	GET  /healthz          200 while this process serves, whatever the store does
//
// The body of the FleetLock calls is {"client_params": {"id", "group"}} and may have more members: app, version, from and
// token, and in a report outcome (proved, undone, stopped) and reason. Every error is {"kind", "value"}: 400 for what
// makes no sense, 401, 403, 423 with a Retry-After for what has to wait, and 503 while the store does not answer.
//
// The caller's server needs timeouts: reading 10 s, writing 30 s.
func Handler(c *Coordinator, a Access) http.Handler {
	h := &handler{c: c, hosts: digests(a.Hosts), readers: digests(append(a.Readers[:len(a.Readers):len(a.Readers)], a.Operators...)), operators: digests(a.Operators)}
	mux := http.NewServeMux()
	route := func(method, path string, serve func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
				w.Header().Set("Allow", method)
				answer(w, http.StatusMethodNotAllowed, refusalBody{"method_not_allowed", path + " wants " + method})
				return
			}
			if err := serve(w, r); err != nil {
				refuse(w, err)
			}
		})
	}
	route("POST", "/v1/pre-reboot", h.enter)
	route("POST", "/v1/steady-state", h.leave)
	route("GET", "/v1/fleet", h.fleet)
	route("POST", "/v1/halt", h.operate(func(r *http.Request, q operatorRequest) error {
		return c.Halt(r.Context(), q.App, q.Group, q.Reason)
	}))
	route("POST", "/v1/resume", h.operate(func(r *http.Request, q operatorRequest) error {
		return c.Resume(r.Context(), q.App, q.Group, q.Reason)
	}))
	route("POST", "/v1/clear", h.operate(func(r *http.Request, q operatorRequest) error {
		return c.Clear(r.Context(), q.App, q.Group, q.ID, q.Reason)
	}))
	route("GET", "/metrics", h.metrics)
	route("GET", "/healthz", func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "ok\n")
		return err
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, refusalBody{"not_found", "there is /v1/pre-reboot, /v1/steady-state and /v1/fleet"})
	})
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		guarded.ServeHTTP(w, r)
	})
}

type handler struct {
	c                         *Coordinator
	hosts, readers, operators [][sha256.Size]byte
}

func digests(tokens []string) (all [][sha256.Size]byte) {
	for _, t := range tokens {
		all = append(all, sha256.Sum256([]byte(t)))
	}
	return all
}

// statusError has a status of its own.
type statusError struct {
	status int
	refusalBody
}

func (e *statusError) Error() string { return e.Value }

// allow is an error unless the request has one of the tokens.
func allow(r *http.Request, tokens [][sha256.Size]byte) error {
	if len(tokens) == 0 {
		return &statusError{http.StatusForbidden, refusalBody{"forbidden", "no token is configured that could do this"}}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum, ok := sha256.Sum256([]byte(token)), 0
	for _, t := range tokens {
		ok |= subtle.ConstantTimeCompare(sum[:], t[:])
	}
	if ok != 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return &statusError{http.StatusUnauthorized, refusalBody{"unauthorized", "the header Authorization: Bearer TOKEN is missing, or the token is not one for this"}}
	}
	return nil
}

// A lockRequest is FleetLock's, and what we add.
type lockRequest struct {
	Params struct {
		ID    string `json:"id"`
		Group string `json:"group"`
	} `json:"client_params"`
	App      string  `json:"app,omitempty"`
	Version  string  `json:"version,omitempty"`
	From     string  `json:"from,omitempty"`
	Token    string  `json:"token,omitempty"`
	Critical bool    `json:"critical,omitempty"`
	Outcome  Outcome `json:"outcome,omitempty"`
	Reason   string  `json:"reason,omitempty"`
}

// A lockAnswer is that of a granted ask; FleetLock has an empty one.
type lockAnswer struct {
	Until    time.Time `json:"until"`
	Left     float64   `json:"left"`     // seconds
	Deadline float64   `json:"deadline"` // seconds
}

type refusalBody struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

func (h *handler) lockRequest(w http.ResponseWriter, r *http.Request) (q lockRequest, err error) {
	if len(h.hosts) > 0 {
		if err := allow(r, h.hosts); err != nil {
			return q, err
		}
	}
	if r.Header.Get("Fleet-Lock-Protocol") != "true" {
		return q, &InvalidError{"missing_header", "the header fleet-lock-protocol: true is missing"}
	}
	return q, body(w, r, &q)
}

// body reads one JSON value. Members that nobody knows are left alone: a newer client may say more.
func body(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &statusError{http.StatusRequestEntityTooLarge, refusalBody{"too_large", fmt.Sprintf("the body has more than %d bytes", maxRequest)}}
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return &InvalidError{"invalid_body", `the body has to be JSON like {"client_params": {"id": "…", "group": "…"}}`}
	}
	return nil
}

func (h *handler) enter(w http.ResponseWriter, r *http.Request) error {
	q, err := h.lockRequest(w, r)
	if err != nil {
		return err
	}
	s, err := h.c.Enter(r.Context(), Ask{q.App, q.Params.Group, q.Params.ID, q.Version, q.From, q.Token})
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, lockAnswer{s.Until, s.Left.Seconds(), s.Deadline.Seconds()})
	return nil
}

func (h *handler) leave(w http.ResponseWriter, r *http.Request) error {
	q, err := h.lockRequest(w, r)
	if err != nil {
		return err
	}
	// Its report is worth keeping also if the machine does not wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), carryPatience)
	defer cancel()
	if err := h.c.Leave(ctx, Report{q.App, q.Params.Group, q.Params.ID, q.Version, q.From, q.Token, q.Outcome, q.Reason}); err != nil {
		return err
	}
	answer(w, http.StatusOK, struct{}{})
	return nil
}

type operatorRequest struct {
	App    string `json:"app"`
	Group  string `json:"group"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (h *handler) operate(do func(*http.Request, operatorRequest) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := allow(r, h.operators); err != nil {
			return err
		}
		var q operatorRequest
		if err := body(w, r, &q); err != nil {
			return err
		}
		if err := do(r, q); err != nil {
			return err
		}
		s, err := h.c.Status(r.Context(), q.App, q.Group)
		if err != nil {
			return err
		}
		answer(w, http.StatusOK, s)
		return nil
	}
}

// fleetAnswer is that of GET /v1/fleet.
type fleetAnswer struct {
	Groups []Status `json:"groups"`
	Hosts  []Host   `json:"hosts,omitempty"`
}

func (h *handler) fleet(w http.ResponseWriter, r *http.Request) error {
	if err := allow(r, h.readers); err != nil {
		return err
	}
	q := r.URL.Query()
	var all fleetAnswer
	for _, g := range h.c.Groups() {
		if q.Has("group") && g.Name != q.Get("group") || q.Has("app") && g.App != q.Get("app") {
			continue
		}
		s, err := h.c.Status(r.Context(), g.App, g.Name)
		if err != nil {
			return err
		}
		all.Groups = append(all.Groups, s)
	}
	if len(all.Groups) == 0 {
		return &InvalidError{"unknown_group", "there is no such group: the coordinator's configuration names those that there are"}
	}
	if q.Has("hosts") {
		n, err := strconv.Atoi(q.Get("hosts"))
		if err != nil || n < 1 || n > maxListed || len(all.Groups) != 1 {
			return &InvalidError{"invalid_query", fmt.Sprintf("hosts is how many of one group to list, 1 to %d", maxListed)}
		}
		if all.Hosts, err = h.c.Hosts(all.Groups[0].App, all.Groups[0].Group, q.Get("after"), n); err != nil {
			return err
		}
	}
	answer(w, http.StatusOK, all)
	return nil
}

func (h *handler) metrics(w http.ResponseWriter, r *http.Request) error {
	if err := allow(r, h.readers); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	return h.c.Metrics(r.Context(), w)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// refuse answers an error. What a client has to do next is in the sentence, and how soon in Retry-After.
func refuse(w http.ResponseWriter, err error) {
	var (
		held    *Refusal
		invalid *InvalidError
		status  *statusError
	)
	switch {
	case errors.As(err, &held):
		after := max(1, int(math.Ceil(min(held.After, time.Hour).Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(after))
		value := held.Reason
		if held.Verb == VerbResume {
			value += "; waiting for an operator to resume the group"
		} else if held.Verb == VerbClear {
			value += "; waiting for an operator to clear " + strings.Join(held.IDs, ", ")
		}
		answer(w, http.StatusLocked, refusalBody{string(held.Kind), value})
	case errors.As(err, &invalid):
		answer(w, http.StatusBadRequest, refusalBody{cmp.Or(invalid.Kind, "invalid"), invalid.Reason})
	case errors.As(err, &status):
		if status.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		answer(w, status.status, status.refusalBody)
	default:
		// What the store said may name addresses; it is the operator's business, not every machine's.
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusServiceUnavailable, refusalBody{"store_unavailable", "the coordinator's store does not answer; nothing was decided"})
	}
}
