//go:build !linux && !darwin && !freebsd

package swap

func statfs(string) filesystem { return filesystem{} }
func fileSizeLimit() uint64    { return 1<<64 - 1 }
