//go:build !faults

package main

import "github.com/theseus-go/theseus/restart"

// fault does nothing: only a build with the tag "faults" fails on demand.
func fault(*restart.Restarter) {}
