package journal

// Batch collects changes that are written together or not at all. One
// goroutine uses it; after Commit or Discard it must not be used again.
type Batch struct {
	journal *Journal
	changes changes
	inline  []cached // payloads set here, for the cache
	dropped []uint64
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

// check returns why the journal can't be used, or nil.
func (j *Journal) check() error {
	if j.closed.Load() {
		return ErrClosed
	}
	return j.failure.check()
}

// Failed is closed when the disk has refused a write, also one in the
// background that no call waits for; Err then says which.
func (j *Journal) Failed() <-chan struct{} { return j.failure.ch }

// Err returns why the journal has failed, or nil. It matches ErrFailed.
func (j *Journal) Err() error { return j.failure.check() }

// Replay calls fn with every record in ascending order of keys, each verified.
// Both slices are valid until fn returns. It ends with fn's first error, or
// with a DamageError at the first record that isn't what was written.
func (j *Journal) Replay(fn func(key, value []byte) error) error {
	if err := j.check(); err != nil {
		return err
	}
	return j.store.scan(recordRow, func(key, sealed []byte) error {
		value, err := unseal(key, sealed)
		if err != nil {
			return err
		}
		return fn(key[1:], value)
	})
}

// row calls use with a row's value; errNoRow when there is none.
func (j *Journal) row(key []byte, use func(value []byte) error) error {
	return j.store.get(key, func(sealed []byte) error {
		value, err := unseal(key, sealed)
		if err != nil {
			return err
		}
		return use(value)
	})
}
