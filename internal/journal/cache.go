package journal

import (
	"container/list"
	"sync"
)

// cache holds the payloads used last, up to a number of bytes. A payload is
// read most often just after it was written: handed to the application, or
// sent. All methods may be called at once.
type cache struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	byUse  list.List                // of *cached, at most limit bytes: PayloadMemory; front is the one used last
	places map[uint64]*list.Element // the same, likewise within PayloadMemory
}

type cached struct {
	number  uint64
	payload []byte
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, places: make(map[uint64]*list.Element)}
}

// add keeps a payload by reference; nobody may change it any more. One that
// would push out half of the others isn't kept.
func (c *cache) add(number uint64, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(len(payload)) > c.limit/2 {
		return
	}
	if place, ok := c.places[number]; ok {
		c.drop(place)
	}
	c.places[number] = c.byUse.PushFront(&cached{number, payload})
	c.used += int64(len(payload))
	for c.used > c.limit {
		c.drop(c.byUse.Back())
	}
}

// get returns a payload, not to be changed.
func (c *cache) get(number uint64) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, ok := c.places[number]
	if !ok {
		return nil, false
	}
	c.byUse.MoveToFront(place)
	return place.Value.(*cached).payload, true
}

func (c *cache) remove(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, ok := c.places[number]; ok {
		c.drop(place)
	}
}

// drop takes a payload out; the caller holds the lock.
func (c *cache) drop(place *list.Element) {
	entry := c.byUse.Remove(place).(*cached)
	c.used -= int64(len(entry.payload))
	delete(c.places, entry.number)
}

func (c *cache) stats() (payloads int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.places), c.used
}
