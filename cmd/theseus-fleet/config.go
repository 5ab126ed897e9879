package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/theseus-go/theseus/fleet"
)

const maxConfig = 1 << 20

// lines calls f for each line of a file that has something on it. # begins a comment.
func lines(path string, f func(line string) error) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(b) > maxConfig {
		return fmt.Errorf("%s is longer than %d bytes", path, maxConfig)
	}
	n := 0
	for s := bufio.NewScanner(strings.NewReader(string(b))); s.Scan(); {
		n++
		line, _, _ := strings.Cut(s.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return nil
}

// readGroups reads a file of lines like
//
//	web: canary 5, soak 1h, then 10 %, then all; max 5 % at once; halt after 3 failures
//	hello/edge: canary 1, then all       # only machines of the app hello
func readGroups(path string) (groups []fleet.Group, err error) {
	err = lines(path, func(line string) error {
		name, text, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("%q: write for example %q", line, "web: canary 1, then all; halt after 1 failure")
		}
		policy, err := fleet.ParsePolicy(text)
		if err != nil {
			return err
		}
		g := fleet.Group{Name: strings.TrimSpace(name), Policy: policy}
		if app, group, ok := strings.Cut(g.Name, "/"); ok {
			g.App, g.Name = app, group
		}
		groups = append(groups, g)
		return nil
	})
	if err == nil && len(groups) == 0 {
		err = fmt.Errorf("%s names no group; write for example %q", path, "web: canary 1, then all; halt after 1 failure")
	}
	return groups, err
}

const minToken = 32

// readTokens reads a file of lines like "operator TOKEN", "reader TOKEN" and "host TOKEN".
func readTokens(path string) (a fleet.Access, err error) {
	if path == "" {
		return a, nil
	}
	err = lines(path, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 2 {
			return fmt.Errorf("write for example %q", "operator TOKEN")
		}
		if len(f[1]) < minToken {
			return fmt.Errorf("the token is shorter than %d bytes; make one with: openssl rand -hex 32", minToken)
		}
		switch f[0] {
		case "operator":
			a.Operators = append(a.Operators, f[1])
		case "reader":
			a.Readers = append(a.Readers, f[1])
		case "host":
			a.Hosts = append(a.Hosts, f[1])
		default:
			return fmt.Errorf("%q is none of operator, reader and host", f[0])
		}
		return nil
	})
	return a, err
}
