//go:build unix

package beside

import "os"

func me() uint32 { return uint32(os.Geteuid()) }
