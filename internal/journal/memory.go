package journal

import (
	"maps"
	"slices"
	"sync"
)

// memoryStore keeps rows for as long as the process runs. They are sealed as on
// disk, so that both stores are read and verified alike.
type memoryStore struct {
	mu    sync.RWMutex
	rows  map[string][]byte // records as the machine has them, and two payloads for each exchange
	bytes uint64
}

func newMemoryStore() *memoryStore { return &memoryStore{rows: make(map[string][]byte)} }

func (s *memoryStore) begin() changes { return &memoryChanges{store: s} }

func (s *memoryStore) get(key []byte, use func(sealed []byte) error) error {
	s.mu.RLock()
	sealed, ok := s.rows[string(key)] // rows are replaced, never changed
	s.mu.RUnlock()
	if !ok {
		return errNoRow
	}
	return use(sealed)
}

func (s *memoryStore) scan(kind byte, fn func(key, sealed []byte) error) error {
	s.mu.RLock()
	keys := slices.Sorted(maps.Keys(s.rows))
	s.mu.RUnlock()
	for _, key := range keys {
		if key[0] != kind {
			continue
		}
		err := s.get([]byte(key), func(sealed []byte) error { return fn([]byte(key), sealed) })
		if err != nil && err != errNoRow {
			return err
		}
	}
	return nil
}

func (s *memoryStore) size() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bytes
}

func (s *memoryStore) close() error { return nil }

// memoryChanges holds the rows to be until they are committed; nil deletes.
type memoryChanges struct {
	store *memoryStore
	rows  []memoryRow // of one batch, for each turn
}

type memoryRow struct {
	key    string
	sealed []byte
}

func (c *memoryChanges) set(kind byte, key, value []byte) {
	full := append([]byte{kind}, key...)
	sealed := make([]byte, len(value)+sealSize)
	seal(sealed, full, value)
	c.rows = append(c.rows, memoryRow{string(full), sealed})
}

func (c *memoryChanges) delete(kind byte, key []byte) {
	c.rows = append(c.rows, memoryRow{key: string([]byte{kind}) + string(key)})
}

func (c *memoryChanges) commit(bool) error {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range c.rows {
		s.bytes -= uint64(len(s.rows[row.key]))
		if row.sealed == nil {
			delete(s.rows, row.key)
			continue
		}
		s.rows[row.key] = row.sealed
		s.bytes += uint64(len(row.sealed))
	}
	return nil
}

func (c *memoryChanges) discard() {}
