package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// sftpStore is a store in a folder that SFTP leads to.
//
// SFTP replaces in one step, and creates only what is not there, but it compares nothing. So whoever wants to replace a
// document claims that first, by a file that only one can create: CHANNEL and the bytes that are replaced are in its name,
// and a number. Whoever finds the claim taken waits for the document to change. If it does not, the claimant has died, and the
// next number is claimed. Whoever stood still for so long that somebody else has claimed after him sees it before he
// replaces, and gives up; if that happens just between the two, he sees it afterwards and says so.
type sftpStore struct {
	client   *sftp.Client
	closer   io.Closer // what carries it
	folder   string
	name     string
	patience time.Duration // how long the one who has claimed may take
}

const (
	sftpExample  = "sftp://[USER@]HOST[:PORT]/FOLDER (/~/FOLDER below the home), with ?key=FILE or ?known-hosts=FILE"
	sftpPatience = 20 * time.Second
)

func openSFTP(ctx context.Context, address string) (Opened, error) {
	u, q, err := parse(address, sftpExample, "key", "known-hosts")
	if err != nil {
		return nil, err
	}
	if u.Hostname() == "" || u.Path == "" {
		return nil, ui.Usage("%s names no host or no folder: want %s", Redacted(address), sftpExample)
	}
	name := u.User.Username()
	if name == "" {
		me, err := user.Current()
		if err != nil {
			return nil, ui.Usage("%s: name the user: want %s", Redacted(address), sftpExample)
		}
		name = me.Username
	}
	host := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "22"))
	config, err := sshConfig(name, host, q.Get("key"), q.Get("known-hosts"))
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, ui.Fail(ui.ExitUnreachable, "%s does not answer: %w: check host, port and network", u.Host, err)
	}
	// What is interrupted ends at once: nothing in SFTP looks at a context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, host, config)
	if err != nil {
		stop()
		conn.Close()
		return nil, refusedBySSH(ctx, u.Host, name, err)
	}
	over := ssh.NewClient(c, channels, requests)
	client, err := sftp.NewClient(over)
	if err != nil {
		over.Close()
		return nil, ui.Fail(ui.ExitError, "%s lets %s in and speaks no SFTP: %w", u.Host, name, err)
	}
	folder := "/" + u.Path
	if below, ok := strings.CutPrefix(u.Path, "~/"); ok {
		folder = below
	}
	s, err := newSFTP(client, over, folder, "sftp://"+u.Host+"/"+u.Path)
	if err != nil {
		over.Close()
		return nil, err
	}
	return s, nil
}

func newSFTP(client *sftp.Client, closer io.Closer, folder, name string) (*sftpStore, error) {
	if _, ok := client.HasExtension("posix-rename@openssh.com"); !ok {
		return nil, ui.Fail(ui.ExitError, "%s cannot replace a file in one step (posix-rename@openssh.com): use a server that can, such as OpenSSH's", name)
	}
	return &sftpStore{client, closer, folder, name, sftpPatience}, nil
}

// sshConfig has the keys of the agent and of files, and believes no host that is not known.
func sshConfig(name, host, key, known string) (*ssh.ClientConfig, error) {
	home, _ := os.UserHomeDir()
	known = cmp.Or(known, filepath.Join(home, ".ssh", "known_hosts"))
	check, err := knownhosts.New(known)
	if err != nil {
		return nil, ui.Usage("the list of known hosts cannot be read: %w: connect once with ssh and compare the key, or name the file with ?known-hosts=FILE", err)
	}
	config := &ssh.ClientConfig{User: name, HostKeyCallback: check, HostKeyAlgorithms: knownAlgorithms(check, host), Timeout: 30 * time.Second}
	var signers []ssh.Signer
	files := []string{key}
	if key == "" {
		for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
			files = append(files, filepath.Join(home, ".ssh", "id_"+kind))
		}
		if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" {
			if conn, err := net.Dial("unix", socket); err == nil {
				if of, err := agent.NewClient(conn).Signers(); err == nil {
					signers = of
				}
			}
		}
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			if key != "" {
				return nil, err
			}
			continue
		}
		signer, err := ssh.ParsePrivateKey(b)
		if err != nil {
			if key != "" {
				return nil, ui.Usage("%s: %w (a key with a passphrase belongs into ssh-agent)", file, err)
			}
			continue
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, ui.Fail(ui.ExitPermission, "there is no key to log in with: start ssh-agent and ssh-add one, or name one with ?key=FILE")
	}
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(signers...)}
	return config, nil
}

