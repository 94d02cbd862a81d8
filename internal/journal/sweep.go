package journal

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// namedMissing bounds the missing payloads that an error names; the rest it counts.
const namedMissing = 8

// Sweep compares the payloads of earlier runs with those that the records name.
// It deletes what none names, written before a crash, and returns how many. If a
// named one is missing it deletes nothing and gives a DamageError: a record is
// written after its payload, so no crash leaves that.
func (j *Journal) Sweep(named iter.Seq[uint64]) (int, error) {
	if err := j.check(); err != nil {
		return 0, err
	}
	stored, err := j.Payloads()
	if err != nil {
		return 0, err
	}
	missing := make(map[uint64]struct{})
	orphans := maps.Clone(stored)
	for number := range named {
		if _, ok := stored[number]; !ok {
			missing[number] = struct{}{}
		}
		delete(orphans, number)
	}
	if len(missing) > 0 {
		return 0, missingError(slices.Sorted(maps.Keys(missing)))
	}
	maps.DeleteFunc(orphans, func(number uint64, _ struct{}) bool { return number >= j.firstNew })
	if len(orphans) == 0 {
		return 0, nil
	}
	b := j.Batch()
	for number := range orphans {
		b.DropPayload(number)
	}
	return len(orphans), b.Commit(true)
}

// Payloads returns the numbers of all payloads, in rows and in files.
func (j *Journal) Payloads() (map[uint64]struct{}, error) {
	stored := make(map[uint64]struct{})
	err := j.store.scan(payloadRow, func(key, _ []byte) error {
		if len(key) != 9 {
			return &DamageError{Where: rowName(key), What: "not a payload's number"}
		}
		stored[binary.BigEndian.Uint64(key[1:])] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	numbers, err := j.files.list()
	if err != nil {
		return nil, err
	}
	for _, number := range numbers {
		stored[number] = struct{}{}
	}
	return stored, nil
}

// missingError names the first few of the payloads.
func missingError(numbers []uint64) error {
	var names []string
	for _, number := range numbers[:min(len(numbers), namedMissing)] {
		names = append(names, fmt.Sprint(number))
	}
	where := "payload " + strings.Join(names, ", ")
	if more := len(numbers) - len(names); more > 0 {
		where += fmt.Sprintf(" and %d more", more)
	}
	return &DamageError{Where: where, What: "a record names it, and it is missing"}
}
