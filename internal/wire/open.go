package wire

import "encoding/binary"

// AppendOpen appends the payload of a HELLO to dst: the sequences that the
// dialer has given and not ended, ascending and from 1 up. The first is written
// as it is, each other one as its difference to the one before, all as uvarints.
func AppendOpen(dst []byte, open []uint64) []byte {
	var last uint64
	for _, seq := range open {
		dst = binary.AppendUvarint(dst, seq-last)
		last = seq
	}
	return dst
}

// DecodeOpen reads the payload of a HELLO whose field next is next: at most
// [MaxOpen] sequences, ascending, from 1 to next-1. Anything else is an
// [*Error]. It allocates the list that it returns, which is nil if empty.
func DecodeOpen(payload []byte, next uint64) ([]uint64, error) {
	if len(payload) > MaxHello {
		return nil, bad("HELLO with more than 256 KiB of payload")
	}
	count, err := countUvarints(payload)
	if err != nil || count == 0 {
		return nil, err
	}
	open := make([]uint64, 0, count)
	var last uint64
	for len(payload) > 0 {
		delta, n := binary.Uvarint(payload)
		switch {
		case n <= 0:
			return nil, bad("sequence in HELLO beyond 64 bits")
		case n > 1 && payload[n-1] == 0:
			return nil, bad("sequence in HELLO in more bytes than it needs")
		case delta == 0:
			return nil, bad("sequences in HELLO do not ascend from 1")
		case delta >= next-last: // last < next, so that nothing wraps
			return nil, bad("sequence in HELLO that was not given yet")
		}
		last += delta
		open = append(open, last)
		payload = payload[n:]
	}
	return open, nil
}

// countUvarints counts the bytes that end a uvarint, so that the list is
// allocated once and never for more than may be in it.
func countUvarints(payload []byte) (int, error) {
	count, ended := 0, true
	for _, b := range payload {
		if ended = b < 0x80; ended {
			count++
		}
	}
	switch {
	case !ended:
		return 0, bad("sequence in HELLO is cut off")
	case count > MaxOpen:
		return 0, bad("HELLO with more than 65536 sequences")
	}
	return count, nil
}
