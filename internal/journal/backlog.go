package journal

import "sync"

// backlog counts the memory tables that wait to be flushed, and makes commits
// wait while there are too many: a disk may take the log faster than tables.
// Pebble would do so itself, but what it makes wait, it doesn't wake when the
// flush fails.
type backlog struct {
	failed <-chan struct{}

	mu     sync.Mutex
	tables int
	eased  chan struct{} // closed when there are fewer; nil when nobody waits
}

// grow notes that a memory table was begun.
func (b *backlog) grow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tables++
}

// shrink notes that tables were flushed. Those that Pebble filled from the logs
// at its start were never counted.
func (b *backlog) shrink(tables int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tables = max(0, b.tables-tables)
	if b.eased != nil && b.tables < maxMemTables {
		close(b.eased)
		b.eased = nil
	}
}

// wait returns when there is room, or the journal has failed.
func (b *backlog) wait() {
	for {
		b.mu.Lock()
		if b.tables < maxMemTables {
			b.mu.Unlock()
			return
		}
		if b.eased == nil {
			b.eased = make(chan struct{})
		}
		eased := b.eased
		b.mu.Unlock()
		select {
		case <-eased:
		case <-b.failed:
			return
		}
	}
}
