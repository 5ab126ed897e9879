package updater

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// instances are the other processes that run the program's file, or one that was at its path before, as far as this
// user may know.
func (p *process) instances() (found []instance) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	at, err := os.Stat(p.disk.Path)
	for _, link := range links {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		exe, rerr := os.Readlink(link)
		if rerr != nil || pid == os.Getpid() {
			continue
		}
		runs, serr := os.Stat(link) // of the file itself, whatever it is named now
		current := err == nil && serr == nil && (os.SameFile(at, runs) ||
			exe == p.disk.Path && at.Size() == runs.Size() && at.ModTime().Equal(runs.ModTime())) // where numbers tell nothing
		exe = strings.TrimSuffix(exe, " (deleted)")
		if !current && exe != p.disk.Path && filepath.Dir(exe) != p.disk.Home {
			continue
		}
		in := instance{PID: pid, Current: current}
		if status, err := os.ReadFile(filepath.Join(filepath.Dir(link), "status")); err == nil {
			in.read(status)
		}
		found = append(found, in)
	}
	return found
}

// read takes the effective ids of proc_pid_status(5).
func (in *instance) read(status []byte) {
	for s := bufio.NewScanner(bytes.NewReader(status)); s.Scan(); {
		key, rest, _ := strings.Cut(s.Text(), ":")
		fields := strings.Fields(rest)
		switch {
		case key == "Uid" && len(fields) == 4:
			in.User, _ = strconv.Atoi(fields[1])
		case key == "Gid" && len(fields) == 4:
			in.groups = append(in.groups, fields[1])
		case key == "Groups":
			in.groups = append(in.groups, fields...)
		}
	}
}

// mayWrite judges by permission bits, which is what a folder usually has.
func (in *instance) mayWrite(folder string) bool {
	info, err := os.Stat(folder)
	if err != nil || in.User == 0 {
		return in.User == 0
	}
	s := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case int(s.Uid) == in.User:
		return mode&0o300 == 0o300
	case slices.Contains(in.groups, strconv.Itoa(int(s.Gid))):
		return mode&0o030 == 0o030
	}
	return mode&0o003 == 0o003
}
