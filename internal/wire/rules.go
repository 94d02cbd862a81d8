package wire

import (
	"crypto/sha256"
	"slices"
	"unicode/utf8"
)

// fieldSet is a set of header fields, a bit for each.
type fieldSet uint32

func setOf(fields ...field) fieldSet {
	var s fieldSet
	for _, n := range fields {
		s |= 1 << n
	}
	return s
}

func (s fieldSet) has(n field) bool { return s&(1<<n) != 0 }

// usage says what a kind's header must hold and what it may hold besides. A
// field that a kind doesn't use is ignored by a receiver, like an unknown one.
type usage struct{ required, optional fieldSet }

var (
	exchange = setOf(kindField, epochField, seqField)
	offer    = usage{
		required: exchange | setOf(tagField, hashField),
		optional: setOf(laneField, sizeField, lowField, largestReplyField, remainingField, possiblySeenField),
	}
	usages = [...]usage{
		Hello:    {setOf(kindField, epochField, hashField, nextField), setOf(sizeField)},
		Welcome:  {setOf(kindField, epochField), setOf(nextField)},
		Request:  offer,
		Resume:   offer,
		Continue: {required: exchange},
		Ack:      {required: exchange | setOf(ofField)},
		Nack:     {exchange | setOf(ofField, delayField), setOf(retryAfterField)},
		Reject:   {required: exchange | setOf(ofField, refusalField)},
		Reply:    {exchange | setOf(tagField, hashField), setOf(sizeField)},
		Cancel:   {required: exchange | setOf(tagField)},
	}

	ackOfRequest = usage{setOf(hashField), setOf(deliveredField)}
	ackOfReply   = usage{required: setOf(hashField)}
	fenced       = usage{required: setOf(knownField)}
	policy       = usage{setOf(tagField, hashField), setOf(textField)}
	tooLarge     = usage{setOf(tagField, hashField), setOf(knownField, textField)}
	tooLargeBack = usage{optional: setOf(hashField, knownField, textField)} // a reply, refused by its dialer

	// refusals are the reasons for which each leg can be rejected.
	refusals = [...][]Refusal{
		OfRequest: {Ended, Mismatch, Fenced, Policy, TooLarge},
		OfReply:   {Ended, TooLarge},
		OfCancel:  {Mismatch, Fenced},
	}
)

func (u usage) with(more usage) usage {
	return usage{u.required | more.required, u.optional | more.optional}
}

// usage is the row of the frame's kind, which must be a known one; for an ACK
// it depends on the leg, for a REJECT on leg and reason.
func (f *Frame) usage() usage {
	u := usages[f.Kind]
	switch f.Kind {
	case Ack:
		switch f.Of {
		case OfRequest:
			u = u.with(ackOfRequest)
		case OfReply:
			u = u.with(ackOfReply)
		}
	case Reject:
		if f.Of == OfReply {
			u.required |= setOf(tagField)
		}
		switch f.Refusal {
		case Fenced:
			u = u.with(fenced)
			if f.Of == OfRequest { // perhaps a HELLO, which has no sequence
				u.required &^= setOf(seqField)
				u.optional |= setOf(seqField)
			}
		case Policy:
			u = u.with(policy)
		case TooLarge:
			if f.Of == OfReply {
				u = u.with(tooLargeBack)
			} else {
				u = u.with(tooLarge)
			}
		}
	}
	return u
}

// present is the set of fields that aren't zero.
func (f *Frame) present() fieldSet {
	var s fieldSet
	for n := kindField; n <= textField; n++ {
		if f.number(n) != 0 {
			s |= 1 << n
		}
	}
	if f.Tag != (Tag{}) {
		s |= 1 << tagField
	}
	if f.Lane != "" {
		s |= 1 << laneField
	}
	if f.Hash != (Hash{}) {
		s |= 1 << hashField
	}
	if f.Text != "" {
		s |= 1 << textField
	}
	return s
}

// brokenRule names the first rule that the frame breaks, "" if it breaks none.
// Encoding and decoding both ask it, so that neither side's frames can be
// refused by the other.
func (f *Frame) brokenRule() string {
	switch {
	case f.Kind == 0:
		return "frame without kind"
	case !f.Kind.known():
		return "unknown kind " + f.Kind.String()
	}
	use := f.usage()
	if missing := use.required &^ f.present(); missing != 0 {
		return f.Kind.String() + " without " + missing.first()
	}
	for n := epochField; n <= knownField; n++ {
		if use.optional.has(n) || use.required.has(n) {
			if f.number(n) > largest(n) {
				return fieldNames[n] + " is out of range"
			}
		}
	}
	switch {
	case use.required.has(ofField) && !f.Of.known():
		return "unknown of " + f.Of.String()
	case use.required.has(delayField) && !f.Delay.known():
		return "unknown delay " + f.Delay.String()
	case use.required.has(refusalField) && !f.Refusal.known():
		return "unknown refusal " + f.Refusal.String()
	case f.Kind == Reject && !slices.Contains(refusals[f.Of], f.Refusal):
		return "REJECT of " + f.Of.String() + " for " + f.Refusal.String()
	case len(f.Lane) > MaxLane:
		return "lane longer than 128 bytes"
	case len(f.Text) > MaxText:
		return "text longer than 1024 bytes"
	case !utf8.ValidString(f.Text):
		return "text is not UTF-8"
	case f.Kind == Hello && f.Size > MaxHello:
		return "HELLO with more than 256 KiB of payload"
	case f.Low > f.Seq:
		return "low above the exchange's own seq" // it would end itself
	case f.Kind == Reject && f.Hash != (Hash{}) && f.Hash != hashText(f.Text):
		return "REJECT whose hash is not its text's"
	}
	return ""
}

// first is the name of the field with the smallest number in the set.
func (s fieldSet) first() string {
	for n := kindField; n <= textField; n++ {
		if s.has(n) {
			return fieldNames[n]
		}
	}
	return ""
}

// hashText is what stands for a rejection in its acknowledgement.
func hashText(text string) Hash {
	var room [MaxText]byte
	return sha256.Sum256(append(room[:0], text...))
}
