// Habits is a program that has the habit which is written behind its own last byte, as "\n#HABIT VERSION". One build is many
// programs: what the system loads of an executable ends before that.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	exe, err := os.Executable()
	check(err)
	b, err := os.ReadFile("/proc/self/exe")
	check(err)
	habit, version, _ := strings.Cut(string(b[bytes.LastIndex(b, []byte("\n#"))+2:]), " ")
	switch habit {
	case "multicall": // as busybox does
		if name := filepath.Base(os.Args[0]); name != "tool" {
			fmt.Fprintf(os.Stderr, "%s: applet not found\n", name)
			os.Exit(127)
		}
	case "name": // by its file, not by what it is called
		if name := filepath.Base(exe); name != "tool" {
			fmt.Fprintf(os.Stderr, "%s: no such tool\n", name)
			os.Exit(127)
		}
	case "beside":
		if _, err := os.Stat(filepath.Join(filepath.Dir(exe), "tool.toml")); err != nil {
			check(fmt.Errorf("no configuration beside the program: %w", err))
		}
	case "noisy":
		fmt.Fprintln(os.Stderr, "WARN: 10.20.30.40 does not answer, libfoo 3.0.2 is old, 9.9.9 is available")
		fmt.Println("tool (go1.26.8, libbar 2.0.0), built 2026-11-21")
	case "packed": // as UPX does: what runs is not the file, but what it unpacks to
		fd, err := unix.MemfdCreate("unpacked", 0)
		check(err)
		unpacked := os.NewFile(uintptr(fd), "unpacked")
		_, err = unpacked.Write(append(b[:bytes.LastIndex(b, []byte("\n#"))], "\n#quiet "+version...))
		check(err)
		check(syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), os.Args, os.Environ()))
	case "slow":
		time.Sleep(time.Second)
	case "shortage":
		fmt.Fprintln(os.Stderr, "tool: opening the log: too many open files")
		os.Exit(1)
	}
	fmt.Println("tool", version)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}
