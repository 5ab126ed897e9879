//go:build !unix

package swap_test

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }
