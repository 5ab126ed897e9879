//go:build !unix

package swap

func isReadOnly(error) bool   { return false }
func isFull(error) bool       { return false }
func isOtherMount(error) bool { return false }
func mayWrite(string) error   { return nil }
