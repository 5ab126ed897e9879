//go:build unix

package swap

import (
	"errors"
	"syscall"
)

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func isOtherMount(err error) bool { return errors.Is(err, syscall.EXDEV) }

func (t *Target) place(need int64) error { return nil }
func (t *Target) room(need int64) error  { return nil }
