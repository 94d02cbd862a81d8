package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The kinds of rows: the first byte of every key.
const (
	headerRow  = 'h' // whose journal this is: one for each handler
	numberRow  = 'n' // payload numbers below it may have been given: one for each handler
	payloadRow = 'p' // a payload, by its number: at most two for each exchange
	recordRow  = 'r' // a record of the state machine, by its key: a few for each exchange and each peer
)

const (
	formatVersion = 1                // of rows and of payload files
	checksumSize  = 4                // CRC-32C
	sealSize      = 1 + checksumSize // what a row's value has more than the bytes it keeps
)

// castagnoli is the polynomial of CRC-32C (RFC 3720, appendix B.4), which
// processors compute in hardware and which finds every burst of up to 32 bits.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal fills dst, of len(value)+sealSize bytes, with the row's value:
//
//	version (1) | value | CRC-32C of key, version and value (4, little-endian)
//
// The checksum covers the key, so that a row can't pass for another.
func seal(dst, key, value []byte) {
	dst[0] = formatVersion
	copy(dst[1:], value)
	end := len(dst) - checksumSize
	binary.LittleEndian.PutUint32(dst[end:], rowChecksum(key, dst[:end]))
}

// unseal returns the bytes that seal was given, a part of sealed. In every
// version the checksum comes last and the version first.
func unseal(key, sealed []byte) ([]byte, error) {
	end := len(sealed) - checksumSize
	if end < 1 {
		return nil, &DamageError{Where: rowName(key), What: fmt.Sprintf("%d bytes are too few", len(sealed))}
	}
	if binary.LittleEndian.Uint32(sealed[end:]) != rowChecksum(key, sealed[:end]) {
		return nil, &DamageError{Where: rowName(key), What: "checksum differs"}
	}
	if sealed[0] != formatVersion {
		return nil, versionError(rowName(key), uint64(sealed[0]))
	}
	return sealed[1:end], nil
}

func rowChecksum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

func versionError(where string, found uint64) error {
	return fmt.Errorf("%w: %s has version %d, this program knows %d: run the release that wrote it, or a later one",
		ErrVersion, where, found, formatVersion)
}

// numberKey is a payload's number as a key, big-endian so that keys sort by it.
func numberKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, number)
}

// rowName describes a row by its key for a person to read.
func rowName(key []byte) string {
	switch {
	case len(key) == 1 && key[0] == headerRow:
		return "the header row"
	case len(key) == 1 && key[0] == numberRow:
		return "the row of payload numbers"
	case len(key) == 9 && key[0] == payloadRow:
		return fmt.Sprintf("payload %d", binary.BigEndian.Uint64(key[1:]))
	case len(key) > 0 && key[0] == recordRow:
		return fmt.Sprintf("record %x", key[1:])
	default:
		return fmt.Sprintf("row %x", key)
	}
}
