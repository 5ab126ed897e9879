package updater

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// R18: a socket to which everybody may connect, as systemd makes it by default, serves root, the program's own user and the
// members of the group that Options names, by what the kernel says of the peer, and nobody else.
func TestR18PeerCredentials(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.Need(t, "curl")
	const member, stranger, group = 64201, 64202, 64300
	nobody := uint32(65534)
	for _, row := range []struct {
		name   string
		group  string // Options.AdminGroup
		uid    uint32
		gid    uint32
		groups []uint32
		code   string
	}{
		{"root", "", 0, 0, nil, "200"},
		{"another user", "", stranger, stranger, nil, "403"},
		{"another user of root's group", "", stranger, 0, nil, "403"},
		{"a member of a group that nobody named", "", member, member, []uint32{group}, "403"},
		{"a member", strconv.Itoa(group), member, member, []uint32{1, group, 7}, "200"},
		{"a member by the effective group", strconv.Itoa(group), member, group, nil, "200"},
		{"no member", strconv.Itoa(group), stranger, stranger, []uint32{group + 1}, "403"},
		{"a member of a hundred groups", strconv.Itoa(group), member, member, append(manyGroups(99), group), "200"},
		{"nobody", strconv.Itoa(group), nobody, group, []uint32{group}, "403"},
		{"the group of nobody", strconv.Itoa(int(nobody)), stranger, nobody, []uint32{nobody}, "403"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := install(t, published(t, "1.0.0"), "1.0.0", func(o *Options) { o.AdminGroup = row.group })
			path := filepath.Join(t.TempDir(), "s")
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(path, 0o666); err != nil {
				t.Fatal(err)
			}
			served(t, c, ln)
			cmd := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", path, "http://localhost/update")
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: row.uid, Gid: row.gid, Groups: row.groups}}
			out, err := cmd.CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != row.code {
				t.Errorf("%s, %v; want %s", out, err, row.code)
			}
		})
	}
}

func manyGroups(n uint32) (groups []uint32) {
	for i := range n {
		groups = append(groups, 70000+i)
	}
	return groups
}

func TestAdminGroupMustExist(t *testing.T) {
	o := install(t, published(t, "1.0.0"), "1.0.0").opts.Options
	o.AdminGroup = "no such group"
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "AdminGroup") {
		t.Errorf("New: %v", err)
	}
}
