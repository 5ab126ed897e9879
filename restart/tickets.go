package restart

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A keyring holds the keys that encrypt TLS session tickets. A successor gets them, so that clients resume their sessions
// with it, and goes on with them, so that the tickets that it gives out are good with its predecessor too, should that take
// service back. Keys change daily and are forgotten after a week, as crypto/tls does with its own.
type keyring struct {
	mu   sync.Mutex
	keys []ticketKey // the newest first
	conf *tls.Config // only its ticket keys are used
	now  func() time.Time
}

type ticketKey struct {
	secret [32]byte
	made   time.Time
}

const (
	ticketKeyChange = 24 * time.Hour
	ticketKeyLife   = 7 * 24 * time.Hour
)

// serve makes conf use the keyring, unless the program has its own way with session tickets.
func (k *keyring) serve(conf *tls.Config) {
	if conf == nil || conf.SessionTicketsDisabled || conf.WrapSession != nil || conf.UnwrapSession != nil ||
		conf.GetConfigForClient != nil || hasTicketKeys(conf) {
		return
	}
	//lint:ignore SA1019 a program that still sets it has its own way with tickets
	if conf.SessionTicketKey != [32]byte{} {
		return
	}
	conf.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		return k.config().EncryptTicket(cs, ss)
	}
	conf.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		return k.config().DecryptTicket(identity, cs)
	}
}

// hasTicketKeys reports whether SetSessionTicketKeys was called, which crypto/tls does not tell. If it cannot be found out,
// conf is left alone.
func hasTicketKeys(conf *tls.Config) bool {
	keys := reflect.ValueOf(conf).Elem().FieldByName("sessionTicketKeys")
	return !keys.IsValid() || keys.Kind() != reflect.Slice || keys.Len() > 0
}

// config returns the configuration with the current keys, after a change if one is due.
func (k *keyring) config() *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if len(k.keys) == 0 || now.Sub(k.keys[0].made) >= ticketKeyChange {
		fresh := ticketKey{made: now}
		rand.Read(fresh.secret[:])
		k.set(append([]ticketKey{fresh}, k.keys...))
	}
	return k.conf
}

// add puts the keys of the predecessor in.
func (k *keyring) add(key ticketKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, have := range k.keys {
		if have.secret == key.secret {
			return
		}
	}
	k.set(append(k.keys, key))
}

func (k *keyring) set(keys []ticketKey) {
	now := k.now()
	k.keys = slices.DeleteFunc(keys, func(key ticketKey) bool { return now.Sub(key.made) >= ticketKeyLife })
	slices.SortStableFunc(k.keys, func(a, b ticketKey) int { return b.made.Compare(a.made) })
	if len(k.keys) == 0 {
		return
	}
	var secrets [][32]byte
	for _, key := range k.keys {
		secrets = append(secrets, key.secret)
	}
	conf := new(tls.Config) // a new one: the old may be in use
	conf.SetSessionTicketKeys(secrets)
	k.conf = conf
}

// all returns what a successor is told.
func (k *keyring) all() (texts []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		texts = append(texts, strconv.FormatInt(key.made.Unix(), 10)+" "+hex.EncodeToString(key.secret[:]))
	}
	return texts
}

// parseTicketKey reads a text of all.
func parseTicketKey(text string) (key ticketKey, ok bool) {
	made, secret, _ := strings.Cut(text, " ")
	seconds, err := strconv.ParseInt(made, 10, 64)
	if err != nil {
		return key, false
	}
	b, err := hex.DecodeString(secret)
	if err != nil || len(b) != len(key.secret) {
		return key, false
	}
	key.made = time.Unix(seconds, 0)
	copy(key.secret[:], b)
	return key, true
}
