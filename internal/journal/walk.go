package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Entry is one thing that a journal holds, or that is wrong with it.
type Entry struct {
	Kind   EntryKind
	File   string // of WholeJournal its directory; of OnePayload, where it has one of its own
	Owner  string
	Key    []byte // of OneRecord, valid only while it is given
	Value  []byte // likewise
	Number uint64 // of OnePayload; of Numbers, which may have been given below it
	Size   int64  // of OnePayload, in bytes
	Damage error  // a DamageError, or what else kept from reading
}

// EntryKind is what an Entry is, in the order in which they come. Damage comes where
// it stands.
type EntryKind string

const (
	WholeJournal EntryKind = "journal"
	Owner        EntryKind = "owner"
	Numbers      EntryKind = "numbers"
	OneRecord    EntryKind = "record"
	OnePayload   EntryKind = "payload"
	Damage       EntryKind = "damage"
)

// Walk gives everything that the journal in dir holds, until each fails. It changes
// nothing, and needs the journal to be closed (else ErrLocked). Every checksum is
// verified; what is damaged is given where it stands and the rest goes on as far as it
// can. The damage, of logs too, is returned as well, each a DamageError.
func Walk(dir string, o Options, each func(Entry) error) error {
	d := &walk{each: each}
	if err := d.run(dir, o.withDefaults()); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	return errors.Join(append(d.damage, d.err)...)
}

type walk struct {
	each   func(Entry) error
	err    error // of each: nothing more is given
	store  store
	files  *payloadFiles
	damage []error // the first maxDamage
}

func (d *walk) run(dir string, o Options) (err error) {
	dir, err = realDir(dir, o.FS)
	if err != nil {
		return err
	}
	f := newFailure()
	inspector := &inspector{log: o.Logger, salvage: true}
	guard := &guard{FS: o.FS, failure: f, inspector: inspector}
	records := guard.PathJoin(dir, recordsDir)
	if _, err := guard.Stat(records); err != nil {
		return fmt.Errorf("no journal in %s: %w", dir, err)
	}
	if _, err := guard.Lock(guard.PathJoin(dir, lockFile)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guard.unlock()) }()
	if err := checkFormat(guard, records); err != nil {
		return err
	}
	d.give(Entry{Kind: WholeJournal, File: dir})
	store, err := openPebble(records, guard, true, f, o.Logger)
	for _, damage := range inspector.damage {
		d.note(damage)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	d.store = store
	d.files = &payloadFiles{fs: guard, dir: guard.PathJoin(dir, payloadsDir), log: o.Logger, sizes: make(map[uint64]int64)}
	d.header()
	d.records()
	d.payloads()
	return nil
}

// maxDamage bounds the places that the error of a walk names; it has given all.
const maxDamage = 64

func (d *walk) give(e Entry) {
	if d.err == nil {
		d.err = d.each(e)
	}
}

// note gives damage, and remembers it.
func (d *walk) note(err error) {
	if len(d.damage) < maxDamage {
		d.damage = append(d.damage, err)
	}
	d.give(Entry{Kind: Damage, Damage: err})
}

// rows calls fn with every row of a kind that is whole.
func (d *walk) rows(kind byte, fn func(key, value []byte)) {
	err := d.store.scan(kind, func(key, sealed []byte) error {
		if value, err := unseal(key, sealed); err != nil {
			d.note(err)
		} else {
			fn(key[1:], value)
		}
		return nil
	})
	if err != nil {
		d.note(err)
	}
}

func (d *walk) header() {
	owners := 0
	d.rows(headerRow, func(_, owner []byte) {
		owners++
		d.give(Entry{Kind: Owner, Owner: string(owner)})
	})
	if owners == 0 && len(d.damage) == 0 {
		d.note(&DamageError{Where: rowName([]byte{headerRow}), What: "is missing"})
	}
	d.rows(numberRow, func(_, to []byte) {
		if len(to) != 8 {
			d.note(&DamageError{Where: rowName([]byte{numberRow}), What: "isn't 8 bytes long"})
			return
		}
		d.give(Entry{Kind: Numbers, Number: binary.BigEndian.Uint64(to)})
	})
}

func (d *walk) records() {
	d.rows(recordRow, func(key, value []byte) { d.give(Entry{Kind: OneRecord, Key: key, Value: value}) })
}

func (d *walk) payloads() {
	d.rows(payloadRow, func(key, value []byte) {
		if len(key) != 8 {
			d.note(&DamageError{Where: rowName(append([]byte{payloadRow}, key...)), What: "not a payload's number"})
			return
		}
		d.give(Entry{Kind: OnePayload, Number: binary.BigEndian.Uint64(key), Size: int64(len(value))})
	})
	numbers, err := d.files.list()
	if err != nil {
		d.note(err)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		size, err := d.verifyFile(number)
		if err != nil {
			d.note(err)
			continue
		}
		d.give(Entry{Kind: OnePayload, Number: number, Size: size, File: d.files.path(number)})
	}
}

// verifyFile reads the file of a large payload to its end.
func (d *walk) verifyFile(number uint64) (int64, error) {
	d.files.sizes[number] = 0 // open asks whether it is there
	r, err := d.files.open(number)
	if err != nil {
		return 0, err
	}
	defer r.file.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, err
	}
	return r.size, nil
}
