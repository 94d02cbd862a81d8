package journal

// Batch collects changes that are written together or not at all. One
// goroutine uses it; after Commit or Discard it must not be used again.
type Batch struct {
	journal *Journal
	changes changes
	inline  []cached // payloads set here, for the cache; for each turn
	dropped []uint64 // two for each exchange
}

// Batch returns an empty batch; ended ones are used again.
func (j *Journal) Batch() *Batch {
	b := j.batches.Get().(*Batch)
	b.changes = j.store.begin()
	return b
}

// Set writes a record, copying both slices.
func (b *Batch) Set(key, value []byte) { b.changes.set(recordRow, key, value) }

// Delete removes a record; there may be none.
func (b *Batch) Delete(key []byte) { b.changes.delete(recordRow, key) }

// SetPayload writes a payload together with the records that name it. It is
// meant for small ones: what is in a batch is written while everyone else's
// commit waits. The journal keeps p, which nobody may change any more.
func (b *Batch) SetPayload(number uint64, p []byte) {
	b.changes.set(payloadRow, numberKey(number), p)
	b.inline = append(b.inline, cached{number, p})
}

// DropPayload deletes a payload that no record names any more once the batch is
// committed. The file of a large one is unlinked when the batch is durable.
func (b *Batch) DropPayload(number uint64) {
	if !b.journal.files.has(number) {
		b.changes.delete(payloadRow, numberKey(number))
	}
	b.dropped = append(b.dropped, number)
}

// Commit writes the batch, all of it or nothing. With sync it is durable, and
// with it everything committed before, when Commit returns nil; without, it may
// be lost in a crash, but never while anything committed later is kept. An
// error is ErrFailed, and the journal is then of no more use.
func (b *Batch) Commit(sync bool) error {
	j := b.journal
	err := j.check()
	if err != nil {
		b.Discard()
		return err
	}
	if err := b.changes.commit(sync); err != nil {
		return err // the batch may still be in use below: it isn't given back
	}
	for _, p := range b.inline {
		j.cache.add(p.number, p.payload)
	}
	for _, number := range b.dropped {
		j.cache.remove(number)
	}
	j.files.drop(b.dropped, sync)
	b.recycle()
	return nil
}

// Discard ends a batch that isn't to be committed.
func (b *Batch) Discard() {
	b.changes.discard()
	b.recycle()
}

func (b *Batch) recycle() {
	clear(b.inline)
	b.changes, b.inline, b.dropped = nil, b.inline[:0], b.dropped[:0]
	b.journal.batches.Put(b)
}
