package managed

import (
	"io/fs"
	"path"
	"strings"
)

// Variable is the environment variable by which an operator says who keeps the programs current that he starts: a
// command to run instead, 1 to say only that somebody does, or 0 that nobody does, whatever is found.
const Variable = "THESEUS_MANAGED"

// MarkerName is the name of the file beside the program NAME that says the same; its first line is the command, and may
// be empty.
func MarkerName(program string) string { return "." + program + ".managed" }

// maxCommand caps the command that is shown.
const maxCommand = 512

// Said returns what was said of the program in its build, in the environment and beside its file, in the order in which
// they count: the environment is the operator's last word, then whoever built it for a distribution, then the marker
// file. free: nobody manages it, and nobody shall be looked for.
func Said(p Place, build, env string) (m *Manager, free bool) {
	switch strings.ToLower(env) {
	case "0", "no", "false":
		return nil, true
	case "":
	default:
		return said(env, "the environment variable "+Variable), false
	}
	if build != "" {
		return said(build, "as it was built"), false
	}
	dir, name := path.Split(p.Path)
	marker := path.Join(dir, MarkerName(name))
	if info, err := fs.Stat(p.Root, marker); err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	r := reader{root: p.Root}
	first, _, _ := strings.Cut(string(r.read(marker)), "\n")
	return said(first, p.shown(marker)), false
}

func said(command, because string) *Manager {
	command = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' ' // it is shown on terminals
		}
		return r
	}, command))
	switch strings.ToLower(command) {
	case "1", "yes", "true":
		command = ""
	}
	if len(command) > maxCommand {
		command = ""
	}
	return &Manager{Name: "somebody else", Command: command, Because: because}
}
