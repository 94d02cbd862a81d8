package fsm

import "slices"

// span is the sequences from first to last, both included.
type span struct{ first, last uint64 }

// ended is the set of sequences of a dialer's epoch that are over, as its
// responder knows them: all below low, and the spans above it, ascending and
// apart. It needs neither a clock nor a table that grows.
type ended struct {
	low   uint64
	spans []span
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
	e.spans = slices.Replace(e.spans, from, to, span{first, last})
	return true
}

// highest is the greatest sequence that is over; 0 when none is.
func (e *ended) highest() uint64 {
	if n := len(e.spans); n > 0 {
		return e.spans[n-1].last
	}
	return e.low - 1
}
