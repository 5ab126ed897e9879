package durable

import (
	"io/fs"
	"os"
)

// O_EXCL follows no link on Windows (CREATE_NEW), and a folder is opened without a flag of its own.
const (
	noFollow  = 0
	directory = 0
)

// Windows has no fsync of a folder; NTFS journals names by itself.
func syncFolder(string) error { return nil }
func syncOpen(*os.File) error { return nil }

// What is made in a folder gets its access list by inheritance.
func adopt(*os.File, fs.FileInfo) error { return nil }
func mayMend(_, _ fs.FileInfo) bool     { return false }
