//go:build race

package parley_test

// Under the race detector, which makes everything ten times slower, strangers
// knock less often; and Pebble has no memory but Go's.
func init() {
	usualUnlisted = 5_000
	tablesOnHeap = 4 * 2 * 16 << 20 // of four nodes, the table being filled and the one being written
}