// knownAlgorithms are those of the keys by which a host is known: with another one it would look like a stranger.
func knownAlgorithms(check ssh.HostKeyCallback, host string) (algorithms []string) {
	var unknown *knownhosts.KeyError
	if err := check(host, &net.TCPAddr{}, noKey{}); !errors.As(err, &unknown) {
		return nil
	}
	for _, k := range unknown.Want {
		if t := k.Key.Type(); t == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, t)
		}
	}
	return algorithms
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.ErrUnsupported }

func refusedBySSH(ctx context.Context, host, name string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var key *knownhosts.KeyError
	if errors.As(err, &key) {
		if len(key.Want) > 0 {
			return ui.Fail(ui.ExitRefused, "%s has another key than the one that is known: somebody may be in between; ask whoever runs it before you change the list of known hosts", host)
		}
		return ui.Fail(ui.ExitRefused, "the key of %s is not known: connect once with ssh, compare the key, and run this again", host)
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return ui.Fail(ui.ExitPermission, "%s does not let %s in: check the user and the key (ssh-add -l)", host, name)
	}
	return ui.Fail(ui.ExitUnreachable, "%s: no connection: %s", host, ui.Clean(err.Error()))
}

func (s *sftpStore) String() string { return strings.TrimRight(s.name, "/") }

func (s *sftpStore) Close() error {
	return errors.Join(s.client.Close(), ignoreClosed(s.closer.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *sftpStore) path(name string) string { return path.Join(s.folder, name) }

func (s *sftpStore) Get(ctx context.Context, name string) (io.ReadCloser, Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, Nothing, err
	}
	f, err := s.client.Open(s.path(name))
	if err != nil {
		return nil, Nothing, s.explain(ctx, name, err)
	}
	if isFile(name) {
		return f, Anything, nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, Nothing, s.explain(ctx, name, err)
	}
	return io.NopCloser(bytes.NewReader(b)), versionOf(b), nil
}

func (s *sftpStore) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if replaces != Anything {
		if err := s.still(ctx, name, replaces); err != nil {
			return err
		}
	}
	temp, err := s.write(ctx, name, body, size)
	if err != nil {
		return err
	}
	defer s.client.Remove(temp) // has another name by then if all went well
	if replaces == Anything {
		return s.explain(ctx, name, s.client.PosixRename(temp, s.path(name)))
	}
	return s.replace(ctx, name, temp, replaces)
}

// still is ErrChanged if another version is there than the one that is to be replaced.
func (s *sftpStore) still(ctx context.Context, name string, replaces Version) error {
	there, v, err := s.Get(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v = Nothing
	case err != nil:
		return err
	default:
		there.Close()
	}
	if v != replaces {
		return ErrChanged
	}
	return nil
}

// unfinished is how the name of a file begins that is being written.
const unfinished = ".new-"

// write stores a body under a name that nobody asks for.
func (s *sftpStore) write(ctx context.Context, name string, body io.Reader, size int64) (temp string, err error) {
	folder := path.Dir(s.path(name))
	if err := s.client.MkdirAll(folder); err != nil {
		return "", s.explain(ctx, name, err)
	}
	temp = path.Join(folder, unfinished+rand.Text())
	f, err := s.client.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return "", s.explain(ctx, name, err)
	}
	n, err := io.Copy(f, &bounded{ctx, io.LimitReader(body, size+1)})
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		if _, ok := s.client.HasExtension("fsync@openssh.com"); ok {
			err = f.Sync()
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = s.client.Chmod(temp, 0o644)
	}
	if err != nil {
		s.client.Remove(temp)
		return "", s.explain(ctx, name, err)
	}
	return temp, nil
}

