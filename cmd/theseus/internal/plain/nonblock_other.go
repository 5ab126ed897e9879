//go:build !unix

package plain

// nonBlock: no pipe has a name in a folder here.
const nonBlock = 0
