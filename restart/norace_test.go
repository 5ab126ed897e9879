//go:build !race

package restart_test

const raced = false
