package teststore

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/theseus-go/theseus/internal/testenv"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// KeyFile writes a new private key, and returns its public half.
func KeyFile(t *testing.T, path string) ssh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ok(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	ok(t, err)
	ok(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	ok(t, err)
	return key
}

// SSH is OpenSSH's own server, one process for each connection. It returns the address of an empty folder there.
func SSH(t *testing.T) (address, known string) {
	t.Helper()
	testenv.Need(t, "sshd")
	sshd, err := exec.LookPath("sshd")
	ok(t, err)
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		ok(t, os.MkdirAll("/run/sshd", 0o755)) // which it wants to be there
	}
	host := KeyFile(t, filepath.Join(dir, "host"))
	mine := KeyFile(t, filepath.Join(dir, "mine"))
	ok(t, os.WriteFile(filepath.Join(dir, "authorized"), ssh.MarshalAuthorizedKey(mine), 0o600))
	config := filepath.Join(dir, "config")
	ok(t, os.WriteFile(config, fmt.Appendf(nil, `HostKey %[1]s/host
AuthorizedKeysFile %[1]s/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
PidFile none
MaxStartups 1000
Subsystem sftp internal-sftp
`, dir), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	known = filepath.Join(dir, "known")
	ok(t, os.WriteFile(known, []byte(knownhosts.Line([]string{knownhosts.Normalize(l.Addr().String())}, host)+"\n"), 0o600))
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f, err := conn.(*net.TCPConn).File()
			conn.Close()
			if err != nil {
				t.Error(err)
				return
			}
			c := exec.Command(sshd, "-i", "-f", config, "-E", filepath.Join(dir, "log"))
			c.Stdin, c.Stdout = f, f
			if err := c.Start(); err != nil {
				t.Error(err)
			} else {
				go c.Wait()
			}
			f.Close()
		}
	}()
	me, err := user.Current()
	ok(t, err)
	return fmt.Sprintf("sftp://%s@%s%s?key=%s&known-hosts=%s", me.Username, l.Addr(), filepath.Join(dir, "dl"), filepath.Join(dir, "mine"), known), known
}
