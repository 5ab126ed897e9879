//go:build !unix

package swap

func isReadOnly(error) bool             { return false }
func isFull(error) bool                 { return false }
func isOtherMount(error) bool           { return false }
func mayReplace(path, dir string) error { return nil }
