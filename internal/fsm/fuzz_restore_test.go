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

	"github.com/parley-p2p/parley/internal/wire"
)

// FuzzRestore replays arbitrary records, most of them those of a real journal with
// a few bytes changed. What is accepted makes a machine that doesn't contradict
// itself, that goes on, that writes itself down as what it is, and that leaves the
// records of a peer alone that contradict each other until its operator renews.
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
			if err := r.Record(record.Key, record.Value); errors.Is(err, errBadRecord) || errors.Is(err, ErrContradicts) {
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
		ready := m.Ready(morning)
		for range 20 {
			for _, record := range ready.Batch.Records {
				if p := m.peers[ofPeer(record)]; p != nil && p.torn != nil {
					t.Fatalf("record %x of %x, which is halted, is written", record.Key, p.id)
				}
			}
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
			ready = m.Ready(at)
		}
		for _, p := range m.inOrder() {
			if p.torn != nil {
				m.Step(morning, Renew{Peer: p.id})
				m.Ready(morning)
			}
		}
		if broken := m.broken(); broken != "" {
			t.Fatalf("renewed, and contradicts itself: %s", broken)
		}
		before = m.view()
		if diff := cmp.Diff(before, restored(t, c, written(m), morning).view()); diff != "" {
			t.Fatalf("renewed, and written down otherwise (-before +after):\n%s", diff)
		}
	})
}

// ofPeer is the peer that a record is about, if it is about what was asked of one or
// made by one.
func ofPeer(record Record) Peer {
	key := record.Key
	switch key[0] {
	case dialerKey, responderKey:
		return Peer(key[1:])
	case endedKey:
		return Peer(key[1 : len(key)-8])
	case inboundKey:
		return Peer(key[1+len(wire.Tag{}):])
	case outboundKey:
		if record.Value != nil {
			r := Restore(Config{})
			_ = r.read(key, record.Value) // of this machine's own making
			return r.outs[0].peer.id
		}
	}
	return ""
}

// written is all of a machine as records.
func written(m *Machine) map[string][]byte {
	var b Batch
	for _, p := range m.inOrder() {
		if p.torn != nil {
			continue // its records stay as they are
		}
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
