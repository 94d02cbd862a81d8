package fsm

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRestore replays arbitrary records, most of them those of a real journal with
// a few bytes changed. What is accepted makes a machine that doesn't contradict
// itself, that goes on, and that writes itself down as what it is.
func FuzzRestore(f *testing.F) {
	for seed := range uint64(6) {
		for _, records := range storyJournals(f, seed) {
			f.Add(packed(records))
		}
	}
	f.Fuzz(func(t *testing.T, journal []byte) {
		c := testConfig()
		smallWorld(&c)
		r := Restore(c)
		for _, record := range unpacked(journal) {
			if err := r.Record(record.Key, record.Value); errors.Is(err, errBadRecord) || errors.Is(err, errContradicts) {
				return
			} else if err != nil {
				t.Fatalf("refused with %v", err)
			}
		}
		m := r.Done(morning)
		before := m.view()
		again := restored(t, c, written(m), morning)
		if diff := cmp.Diff(before, again.view()); diff != "" {
			t.Fatalf("written down otherwise (-before +after):\n%s", diff)
		}
		for _, p := range m.inOrder() {
			m.Step(morning, Listed{Peer: p.id})
		}
		m.Ready(morning)
		for range 20 {
			for {
				if _, ok := m.Deliver(); !ok {
					break
				}
			}
			if broken := m.broken(); broken != "" {
				t.Fatalf("accepted, and contradicts itself: %s", broken)
			}
			at := m.Ready(morning).Deadline
			if at.IsZero() {
				break
			}
			m.Step(at, Tick{})
			m.Ready(at)
		}
	})
}

// written is all of a machine as records.
func written(m *Machine) map[string][]byte {
	var b Batch
	for _, p := range m.inOrder() {
		if p.dialer.epoch != 0 || p.dialer.halt != nil {
			p.dialer.save(&b)
		}
		e := &p.responder.ended
		for _, s := range e.spans {
			for block := s.first / blockSize; block <= s.last/blockSize; block++ {
				e.changed[block] = struct{}{}
			}
		}
		if p.responder.epoch != 0 {
			p.responder.save(&b)
		}
	}
	for _, x := range m.made {
		x.save(&b)
	}
	for _, y := range m.got {
		y.save(&b)
	}
	for _, entries := range []*list.List{&m.history.made, &m.history.got} {
		for e := entries.Front(); e != nil; e = e.Next() {
			e.Value.(*remembered).save(&b)
		}
	}
	for _, v := range m.blamed {
		v.save(&b)
	}
	records := map[string][]byte{}
	for _, record := range b.Records {
		if record.Value != nil {
			records[string(record.Key)] = record.Value
		}
	}
	return records
}

// storyJournals is what a random story leaves in the journal, at times.
func storyJournals(t testing.TB, seed uint64) []map[string][]byte {
	var all []map[string][]byte
	p := newPair(t, true)
	for i, step := range slices.Collect(slices.Chunk(randomBytes(seed, 120*pairStep), pairStep)) {
		p.bytes = step
		p.act()
		if i%40 == 39 {
			all = append(all, maps.Clone(p.sides[0].written), maps.Clone(p.sides[1].written))
		}
	}
	return all
}

// packed is a journal as one text: each key and value with its length ahead.
func packed(records map[string][]byte) []byte {
	var all []byte
	for _, k := range slices.Sorted(maps.Keys(records)) {
		for _, part := range [][]byte{[]byte(k), records[k]} {
			all = append(binary.AppendUvarint(all, uint64(len(part))), part...)
		}
	}
	return all
}

// unpacked is the records of any text, in order of their keys and each key once,
// as a journal has them.
func unpacked(text []byte) []Record {
	var all []Record
	part := func() []byte {
		n, size := binary.Uvarint(text)
		if size <= 0 {
			n, size = 0, len(text)
		}
		text = text[size:]
		n = min(n, uint64(len(text)))
		p := text[:n]
		text = text[n:]
		return p
	}
	for len(text) > 0 {
		k := part()
		all = append(all, Record{Key: k, Value: part()})
	}
	slices.SortStableFunc(all, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	return slices.CompactFunc(all, func(a, b Record) bool { return bytes.Equal(a.Key, b.Key) })
}

// Records that can each be read, and that no journal has together.
func TestRecordsThatContradictEachOtherAreRefused(t *testing.T) {
	n, c, s := askedNode(t)
	n.request(1, "")
	n.request(2, "")
	n.arrive(c, s, request(1, ""))
	n.arrive(c, s, cancel(2)) // which it never made
	kept := func(kind byte, change func(key string) string) map[string][]byte {
		all := maps.Clone(n.written)
		for k, v := range n.written {
			if k[0] == kind {
				delete(all, k)
				if k = change(k); k != "" {
					all[k] = v
				}
			}
		}
		return all
	}
	gone := func(string) string { return "" }
	other := func(k string) string { return k[:1] + "b" + k[2:] } // of another peer, or tag
	for _, test := range []struct {
		what    string
		records map[string][]byte
	}{
		{"exchanges made here without what is known of their peer", kept(dialerKey, gone)},
		{"exchanges of a peer without what is known of it", kept(responderKey, gone)},
		{"ends of another peer", kept(endedKey, other)},
		{"an exchange twice", func() map[string][]byte {
			all := maps.Clone(n.written)
			maps.Copy(all, kept(outboundKey, func(k string) string { return k[:1] + "b" + k[2:] }))
			return all
		}()},
	} {
		r := Restore(n.m.config)
		var err error
		for _, k := range slices.Sorted(maps.Keys(test.records)) {
			if err == nil {
				err = r.Record([]byte(k), test.records[k])
			}
		}
		if !errors.Is(err, errContradicts) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}
