package swap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// giveAttributes gives f every extended attribute of old: file capabilities (security.capability), access lists
// (system.posix_acl_access), the SELinux label (security.selinux), whatever a user has set.
func (t *Target) giveAttributes(f, old *os.File) error {
	names, err := listAttributes(old)
	if err != nil {
		return t.explain(t.Path, "reading its extended attributes", err)
	}
	for _, name := range names {
		if ofContent(name) {
			continue
		}
		value, err := readAttribute(old, name)
		if err != nil {
			return t.explain(t.Path, "reading its extended attribute "+name, err)
		}
		if had, err := readAttribute(f, name); err == nil && bytes.Equal(had, value) {
			continue
		}
		if err := retry(func() error { return unix.Fsetxattr(int(f.Fd()), name, value, 0) }); err != nil && t.Attributes != Drop {
			return &Error{Kind: ErrUnlike, Path: t.Path, Reason: "the new file cannot be given its extended attribute " + name, Err: err,
				Fix: fmt.Sprintf("update as root, allow the loss in the program's update options, or remove it: setfattr -x %s %s", name, quote(t.Path))}
		}
	}
	return nil
}

// ofContent are attributes that vouch for the bytes of a file: to copy them to other bytes would be a lie that the kernel
// detects. The kernel makes its own where it needs them.
func ofContent(name string) bool { return name == "security.ima" || name == "security.evm" }

func listAttributes(f *os.File) ([]string, error) {
	b, err := grow(func(b []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == 0 }), nil
}

func readAttribute(f *os.File, name string) ([]byte, error) {
	return grow(func(b []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, b) })
}

// maxAttributes is what Linux allows for the value of one and for the names of all: XATTR_SIZE_MAX, XATTR_LIST_MAX.
const maxAttributes = 64 << 10

func grow(get func([]byte) (int, error)) (b []byte, err error) {
	for size := 512; ; size = maxAttributes {
		b = make([]byte, size)
		var n int
		err = retry(func() error { n, err = get(b); return err })
		if err == unix.ERANGE && size < maxAttributes {
			continue
		}
		return b[:max(n, 0)], err
	}
}
