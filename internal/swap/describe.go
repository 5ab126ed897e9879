package swap

import "io/fs"

// Likeness is what the file at the path is like besides its bytes: what Replace gives the new file.
type Likeness struct {
	Mode       fs.FileMode // permission, set-id and sticky bits
	Owner      string      // user:group in numbers, "" where the system inherits it from the folder
	Attributes []string    // names of the extended attributes that are copied
}

// Likeness describes the file at the path as Replace will find it.
func (t *Target) Likeness() (Likeness, error) {
	f, err := t.open()
	if err != nil {
		return Likeness{}, t.explain(t.Path, "opening it", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Likeness{}, t.explain(t.Path, "looking at it", err)
	}
	l := Likeness{Mode: info.Mode() & modeBits, Owner: owner(info)}
	if t.Setuid == Drop {
		l.Mode &^= fs.ModeSetuid | fs.ModeSetgid
	}
	if l.Attributes, err = attributes(f); err != nil {
		return l, t.explain(t.Path, "reading its extended attributes", err)
	}
	return l, nil
}

// Quote makes a path safe to paste into a shell of this system.
func Quote(path string) string { return quote(path) }