type bounded struct {
	ctx context.Context
	io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

// claims is the folder of the claims. Its name is that of no document.
const claims = ".claims"

// claim is the file that says who replaces a version of a document, at which try.
func (s *sftpStore) claim(name string, replaces Version, try int) string {
	sum := sha256.Sum256([]byte(name + "\x00" + string(replaces)))
	return path.Join(s.folder, claims, fmt.Sprintf("%s.%d", hex.EncodeToString(sum[:8]), try))
}

// replace gives temp the name of a document, if nobody else has replaced it.
func (s *sftpStore) replace(ctx context.Context, name, temp string, replaces Version) error {
	try, err := s.take(ctx, name, replaces)
	if err != nil {
		return err
	}
	return s.commit(ctx, name, temp, replaces, try)
}

// commit is replace for the one who has claimed at some try.
func (s *sftpStore) commit(ctx context.Context, name, temp string, replaces Version, try int) error {
	release := func() {
		for n := 1; n <= try; n++ {
			s.client.Remove(s.claim(name, replaces, n))
		}
	}
	// The claim came first: who had claimed before us and removed that claim has replaced the document by now.
	if err := s.still(ctx, name, replaces); err != nil {
		release()
		return err
	}
	if overtaken, err := s.claimed(name, replaces, try+1); err != nil || overtaken {
		return errors.Join(err, ErrChanged)
	}
	if err := s.client.PosixRename(temp, s.path(name)); err != nil {
		return s.explain(ctx, name, err)
	}
	if overtaken, err := s.claimed(name, replaces, try+1); err != nil || overtaken {
		return ui.Fail(ui.ExitBusy, "%s/%s was written by two publishers at the same moment, after one of them had stood still: look which one is there (theseus status, theseus verify), and push again", s, name)
	}
	release()
	return nil
}

// take claims the replacement of a version, and says at which try.
func (s *sftpStore) take(ctx context.Context, name string, replaces Version) (try int, err error) {
	if err := s.client.MkdirAll(path.Join(s.folder, claims)); err != nil {
		return 0, s.explain(ctx, claims, err)
	}
	for try = 1; ; try++ {
		f, err := s.client.OpenFile(s.claim(name, replaces, try), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err == nil {
			return try, f.Close()
		}
		taken, looked := s.claimed(name, replaces, try)
		switch {
		case looked != nil:
			return 0, s.explain(ctx, name, looked)
		case !taken: // removed between: whoever had it has finished, and the document is another one
			if err := s.still(ctx, name, replaces); err != nil {
				return 0, err
			}
			try--
			if !exists(err) {
				return 0, s.explain(ctx, claims, err)
			}
			continue
		}
		if err := s.wait(ctx, name, replaces); err != nil {
			return 0, err
		}
	}
}

// exists reports whether an exclusive create failed because of a file that was there: the protocol has no code for it.
func exists(err error) bool {
	status := (*sftp.StatusError)(nil)
	return errors.Is(err, fs.ErrExist) || errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxFailure
}

func (s *sftpStore) claimed(name string, replaces Version, try int) (bool, error) {
	_, err := s.client.Stat(s.claim(name, replaces, try))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// wait waits for a document to become another one, which is ErrChanged. nil: its claimant does nothing any more.
func (s *sftpStore) wait(ctx context.Context, name string, replaces Version) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	for {
		if err := s.still(context.WithoutCancel(ctx), name, replaces); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return ctx.Err()
		case <-time.After(min(s.patience/10, 200*time.Millisecond)): // nothing in SFTP tells of a change
		}
	}
}

func (s *sftpStore) List(ctx context.Context, folder string) ([]Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	infos, err := s.client.ReadDir(s.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(ctx, folder, err)
	}
	var objects []Object
	for _, i := range infos {
		if i.Mode().IsRegular() && !strings.HasPrefix(i.Name(), ".") {
			objects = append(objects, Object{Name: i.Name(), Size: i.Size()})
		}
	}
	return sorted(objects), nil
}

func (s *sftpStore) Delete(ctx context.Context, name string) error {
	err := s.client.Remove(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.explain(ctx, name, err)
}

// explain makes an error one for a person.
func (s *sftpStore) explain(ctx context.Context, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return &fs.PathError{Op: "open", Path: s.String() + "/" + name, Err: fs.ErrNotExist}
	case errors.Is(err, fs.ErrPermission):
		return ui.Fail(ui.ExitPermission, "%s/%s: the server does not allow it: check the owner and mode of that folder", s, name)
	case errors.Is(err, sftp.ErrSSHFxConnectionLost), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
		return ui.Fail(ui.ExitUnreachable, "%s: the connection was lost: run this again, it goes on where it was", s)
	}
	return fmt.Errorf("%s/%s: %w", s, name, err)
}
