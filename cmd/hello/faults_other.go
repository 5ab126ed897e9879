//go:build faults && !unix

package main

// end does nothing here.
func end(string) {}
