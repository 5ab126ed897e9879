//go:build !unix

package restart

import "errors"

// Paths of unix sockets are not cleared here.
var errAddressInUse, errConnRefused = errors.ErrUnsupported, errors.ErrUnsupported

const sentinel = "TABLEFLIP_HAS_PARENT_7DIU3"

func adoptSentinel() bool { return false }

func closeOnExec(int) {}

func isListening(int) bool { return false }

func terminate(int) {}
