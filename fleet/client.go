package fleet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/text"
)

// Client asks a FleetLock server for one program on one machine: a Coordinator's, or any other, which does not know what
// the members are that this one adds. URL and Group are required. A Client may be used by several goroutines, and
// is not copied.
type Client struct {
	// URL is the server's base: https, or http on loopback only (see AllowHTTP). v1/pre-reboot is appended.
	URL string
	// Group is the group on the server: 1 to 64 letters, digits, '.' and '-'.
	Group string
	// ID is the machine's. Default: Turn.Installation.
	ID string
	// Token is sent as "Authorization: Bearer TOKEN", if it is set.
	Token string
	// AllowHTTP permits plain http to other hosts than loopback. Whoever is on the way may then say when the machine
	// goes, and learn the token; what is installed is decided by signatures all the same.
	AllowHTTP bool
	// HTTP replaces the HTTP client. Default: one that gives a call 10 s. Redirects are never followed.
	HTTP *http.Client

	mu    sync.Mutex
	turns map[string]*asked // by app and version
}

// asked is what this process knows of a turn. Another one may have asked before.
type asked struct {
	token string // of the ask; "" before the first, and once it was left
	free  bool   // there is no slot to give back
}

// Turn is what a machine asks for: to go from one version of a program to another.
type Turn struct {
	Installation string
	App          string
	From, To     string
	Critical     bool
}

// Limits of an answer.
const (
	maxAnswer      = 64 << 10
	clientPatience = 10 * time.Second
)

// Check returns what is wrong with the fields, or nil.
func (c *Client) Check() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("the fleet's URL %.200q is none: write https://HOST/", c.URL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the fleet's URL has a user, a query or a fragment, which it may not have; a token goes into Client.Token")
	case u.Scheme == "http" && !c.AllowHTTP && !loopback(u.Hostname()):
		return fmt.Errorf("the fleet's URL %s is plain http to another machine; use https, or set AllowHTTP", u)
	case !validName(c.Group):
		return fmt.Errorf("the fleet's group %.70q: 1 to 64 letters, digits, '.' and '-' are needed", c.Group)
	case c.ID != "" && !validID(c.ID):
		return fmt.Errorf("the machine's id %.70q: 1 to 128 visible ASCII characters without spaces are needed", c.ID)
	case c.Token != "" && !visible(c.Token, 4<<10):
		return errors.New("the fleet's token is not one word of visible ASCII, which is all that a header carries")
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Enter asks whether the machine may go now. nil: it may, and has to begin at once. A *Refusal: not now. Any other error
// says that there was no answer, which means the same. Servers say no with many a status, so only a 2xx is a yes.
func (c *Client) Enter(ctx context.Context, t Turn) error {
	if err := c.Check(); err != nil {
		return err
	}
	a := c.asked(t)
	c.mu.Lock()
	a.token = cmp.Or(a.token, rand.Text())
	q, free := c.request(t, a.token), a.free
	a.free = false
	c.mu.Unlock()
	began := time.Now()
	b, err := c.post(ctx, "v1/pre-reboot", q)
	if err != nil {
		if r := (*Refusal)(nil); errors.As(err, &r) && r.sure {
			c.mu.Lock()
			a.free = free // what was not there before is not there now
			c.mu.Unlock()
		}
		return err
	}
	var slot lockAnswer
	if json.Unmarshal(b, &slot) != nil || slot.Left <= 0 {
		return nil // plain FleetLock: a slot without an end
	}
	// A machine that begins late may still be updating when the coordinator counts it as lost, and one that slept through the
	// answer cannot tell how much time is left. So it has to begin within the first half of its time.
	if gone := time.Since(began); slot.Left < slot.Deadline/2 || gone.Seconds() > slot.Left/2 {
		if err := c.Leave(ctx, t, Stopped, "its time was half over"); err != nil {
			return err
		}
		return &Refusal{Kind: KindFull, Reason: "half of the time of this machine's slot was over already; it asks for a new one", After: time.Second}
	}
	return nil
}

// Leave reports how the machine's turn has ended. It is to be repeated until it returns nil. A server that knows nothing of
// outcomes takes each as the end of the turn.
func (c *Client) Leave(ctx context.Context, t Turn, o Outcome, reason string) error {
	if err := c.Check(); err != nil {
		return err
	}
	a := c.asked(t)
	c.mu.Lock()
	q, free := c.request(t, a.token), a.free
	c.mu.Unlock()
	if free {
		return nil // the server has said no each time: a report would only double what it has to do
	}
	q.Outcome, q.Reason = o, text.Short(reason, maxReason).String()
	if _, err := c.post(ctx, "v1/steady-state", q); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*a = asked{free: true}
	return nil
}

func (c *Client) asked(t Turn) *asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := t.App + " " + t.To
	if c.turns[key] == nil {
		if len(c.turns) == 0 || len(c.turns) > 100 { // versions come and go
			c.turns = map[string]*asked{}
		}
		c.turns[key] = &asked{}
	}
	return c.turns[key]
}

func (c *Client) request(t Turn, token string) lockRequest {
	q := lockRequest{App: t.App, Version: t.To, From: t.From, Critical: t.Critical, Token: token}
	q.Params.ID, q.Params.Group = cmp.Or(c.ID, t.Installation), c.Group
	return q
}

func (c *Client) post(ctx context.Context, path string, q lockRequest) ([]byte, error) {
	if q.Params.ID == "" {
		return nil, errors.New("the machine has no id; set Client.ID")
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, clientPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Fleet-Lock-Protocol", "true")
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := http.Client{Transport: transport}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // it would become a GET, or tell others the token
	res, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the fleet: %w", text.Error(err))
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return nil, fmt.Errorf("asking the fleet: %s answers with a redirect (%d), which is not followed; set the URL that it leads to", r.URL.Redacted(), res.StatusCode)
	case err != nil && res.StatusCode/100 == 2:
		return nil, fmt.Errorf("asking the fleet: %w", text.Error(err))
	case len(b) > maxAnswer:
		return nil, fmt.Errorf("asking the fleet: the answer has more than %d bytes", maxAnswer)
	case res.StatusCode/100 == 2:
		return b, nil
	}
	return nil, notNow(res, b)
}

// notNow is what a server says that does not say yes. It need not be one of ours, nor a FleetLock server at all.
func notNow(res *http.Response, b []byte) error {
	var said refusalBody
	sure := json.Unmarshal(b, &said) == nil && said.Kind != "" && res.StatusCode <= 500
	if said.Kind == "" {
		said = refusalBody{"http_" + strconv.Itoa(res.StatusCode), ""}
	}
	kind, value := text.Short(said.Kind, 40).String(), text.Short(said.Value, 300).String()
	if value == "" {
		value = fmt.Sprintf("the fleet's server says %d", res.StatusCode)
	}
	r := &Refusal{Kind: Kind(strings.ReplaceAll(kind, " ", "_")), Reason: value, sure: sure}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		r.After = time.Duration(math.Min(float64(n), 86400)) * time.Second
	}
	return r
}

var transport = &http.Transport{
	Proxy:                  http.ProxyFromEnvironment,
	DialContext:            (&net.Dialer{Timeout: clientPatience}).DialContext,
	ForceAttemptHTTP2:      true,
	TLSHandshakeTimeout:    clientPatience,
	MaxIdleConns:           4,
	IdleConnTimeout:        time.Minute,
	MaxResponseHeaderBytes: 64 << 10,
}
