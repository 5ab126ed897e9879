package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const operator, machineToken, reader = "operator-token", "machine-token", "reader-token"

func serve(t *testing.T, c *Coordinator, a Access) string {
	t.Helper()
	s := httptest.NewServer(Handler(c, a))
	t.Cleanup(s.Close)
	return s.URL
}

// send is curl: no member and no header but those given.
func send(t *testing.T, method, url, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Add(k, v)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

const lock = "fleet-lock-protocol: true"

func params(id, group string) string {
	return fmt.Sprintf(`{"client_params":{"id":%q,"group":%q}}`, id, group)
}

// Clients that speak FleetLock and know nothing of us, such as zincati's: a semaphore, held again by its holder, released
// by a repeated steady state, and an error of kind and value.
func TestPlainFleetLockClient(t *testing.T) {
	url := serve(t, coordinator(t, &Memory{}, "canary 1, soak 1h, then all; max 2 at once; halt after 3 failures; size 10"), Access{})
	for _, c := range []struct {
		path, id string
		want     int
	}{
		{"pre-reboot", "a", 200}, {"pre-reboot", "a", 200}, {"pre-reboot", "b", 200}, {"pre-reboot", "c", 423},
		{"steady-state", "c", 200}, {"steady-state", "a", 200}, {"steady-state", "a", 200}, {"pre-reboot", "c", 200}, {"pre-reboot", "a", 423},
	} {
		code, body, h := send(t, "POST", url+"/v1/"+c.path, params(c.id, "web"), lock)
		if code != c.want {
			t.Fatalf("%s %s: %d %s", c.path, c.id, code, body)
		}
		var said struct{ Kind, Value string }
		if code != 200 && (json.Unmarshal([]byte(body), &said) != nil || said.Kind != "lock_held" || said.Value == "" || h.Get("Retry-After") != "60") {
			t.Errorf("%s %s: %s, %v", c.path, c.id, body, h)
		}
	}
}

func TestHandlerRefusesWhatMakesNoSense(t *testing.T) {
	url := serve(t, coordinator(t, &Memory{}, "max 1 at once"), Access{Hosts: []string{machineToken}, Readers: []string{reader}, Operators: []string{operator}})
	mine, op, rd := "Authorization: Bearer "+machineToken, "authorization: bearer "+operator, "Authorization: Bearer "+reader
	for _, c := range []struct {
		method, path, body string
		headers            []string
		code               int
		kind               string
	}{
		{"POST", "/v1/pre-reboot", params("a", "web"), []string{mine}, 400, "missing_header"},
		{"POST", "/v1/pre-reboot", params("a", "web"), []string{mine, "fleet-lock-protocol: 1"}, 400, "missing_header"},
		{"POST", "/v1/pre-reboot", params("a", "web"), []string{lock}, 401, "unauthorized"},
		{"POST", "/v1/pre-reboot", params("a", "web"), []string{lock, "Authorization: Bearer x"}, 401, "unauthorized"},
		{"POST", "/v1/pre-reboot", params("a", "web"), []string{lock, "Authorization: " + machineToken}, 401, "unauthorized"},
		{"POST", "/v1/pre-reboot", params("a", "web"), []string{lock, op}, 401, "unauthorized"},
		{"POST", "/v1/steady-state", params("a", "web"), []string{lock}, 401, "unauthorized"},
		{"POST", "/v1/pre-reboot", params("a", "nope"), []string{lock, mine}, 400, "unknown_group"},
		{"POST", "/v1/pre-reboot", params("", "web"), []string{lock, mine}, 400, "invalid_client_identity"},
		{"POST", "/v1/pre-reboot", `{"client_params":{"id":"a","group":"web"},"version":7}`, []string{lock, mine}, 400, "invalid_body"},
		{"POST", "/v1/pre-reboot", params("a", "web") + "x", []string{lock, mine}, 400, "invalid_body"},
		{"POST", "/v1/pre-reboot", "", []string{lock, mine}, 400, "invalid_body"},
		{"POST", "/v1/pre-reboot", "[]", []string{lock, mine}, 400, "invalid_body"},
		{"POST", "/v1/pre-reboot", strings.Repeat(" ", 5000) + params("a", "web"), []string{lock, mine}, 413, "too_large"},
		{"GET", "/v1/pre-reboot", "", []string{lock, mine}, 405, "method_not_allowed"},
		{"POST", "/v1/fleet", "", []string{op}, 405, "method_not_allowed"},
		{"POST", "/v1/steady-state", `{"client_params":{"id":"a","group":"web"},"outcome":"exploded"}`, []string{lock, mine}, 400, "invalid_outcome"},
		{"GET", "/v1/fleet", "", nil, 401, "unauthorized"},
		{"GET", "/v1/fleet", "", []string{mine}, 401, "unauthorized"},
		{"GET", "/metrics", "", []string{mine}, 401, "unauthorized"},
		{"GET", "/v1/fleet?group=nope", "", []string{rd}, 400, "unknown_group"},
		{"GET", "/v1/fleet?hosts=0", "", []string{rd}, 400, "invalid_query"},
		{"GET", "/v1/fleet?hosts=1001", "", []string{rd}, 400, "invalid_query"},
		{"POST", "/v1/halt", `{"group":"web"}`, []string{rd}, 401, "unauthorized"},
		{"POST", "/v1/resume", `{"group":"web"}`, []string{mine}, 401, "unauthorized"},
		{"POST", "/v1/clear", `{"group":"web","id":"a"}`, nil, 401, "unauthorized"},
		{"POST", "/v1/clear", `{"group":"web"}`, []string{op}, 400, "invalid_client_identity"},
		{"POST", "/v1/halt", `{"group":"nope"}`, []string{op}, 400, "unknown_group"},
		{"POST", "/v1/halt", `{"group":"web"}`, []string{op, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, 403, ""},
		{"GET", "/", "", nil, 404, "not_found"},
	} {
		code, body, _ := send(t, c.method, url+c.path, c.body, c.headers...)
		var said struct{ Kind, Value string }
		json.Unmarshal([]byte(body), &said)
		if code != c.code || said.Kind != c.kind || c.kind != "" && said.Value == "" {
			t.Errorf("%s %s %.40s %q: %d %s, want %d %s", c.method, c.path, c.body, c.headers, code, body, c.code, c.kind)
		}
	}
	if code, body, _ := send(t, "GET", url+"/v1/fleet", "", rd); code != 200 || strings.Contains(body, `"holders":[{`) {
		t.Errorf("something of all that has taken a slot: %d %s", code, body)
	}
}

// Without a token for it nobody may do what only operators may.
func TestNoTokenNoVerb(t *testing.T) {
	url := serve(t, coordinator(t, &Memory{}, "max 1 at once"), Access{})
	for _, path := range []string{"/v1/halt", "/v1/resume", "/v1/clear", "/v1/fleet", "/metrics"} {
		method := "POST"
		if path == "/v1/fleet" || path == "/metrics" {
			method = "GET"
		}
		if code, body, _ := send(t, method, url+path, `{"group":"web","id":"a"}`, "Authorization: Bearer "); code != 403 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestOperatorVerbs(t *testing.T) {
	c := coordinator(t, &Memory{}, "max 1 at once")
	url := serve(t, c, Access{Operators: []string{"other", operator}})
	op := "Authorization: Bearer " + operator
	verb := func(path, body string, want int) Status {
		t.Helper()
		code, answer, _ := send(t, "POST", url+path, body, op)
		var s Status
		if code != want || code == 200 && json.Unmarshal([]byte(answer), &s) != nil {
			t.Fatalf("%s: %d %s", path, code, answer)
		}
		return s
	}
	if s := verb("/v1/halt", `{"group":"web","reason":"a bad night"}`, 200); s.Halted == nil || s.Halted.Reason != "a bad night" || len(s.Next) != 1 || s.Next[0].Verb != VerbResume {
		t.Errorf("%+v", s)
	}
	code, body, h := send(t, "POST", url+"/v1/pre-reboot", params("a", "web"), lock)
	if code != 423 || !strings.Contains(body, `"halted"`) || !strings.Contains(body, "a bad night") || h.Get("Retry-After") != "900" {
		t.Errorf("%d %s %v", code, body, h)
	}
	if s := verb("/v1/resume", `{"group":"web"}`, 200); s.Halted != nil || len(s.Next) != 0 {
		t.Errorf("%+v", s)
	}
	if code, body, _ := send(t, "POST", url+"/v1/pre-reboot", params("a", "web"), lock); code != 200 {
		t.Fatal(body)
	}
	verb("/v1/clear", `{"group":"web","id":"a"}`, 423) // it is on its way
	code, body, _ = send(t, "GET", url+"/v1/fleet?hosts=10", "", op)
	var all fleetAnswer
	if code != 200 || json.Unmarshal([]byte(body), &all) != nil || len(all.Groups) != 1 || len(all.Groups[0].Holders) != 1 || len(all.Hosts) != 1 || all.Hosts[0].ID != "a" {
		t.Errorf("%d %s", code, body)
	}
	code, body, h = send(t, "GET", url+"/metrics", "", op)
	if code != 200 || !strings.HasPrefix(h.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d %v", code, h)
	}
	for _, want := range []string{
		`theseus_fleet_slots_taken{app="",group="web"} 1`, `theseus_fleet_halted{app="",group="web"} 0`, `theseus_fleet_store_up 1`,
		`theseus_fleet_asks_total{answer="halted"} 1`, `theseus_fleet_host_versions{app="",group="web",version="unknown"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("the metrics have no %s:\n%s", want, body)
		}
	}
	if code, body, _ := send(t, "GET", url+"/healthz", ""); code != 200 || body != "ok\n" {
		t.Errorf("%d %s", code, body)
	}
}

// While the store is away nothing is decided, and what it says of its insides is not told to machines.
func TestStoreAway(t *testing.T) {
	c := coordinator(t, &faulty{Store: &Memory{}, r: nil, one: 0}, "max 1 at once")
	url := serve(t, c, Access{Operators: []string{operator}})
	c.opts.Store.(*faulty).Store = awayStore{}
	for _, path := range []string{"pre-reboot", "steady-state"} {
		code, body, h := send(t, "POST", url+"/v1/"+path, params("a", "web"), lock)
		if code != 503 || strings.Contains(body, "away") || h.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s %v", path, code, body, h)
		}
	}
	if _, body, _ := send(t, "GET", url+"/metrics", "", "Authorization: Bearer "+operator); !strings.Contains(body, "theseus_fleet_store_up 0\n") {
		t.Error(body)
	}
}

type awayStore struct{}

func (awayStore) Get(context.Context, string) ([]byte, uint64, error) { return nil, 0, errAway }
func (awayStore) CompareAndSwap(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, errAway
}

var turn = Turn{Installation: "0123", App: "hello", From: "1.0.0", To: "1.1.0"}

// Other servers as they answer, from their sources: airlock says 500 failed_lock for a full semaphore, poseidon's fleetlock
// 423 lock_held, and proxies say what they like. Only a 2xx lets a machine go.
func TestClientOfOtherServers(t *testing.T) {
	for _, s := range []struct {
		name   string
		status int
		body   string
		yes    bool
		kind   Kind
	}{
		{"airlock lets go", 200, ``, true, ""},
		{"airlock is full", 500, `{"kind":"failed_lock","value":"semaphore currently full, maximum slots: 1"}`, false, "failed_lock"},
		{"poseidon lets go", 200, `{}`, true, ""},
		{"poseidon is full", 423, `{"kind":"lock_held","value":"reboot lease unavailable, held by 9ef8"}`, false, KindFull},
		{"no group", 400, `{"kind":"unknown_group","value":"x"}`, false, "unknown_group"},
		{"no content", 204, ``, true, ""},
		{"a proxy without a server", 502, `<html>Bad Gateway</html>`, false, "http_502"},
		{"a login page", 302, ``, false, ""},
		{"not found", 404, `404 page not found`, false, "http_404"},
		{"a lie in JSON", 500, `{"kind":"` + strings.Repeat("x", 100) + `","value":"a\u001b[31mb\nc"}`, false, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			var got atomic.Value
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				got.Store(fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Fleet-Lock-Protocol"), " ", string(b)))
				if s.status == 302 {
					w.Header().Set("Location", "/login")
				}
				w.WriteHeader(s.status)
				io.WriteString(w, s.body)
			}))
			defer srv.Close()
			c := &Client{URL: srv.URL + "/base/", Group: "web", ID: "a"}
			err := c.Enter(t.Context(), turn)
			if (err == nil) != s.yes {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got.Load().(string), `POST /base/v1/pre-reboot true {"client_params":{"id":"a","group":"web"}`) {
				t.Error(got.Load())
			}
			var r *Refusal
			if s.kind != "" && (!errors.As(err, &r) || r.Kind != s.kind || r.Reason == "") {
				t.Errorf("%v", err)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q", err)
			}
			if err := c.Leave(t.Context(), turn, Proved, ""); (err == nil) != s.yes {
				t.Error(err)
			}
			if !strings.HasPrefix(got.Load().(string), `POST /base/v1/steady-state true {"client_params":{"id":"a","group":"web"}`) {
				t.Error(got.Load())
			}
		})
	}
}

func TestClientOfOurs(t *testing.T) {
	c := coordinator(t, &Memory{}, "max 1 at once; halt after 2 failures")
	url := serve(t, c, Access{Hosts: []string{machineToken}})
	one := &Client{URL: url, Group: "web", Token: machineToken}
	two := &Client{URL: url, Group: "web", Token: machineToken, ID: "two"}
	clone := &Client{URL: url, Group: "web", Token: machineToken}
	if err := (&Client{URL: url, Group: "web"}).Enter(t.Context(), turn); err == nil {
		t.Fatal("a machine without the token was let in")
	}
	if err := errors.Join(one.Enter(t.Context(), turn), one.Enter(t.Context(), turn)); err != nil {
		t.Fatal(err)
	}
	r := refused(t, two.Enter(t.Context(), turn), KindFull)
	if r.After != time.Minute {
		t.Errorf("%+v", r)
	}
	refused(t, clone.Enter(t.Context(), turn), KindSameID)
	if err := clone.Leave(t.Context(), turn, Stopped, "refused"); err != nil { // as a refused machine does
		t.Fatal(err)
	}
	refused(t, two.Enter(t.Context(), turn), KindFull)
	// The process that reports is another one: it does not know the token.
	if err := (&Client{URL: url, Group: "web", Token: machineToken}).Leave(t.Context(), turn, Undone, "it crashed"); err != nil {
		t.Fatal(err)
	}
	if err := two.Enter(t.Context(), turn); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context(), "", "web")
	if err != nil || len(s.Failed) != 1 || s.Failed[0].ID != turn.Installation || s.Failed[0].Reason != "it crashed" || s.Versions["1.0.0"] != 2 {
		t.Errorf("%+v %v", s, err)
	}
}

// A machine begins before half of its time is over, or not at all: it asks for a new slot.
func TestClientIsLate(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := coordinator(t, &Memory{}, "max 1 at once; deadline 10m", func(o *Options) { o.Now = func() time.Time { return now } })
	m := &Client{URL: serve(t, c, Access{}), Group: "web"}
	if err := m.Enter(t.Context(), turn); err != nil {
		t.Fatal(err)
	}
	now = now.Add(6 * time.Minute)
	refused(t, m.Enter(t.Context(), turn), KindFull)
	if err := m.Enter(t.Context(), turn); err != nil {
		t.Fatalf("it has not given its slot back: %v", err)
	}
	s, err := c.Status(t.Context(), "", "web")
	if err != nil || len(s.Holders) != 1 || !s.Holders[0].Until.Equal(now.Add(10*time.Minute)) || len(s.Failed) != 0 {
		t.Errorf("%+v %v", s, err)
	}
}

// An answer is as long as a slot lasts under way: a machine that was suspended meanwhile does not begin.
func TestClientWasSuspended(t *testing.T) {
	var left atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "steady-state") {
			left.Store(true)
			return
		}
		io.WriteString(w, `{"left":0.000001,"deadline":0.000001}`) // any round trip takes longer than half of it
	}))
	defer srv.Close()
	m := &Client{URL: srv.URL, Group: "web"}
	refused(t, m.Enter(t.Context(), turn), KindFull)
	if !left.Load() {
		t.Error("it has kept its slot")
	}
}

func TestClientCheck(t *testing.T) {
	for _, bad := range []*Client{
		{}, {URL: "fleet.example", Group: "web"}, {URL: "http://fleet.example", Group: "web"}, {URL: "ftp://fleet.example", Group: "web"},
		{URL: "https://user:pw@fleet.example", Group: "web"}, {URL: "https://fleet.example?x=1", Group: "web"}, {URL: "https://fleet.example#x", Group: "web"},
		{URL: "https://fleet.example"}, {URL: "https://fleet.example", Group: "a b"}, {URL: "https://fleet.example", Group: "web", ID: "a b"},
		{URL: "https://fleet.example", Group: "web", Token: "a\nb"},
	} {
		if err := bad.Check(); err == nil {
			t.Errorf("%+v is taken", bad.URL)
		}
		if err := bad.Enter(t.Context(), turn); err == nil {
			t.Errorf("%+v is asked", bad.URL)
		}
	}
	for _, good := range []*Client{
		{URL: "https://fleet.example/base", Group: "web"}, {URL: "http://127.0.0.1:8080", Group: "web"}, {URL: "http://localhost", Group: "web"},
		{URL: "http://[::1]:80/", Group: "web"}, {URL: "http://fleet.example", Group: "web", AllowHTTP: true},
	} {
		if err := good.Check(); err != nil {
			t.Error(err)
		}
	}
	if err := (&Client{URL: "http://localhost:1", Group: "web"}).Enter(t.Context(), Turn{To: "1"}); err == nil || !strings.Contains(err.Error(), "no id") {
		t.Error(err)
	}
}

// An endless answer ends.
func TestClientCapsTheAnswer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	if err := (&Client{URL: srv.URL, Group: "web"}).Enter(t.Context(), turn); err == nil {
		t.Error("an endless answer lets a machine go")
	}
}
