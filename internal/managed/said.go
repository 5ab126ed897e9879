package managed

import (
	"io/fs"
	"path"
	"strings"
)

// Variable is the environment variable by which operators say what keeps the programs current that they start: a command to
// run instead, 1 to say only that something does, or 0 that nothing does, whatever is found.
const Variable = "THESEUS_MANAGED"

// MarkerName is the name of the file beside the program NAME that says the same; its first line is the command, and may
// be empty.
func MarkerName(program string) string { return "." + program + ".managed" }

// maxCommand caps the command that is shown.
const maxCommand = 512

// Said returns the manager that people name in the build, in the environment or beside the program's file, in the order in
// which they count: the environment is the operator's last word, then the build for a distribution, then the marker file. If
// free is true, an operator said that nothing manages the program, and nothing shall be looked for.
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
	if p.Believe != nil && !p.Believe(marker) {
		return nil, false
	}
	r := reader{root: p.Root}
	first, _, _ := strings.Cut(string(r.read(marker)), "\n")
	return said(first, p.shown(marker)), false
}

// said makes a manager of what somebody wrote. A command that is too long is not cut but left out: half of one may be another.
func said(command, because string) *Manager {
	if len(command) > maxCommand {
		command = ""
	}
	switch strings.ToLower(strings.TrimSpace(command)) {
	case "1", "yes", "true":
		command = ""
	}
	return newManager("somebody else", command, because)
}
