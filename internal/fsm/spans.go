package fsm

import "slices"

// span is the sequences from first to last, both included.
type span struct{ first, last uint64 }

// blockSize bounds the sequences that have a record together, and so what one frame
// of a peer can make this node write: some 6 KiB, however many holes it leaves.
const blockSize = 4096

// ended is the set of sequences of a dialer's epoch that are over, as its
// responder knows them: all below low, and the spans above it, ascending and
// apart. It needs neither a clock nor a table that grows: there are at most
// wire.MaxOpen/2 spans, 512 KiB, for each peer.
type ended struct {
	low     uint64
	spans   []span              // at most wire.MaxOpen/2
	changed map[uint64]struct{} // blocks, by sequence / blockSize, since they were saved: wire.MaxOpen/blockSize
	written map[uint64]struct{} // blocks that have a record: likewise wire.MaxOpen/blockSize
}

func newEnded() ended {
	return ended{low: 1, changed: map[uint64]struct{}{}, written: map[uint64]struct{}{}}
}

// clear begins a new epoch, in which nothing is over.
func (e *ended) clear() {
	e.low, e.spans = 1, nil
	for block := range e.written {
		e.changed[block] = struct{}{}
	}
}

// has reports whether seq is over.
func (e *ended) has(seq uint64) bool {
	if seq < e.low {
		return true
	}
	at, found := slices.BinarySearchFunc(e.spans, seq, func(s span, seq uint64) int {
		switch {
		case s.last < seq:
			return -1
		case s.first > seq:
			return 1
		}
		return 0
	})
	return found && at < len(e.spans)
}

// add ends the sequences from first to last and reports whether any wasn't over.
func (e *ended) add(first, last uint64) bool {
	first = max(first, e.low)
	if first > last {
		return false
	}
	// The spans that touch or overlap the new one melt into it.
	from, _ := slices.BinarySearchFunc(e.spans, first, func(s span, first uint64) int {
		if s.last+1 < first {
			return -1
		}
		return 1
	})
	to := from
	for to < len(e.spans) && e.spans[to].first <= last+1 {
		to++
	}
	if to == from+1 && e.spans[from].first <= first && last <= e.spans[from].last {
		return false
	}
	if to > from {
		first = min(first, e.spans[from].first)
		last = max(last, e.spans[to-1].last)
	}
	if from == 0 && first == e.low {
		e.low = last + 1
		e.spans = slices.Delete(e.spans, 0, to)
		return true
	}
	for block := first / blockSize; block <= last/blockSize; block++ {
		e.changed[block] = struct{}{}
	}
	e.spans = slices.Replace(e.spans, from, to, span{first, last})
	return true
}

// of is the spans within a block.
func (e *ended) of(block uint64) []span {
	first, last := max(block*blockSize, e.low), block*blockSize+blockSize-1
	at, _ := slices.BinarySearchFunc(e.spans, first, func(s span, first uint64) int {
		if s.last < first {
			return -1
		}
		return 1
	})
	var within []span
	for ; at < len(e.spans) && e.spans[at].first <= last; at++ {
		within = append(within, span{max(e.spans[at].first, first), min(e.spans[at].last, last)})
	}
	return within
}

// highest is the greatest sequence that is over; 0 when none is.
func (e *ended) highest() uint64 {
	if n := len(e.spans); n > 0 {
		return e.spans[n-1].last
	}
	return e.low - 1
}
