//go:build race

package restart_test

// raced reports whether these tests run under the race detector, whose memory is not ours to answer for.
const raced = true
