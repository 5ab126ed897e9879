//go:build !unix && !windows

package durable

import (
	"io/fs"
	"os"
)

const (
	noFollow  = 0
	directory = 0
)

func syncFolder(string) error           { return nil }
func syncOpen(*os.File) error           { return nil }
func adopt(*os.File, fs.FileInfo) error { return nil }
func mayMend(_, _ fs.FileInfo) bool     { return false }
