package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeHeader reads a frame's header, without the length before it. Fields
// may come in any order and, as in all of protobuf, the last of several counts;
// unknown fields are skipped, and so are those that the kind doesn't use.
// Anything else that breaks the protocol is an [*Error].
//
// The frame keeps nothing of header. Only lane and text are allocated.
func DecodeHeader(header []byte) (Frame, error) {
	if len(header) > MaxHeader {
		return Frame{}, bad("header longer than 4096 bytes")
	}
	var f Frame
	var lane, text []byte
	for len(header) > 0 {
		n, typ, read := protowire.ConsumeTag(header)
		if read < 0 || n > protowire.MaxValidNumber {
			return Frame{}, bad("header is not protobuf")
		}
		header = header[read:]
		if n > textField {
			if read = protowire.ConsumeFieldValue(n, typ, header); read < 0 {
				return Frame{}, bad("header is not protobuf")
			}
			header = header[read:]
			continue
		}
		if typ != wireType(n) {
			return Frame{}, bad(fieldNames[n] + " has the wrong protobuf type")
		}
		if typ == protowire.VarintType {
			v, read := protowire.ConsumeVarint(header)
			if read < 0 {
				return Frame{}, bad("header is not protobuf")
			}
			if v > largest(n) {
				return Frame{}, bad(fieldNames[n] + " is out of range")
			}
			f.setNumber(n, v)
			header = header[read:]
			continue
		}
		v, read := protowire.ConsumeBytes(header)
		if read < 0 {
			return Frame{}, bad("header is not protobuf")
		}
		header = header[read:]
		switch n {
		case tagField:
			if copy(f.Tag[:], v) != len(v) || len(v) != len(f.Tag) {
				return Frame{}, bad("tag is not 16 bytes long")
			}
		case hashField:
			if copy(f.Hash[:], v) != len(v) || len(v) != len(f.Hash) {
				return Frame{}, bad("hash is not 32 bytes long")
			}
		case laneField:
			lane = v
		case textField:
			if text = v; !utf8.Valid(v) {
				return Frame{}, bad("text is not UTF-8")
			}
		}
	}
	if f.Kind.known() {
		f.keep(f.usage(), lane, text)
	}
	if rule := f.brokenRule(); rule != "" {
		return Frame{}, bad(rule)
	}
	return f, nil
}

// keep clears what the frame's kind doesn't use and sets lane and text if it
// does.
func (f *Frame) keep(use usage, lane, text []byte) {
	used := use.required | use.optional
	for n := kindField; n <= textField; n++ {
		if !used.has(n) {
			f.setNumber(n, 0)
		}
	}
	if !used.has(tagField) {
		f.Tag = Tag{}
	}
	if !used.has(hashField) {
		f.Hash = Hash{}
	}
	if used.has(laneField) {
		f.Lane = string(lane)
	}
	if used.has(textField) {
		f.Text = string(text)
	}
}
