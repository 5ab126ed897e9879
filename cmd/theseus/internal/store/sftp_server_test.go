package store

import (
	"os"
	"os/exec"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// sftpServer is OpenSSH's server of the protocol, which lies beside the PATH.
func sftpServer(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	testenv.Need(t, "sftp-server")
	path, err := exec.LookPath("sftp-server")
	must(t, err)
	return path
}
