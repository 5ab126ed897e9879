// Package managed finds out whether something else keeps a program's file current: a package manager, whose database says
// which bytes the file has, or a container image, which brings the old file back at the next start.
//
//	m, free := managed.Said(place, build, os.Getenv(managed.Variable)) // what people say
//	if m == nil && !free {
//		m = managed.Find(place)                                        // what is found
//	}
//
// A file that is replaced behind a manager's back is damage to it: the next upgrade puts back what the manager knows, and its
// checks report tampering. Everything is read from paths and files. Nothing that is found on PATH is run: a "dpkg" there may be
// anything.
package managed

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/theseus-go/theseus/internal/text"
)

// Place is where a program is installed and runs.
type Place struct {
	// Root holds the files, from the root of the file system (of the drive, on Windows) on.
	Root fs.FS
	// Path is the program's real file below Root, links followed, with slashes and without the first one.
	Path string
	// OS is runtime.GOOS.
	OS string
	// Believe reports whether what somebody wrote into the file of this name below Root counts: whoever may write there could
	// replace the program as well. If it is nil, everything counts.
	Believe func(name string) bool
	// PID and Parent are the process and its parent, for containers.
	PID, Parent int
}

// Manager keeps a program's file current. What it says of itself is one line that is fit for a terminal, because folders and
// markers are named and written by other people.
type Manager struct {
	Name    string // as its users call it
	Command string // what to run instead of a self-update; "" if nobody said
	Because string // the file or path that gave it away
}

func newManager(name, command, because string) *Manager {
	return &Manager{name, text.Short(command, maxCommand).String(), text.Of(because).String()}
}

func (m *Manager) String() string {
	if m.Command == "" {
		return m.Name + " keeps it current (" + m.Because + ")"
	}
	return m.Name + " keeps it current (" + m.Because + "); run: " + m.Command
}

// Find returns the manager that keeps the program current, by the table; nil if there is none. What cannot be read does not
// count, and package databases are world-readable.
func Find(p Place) *Manager {
	for _, row := range table {
		if row.os != "" && row.os != p.OS || row.where != "" && !p.exists(row.where) {
			continue
		}
		var name, because string
		switch {
		case row.tree != "":
			name, because = p.inTree(row.tree, row.proof)
		default:
			name, because = row.ask(p)
		}
		if because == "" {
			continue
		}
		if row.trim != "" {
			name, _, _ = strings.Cut(name, row.trim)
		}
		return newManager(row.name, strings.NewReplacer("{package}", quote(name), "{path}", quote("/"+p.Path)).Replace(row.command), because)
	}
	return nil
}

func (p Place) exists(name string) bool {
	_, err := fs.Stat(p.Root, name)
	return err == nil
}

// shown is a name below Root as people write it.
func (p Place) shown(name string) string {
	if p.OS == "windows" {
		return `\` + strings.ReplaceAll(name, "/", `\`)
	}
	return "/" + name
}

// inTree matches the program's folders with a tree such as Cellar/PACKAGE/*, anywhere in its path, and wants the proof
// below what matched, so that a folder that only bears the name gives nobody away. A tree that begins with a slash
// begins at the root.
func (p Place) inTree(tree, proof string) (name, because string) {
	folders := strings.Split(path.Dir(p.Path), "/")
	want := strings.Split(strings.TrimPrefix(tree, "/"), "/")
	for i := 0; i+len(want) <= len(folders); i++ {
		if i > 0 && tree[0] == '/' {
			break
		}
		name, ok := matches(folders[i:], want)
		if !ok {
			continue
		}
		found := path.Join(folders[:i+len(want)]...)
		if proof != "" {
			found = path.Join(found, strings.ReplaceAll(proof, "PACKAGE", name))
		}
		if p.exists(found) {
			return name, p.shown(found)
		}
	}
	return "", ""
}

// matches compares without case, as the systems do on which the case of a folder may vary.
func matches(folders, want []string) (name string, ok bool) {
	for i, w := range want {
		switch {
		case w == "PACKAGE":
			name = folders[i]
		case w != "*" && !strings.EqualFold(w, folders[i]):
			return "", false
		}
	}
	return name, true
}

// maxFile caps what is read of one file of a package database. The largest list of a Debian package has some 5 MB.
const maxFile = 64 << 20

// reader reads files one after the other into the same memory: a package database may have thousands.
type reader struct {
	root fs.FS
	buf  bytes.Buffer
}

// read returns the file's bytes, which are valid until the next read; nil if there are none.
func (r *reader) read(name string) []byte {
	f, err := r.root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	r.buf.Reset()
	if n, err := r.buf.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil || n > maxFile {
		return nil
	}
	return r.buf.Bytes()
}

// line reports whether a whole line of b is this one.
func line(b []byte, want string) bool {
	for rest := b; ; {
		i := bytes.Index(rest, []byte(want))
		if i < 0 {
			return false
		}
		end := i + len(want)
		if (i == 0 || rest[i-1] == '\n') && (end == len(rest) || rest[end] == '\n') {
			return true
		}
		rest = rest[end:]
	}
}

// quote makes a name safe to paste into a shell. Names come from folders, which anybody may have named.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:,", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
