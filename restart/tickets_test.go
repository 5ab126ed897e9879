package restart

import (
	"crypto/tls"
	"testing"
	"time"
)

// TestTicketKeysChange daily, are forgotten after a week, and are the same in a successor.
func TestTicketKeysChange(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	clock := func() time.Time { return now }
	ours := keyring{now: clock}
	ours.config()
	first := ours.keys[0].secret
	now = now.Add(ticketKeyChange - time.Second)
	if ours.config(); ours.keys[0].secret != first {
		t.Error("the key has changed within a day")
	}
	theirs := keyring{now: clock}
	theirs.config() // a connection has come before the keys
	for _, text := range ours.all() {
		key, ok := parseTicketKey(text)
		if !ok {
			t.Fatalf("%q cannot be read", text)
		}
		theirs.add(key)
		theirs.add(key)
	}
	if len(theirs.keys) != 2 || theirs.keys[1].secret != first {
		t.Errorf("the successor has %d keys", len(theirs.keys))
	}
	for day := range 10 {
		now = now.Add(ticketKeyChange)
		ours.config()
		known := false
		for _, key := range ours.keys {
			known = known || key.secret == first
		}
		if want := day < 6; known != want {
			t.Errorf("on day %d the first key is known: %v, want %v", day+2, known, want)
		}
	}
	if n := len(ours.keys); n != 7 {
		t.Errorf("%d keys are kept", n)
	}
	for _, text := range []string{"", "1", "x 00", "1 0011", "1 zz"} {
		if _, ok := parseTicketKey(text); ok {
			t.Errorf("%q is a key", text)
		}
	}
}

// TestTicketsOfTheProgram: a configuration that has its own way with session tickets is left alone.
func TestTicketsOfTheProgram(t *testing.T) {
	own := new(tls.Config)
	own.SetSessionTicketKeys([][32]byte{{1}})
	for name, row := range map[string]struct {
		conf *tls.Config
		ours bool
	}{
		"nothing of its own":   {new(tls.Config), true},
		"SetSessionTicketKeys": {own, false},
		"SessionTicketKey":     {&tls.Config{SessionTicketKey: [32]byte{1}}, false},
		"none":                 {&tls.Config{SessionTicketsDisabled: true}, false},
		"GetConfigForClient":   {&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }}, false},
		"UnwrapSession":        {&tls.Config{UnwrapSession: func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }}, false},
	} {
		k := keyring{now: time.Now}
		k.serve(row.conf)
		if ours := row.conf.WrapSession != nil; ours != row.ours {
			t.Errorf("%s: the package's keys are used: %v", name, ours)
		}
	}
	new(keyring).serve(nil)
}
