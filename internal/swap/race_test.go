//go:build race

package swap_test

// The detector cannot look into the programs that are broken, and makes each of their hundreds of starts ten times slower.
func init() { underRace = true }
