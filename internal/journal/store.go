package journal

import "errors"

// store keeps rows: Pebble on disk, or a map in memory.
type store interface {
	// begin starts a batch of changes.
	begin() changes
	// get calls use with a row's sealed value, which is valid until use
	// returns; errNoRow when there is none.
	get(key []byte, use func(sealed []byte) error) error
	// scan calls fn with every row of a kind in the order of their keys. Both
	// slices are valid until fn returns.
	scan(kind byte, fn func(key, sealed []byte) error) error
	// size is how many bytes the rows take on disk.
	size() uint64
	// close releases what the store holds; nothing may use it any more.
	close() error
}

// changes are applied together or not at all. One goroutine uses them; commit
// and discard end them.
type changes interface {
	set(kind byte, key, value []byte)
	delete(kind byte, key []byte)
	commit(sync bool) error
	discard()
}

var errNoRow = errors.New("no such row")
