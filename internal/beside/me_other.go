//go:build !unix

package beside

// me: there are no numbers of users here, and all of them are 0.
func me() uint32 { return 0 }
