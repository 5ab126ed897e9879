//go:build !unix

package plain

// nonBlock is not needed here, because no pipe has a name in a folder.
const nonBlock = 0
