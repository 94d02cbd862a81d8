package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendTo appends the frame's header, behind its length, to dst; the payload
// is for the caller to append or to write. Equal frames give equal bytes: each
// field at most once, in the order of its number, zero values left out.
// Durations are rounded up to whole milliseconds. It allocates only to grow dst.
//
// A frame that a receiver would refuse, or that has a field set which its kind
// doesn't use, is an error and dst is returned as it was. That is a mistake of
// this side: the error does not match [ErrBadFrame].
func (f *Frame) AppendTo(dst []byte) ([]byte, error) {
	if rule := f.unsendable(); rule != "" {
		return dst, fmt.Errorf("encode frame: %s", rule)
	}
	// The length of the length is known only afterwards: leave room for the
	// longest, then close the gap.
	const room = 2
	start := len(dst)
	dst = f.appendHeader(append(dst, 0, 0))
	header := dst[start+room:]
	prefix := protowire.AppendVarint(dst[:start], uint64(len(header)))
	end := len(prefix) + copy(dst[len(prefix):], header)
	return dst[:end], nil
}

// unsendable is brokenRule, and refuses what a receiver would merely ignore:
// somebody meant to say it.
func (f *Frame) unsendable() string {
	if rule := f.brokenRule(); rule != "" {
		return rule
	}
	if f.Remaining < 0 || f.RetryAfter < 0 {
		return f.Kind.String() + " with a negative duration"
	}
	use := f.usage()
	if unused := f.present() &^ (use.required | use.optional); unused != 0 {
		return f.Kind.String() + " with " + unused.first() + ", which it does not carry"
	}
	return ""
}

// appendHeader stays below MaxHeader whatever the frame: its longest part is
// the text of a REJECT.
func (f *Frame) appendHeader(dst []byte) []byte {
	for n := kindField; n <= textField; n++ {
		switch n {
		case tagField:
			if f.Tag != (Tag{}) {
				dst = protowire.AppendTag(dst, n, protowire.BytesType)
				dst = protowire.AppendBytes(dst, f.Tag[:])
			}
		case hashField:
			if f.Hash != (Hash{}) {
				dst = protowire.AppendTag(dst, n, protowire.BytesType)
				dst = protowire.AppendBytes(dst, f.Hash[:])
			}
		case laneField:
			dst = appendString(dst, n, f.Lane)
		case textField:
			dst = appendString(dst, n, f.Text)
		default:
			if v := f.number(n); v != 0 {
				dst = protowire.AppendTag(dst, n, protowire.VarintType)
				dst = protowire.AppendVarint(dst, v)
			}
		}
	}
	return dst
}

func appendString(dst []byte, n field, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, n, protowire.BytesType)
	return protowire.AppendString(dst, s)
}
