package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Dump lists what the journal in dir holds, for a person to read: whose it is,
// every record as decode puts it, every payload. It changes nothing, and needs
// the journal to be closed (else ErrLocked). Every checksum is verified; what
// is damaged is named where it stands and the rest goes on as far as it can.
// The damage, of logs too, is returned as well, each a DamageError.
func Dump(dir string, o Options, w io.Writer, decode func(key, value []byte) string) error {
	o = o.withDefaults()
	d := &dump{out: bufio.NewWriter(w), decode: decode}
	if err := d.run(dir, o); err != nil {
		return fmt.Errorf("dump journal: %w", errors.Join(err, d.out.Flush()))
	}
	return errors.Join(append(d.damage, d.out.Flush())...)
}

type dump struct {
	out    *bufio.Writer
	decode func(key, value []byte) string
	store  store
	files  *payloadFiles
	damage []error // the first maxDamage
}

func (d *dump) run(dir string, o Options) (err error) {
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
	fmt.Fprintf(d.out, "journal %s\n", dir)
	store, err := openPebble(records, guard, true, f, o.Logger)
	for _, damage := range inspector.damage {
		d.note("", damage)
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

// maxDamage bounds the places that the error of a dump names; the dump has all.
const maxDamage = 64

// note writes damage down, and remembers it.
func (d *dump) note(indent string, err error) {
	if len(d.damage) < maxDamage {
		d.damage = append(d.damage, err)
	}
	fmt.Fprintf(d.out, "%sDAMAGED: %v\n", indent, err)
}

// rows calls fn with every row of a kind that is whole.
func (d *dump) rows(kind byte, fn func(key, value []byte)) {
	err := d.store.scan(kind, func(key, sealed []byte) error {
		if value, err := unseal(key, sealed); err != nil {
			d.note("  ", err)
		} else {
			fn(key[1:], value)
		}
		return nil
	})
	if err != nil {
		d.note("  ", err)
	}
}

func (d *dump) header() {
	owners := 0
	d.rows(headerRow, func(_, owner []byte) {
		owners++
		fmt.Fprintf(d.out, "owner %s\n", owner)
	})
	if owners == 0 && len(d.damage) == 0 {
		d.note("", &DamageError{Where: rowName([]byte{headerRow}), What: "is missing"})
	}
	d.rows(numberRow, func(_, to []byte) {
		if len(to) != 8 {
			d.note("", &DamageError{Where: rowName([]byte{numberRow}), What: "isn't 8 bytes long"})
			return
		}
		fmt.Fprintf(d.out, "payload numbers below %d may have been given\n", binary.BigEndian.Uint64(to))
	})
}

func (d *dump) records() {
	count := 0
	fmt.Fprintf(d.out, "\nrecords\n")
	d.rows(recordRow, func(key, value []byte) {
		count++
		fmt.Fprintf(d.out, "  %s\n", d.decode(key, value))
	})
	fmt.Fprintf(d.out, "  %d in all\n", count)
}

func (d *dump) payloads() {
	count := 0
	fmt.Fprintf(d.out, "\npayloads\n")
	d.rows(payloadRow, func(key, value []byte) {
		count++
		if len(key) != 8 {
			d.note("  ", &DamageError{Where: rowName(append([]byte{payloadRow}, key...)), What: "not a payload's number"})
			return
		}
		fmt.Fprintf(d.out, "  %d: %d bytes\n", binary.BigEndian.Uint64(key), len(value))
	})
	numbers, err := d.files.list()
	if err != nil {
		d.note("  ", err)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		count++
		size, err := d.verifyFile(number)
		if err != nil {
			d.note("  ", err)
			continue
		}
		fmt.Fprintf(d.out, "  %d: %d bytes, in %s\n", number, size, d.files.path(number))
	}
	fmt.Fprintf(d.out, "  %d in all\n", count)
}

// verifyFile reads the file of a large payload to its end.
func (d *dump) verifyFile(number uint64) (int64, error) {
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
