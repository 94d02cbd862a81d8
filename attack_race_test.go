//go:build race

package parley_test

// Under the race detector, which makes everything ten times slower, strangers
// knock less often.
func init() { usualUnlisted = 5_000 }
