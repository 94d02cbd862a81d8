package fsm

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"
)

// FuzzEnded compares the set of ended sequences with a plain list of numbers,
// through additions, new epochs and restarts from the blocks that were written.
func FuzzEnded(f *testing.F) {
	f.Add([]byte{1, 0, 9, 0, 3, 2, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 4})
	f.Add([]byte{1, 15, 255, 0, 3, 1, 16, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 1, 63, 255, 3, 0, 0, 0, 0})
	f.Add(randomBytes(1, 200))
	f.Fuzz(func(t *testing.T, story []byte) {
		const most = 3 * blockSize
		m := New(testConfig())
		r := &m.peer(alice).responder
		r.epoch = 1
		over, records := make([]bool, most+2), map[string][]byte{}
		for step := range slices.Chunk(story[:min(len(story), 200)], 5) {
			step = append(slices.Clone(step), 0, 0, 0, 0)
			first := 1 + uint64(binary.BigEndian.Uint16(step[1:]))%most
			last := first + uint64(binary.BigEndian.Uint16(step[3:]))
			switch step[0] % 8 {
			case 0:
				r.epoch++
				r.ended.clear()
				clear(over)
				continue
			case 1: // what a restart finds is what there was
				var b Batch
				r.save(&b)
				for _, record := range b.Records {
					if records[string(record.Key)] = record.Value; record.Value == nil {
						delete(records, string(record.Key))
					}
				}
				again := restored(t, m.config, records, morning)
				if got := &again.peer(alice).responder; !maps.Equal(got.ended.written, r.ended.written) {
					t.Fatalf("restored as written in blocks %v, want %v", got.ended.written, r.ended.written)
				} else {
					m, r = again, got
				}
				continue
			case 2, 3: // all below, as REQUEST says it
				first, last = 1, first
			case 4, 5:
				last = first
			}
			last = min(last, most)
			changed := slices.Contains(over[first:last+1], false)
			for seq := first; seq <= last; seq++ {
				over[seq] = true
			}
			if got := r.ended.add(first, last); got != changed {
				t.Fatalf("adding %d to %d changed it: %v, want %v", first, last, got, changed)
			}
		}
		checkEnded(t, &r.ended, over)
	})
}

// checkEnded compares a set with what is over by a plain list.
func checkEnded(t *testing.T, e *ended, over []bool) {
	low := uint64(1 + slices.Index(over[1:], false))
	var spans []span
	for seq := low; seq < uint64(len(over)); seq++ {
		switch n := len(spans); {
		case !over[seq]:
		case n > 0 && spans[n-1].last == seq-1:
			spans[n-1].last = seq
		default:
			spans = append(spans, span{seq, seq})
		}
	}
	if e.low != low || !slices.Equal(e.spans, spans) {
		t.Fatalf("low %d, spans %v; want %d, %v", e.low, e.spans, low, spans)
	}
	for seq := uint64(1); seq < uint64(len(over)); seq += 7 {
		if e.has(seq) != over[seq] {
			t.Fatalf("%d is over: %v, want %v", seq, e.has(seq), over[seq])
		}
	}
}
