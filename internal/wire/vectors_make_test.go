package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	someEpoch = uint64(1764000000000)
	someTag   = Tag{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f}
	someHash  = Hash(sha256.Sum256([]byte("ping")))
	noHash    = Hash(sha256.Sum256(nil))
)

// makeVectors is what frames.json should hold: every kind and variant, the
// limits, and what a receiver must take or refuse besides.
func makeVectors(t testing.TB) *vectors {
	v := &vectors{About: []string{
		"Frames of the protocol /parley/exchange/1, see docs/protocol.md.",
		"Byte strings (tag, lane, hash, payload, bytes) are in hex. Numbers of a frame are decimal strings. A field left out is zero or empty.",
		"frames: encoding the fields and the payload gives bytes, decoding bytes gives the fields and the payload.",
		"decoded: bytes that a receiver takes and that no sender writes: decoding them gives the fields.",
		"refused: bytes that break the rule in reason; the wording is ours. Those whose stream ends are not a violation.",
		"open: payloads of HELLO whose field next is next; with a reason, refused.",
	}}
	for _, m := range frameVectors() {
		bytes, err := m.frame.AppendTo(nil)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		v.Frames = append(v.Frames, &vector{Name: m.name, Fields: fieldsOf(m.frame),
			Payload: hexBytes(m.payload), Bytes: append(bytes, m.payload...)})
	}
	for _, m := range decodedVectors() {
		bytes := framed(m.header, m.payload)
		f, payload, err := readWhole(bytes)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		v.Decoded = append(v.Decoded, &vector{Name: m.name, Fields: fieldsOf(f), Payload: payload, Bytes: bytes})
	}
	for _, m := range refusedVectors() {
		_, _, err := readWhole([]byte(m.bytes))
		if err == nil {
			t.Fatalf("%s: accepted", m.name)
		}
		v.Refused = append(v.Refused, &vector{Name: m.name, Reason: reasonOf(err), Bytes: []byte(m.bytes)})
	}
	for _, m := range openVectors() {
		open, err := DecodeOpen([]byte(m.payload), m.next)
		v.Open = append(v.Open, &opens{Name: m.name, Reason: reasonOf(err), Next: m.next, Open: open, Payload: []byte(m.payload)})
	}
	return v
}

type madeFrame struct {
	name    string
	frame   Frame
	payload string
}

// exchangeVectors are one exchange from beginning to end, in order. HELLO and
// REQUEST go in one write, and so do the second ACK and REPLY.
func exchangeVectors() []madeFrame {
	ping, pong := Hash(sha256.Sum256([]byte("ping"))), Hash(sha256.Sum256([]byte("pong")))
	return []madeFrame{
		{"exchange 1, dialer: HELLO", Frame{Kind: Hello, Epoch: someEpoch, Hash: sha256.Sum256([]byte{1}), Size: 1, Next: 2}, "\x01"},
		{"exchange 2, dialer: REQUEST", Frame{Kind: Request, Epoch: someEpoch, Seq: 1, Tag: someTag, Lane: "lane", Hash: ping, Size: 4, Low: 1, LargestReply: 1 << 20, Remaining: time.Minute}, "ping"},
		{"exchange 3, responder: WELCOME", Frame{Kind: Welcome, Epoch: someEpoch}, ""},
		{"exchange 4, responder: ACK", Frame{Kind: Ack, Epoch: someEpoch, Seq: 1, Hash: ping, Of: OfRequest}, ""},
		{"exchange 5, responder: REPLY", Frame{Kind: Reply, Epoch: someEpoch, Seq: 1, Tag: someTag, Hash: pong, Size: 4}, "pong"},
		{"exchange 6, dialer: ACK", Frame{Kind: Ack, Epoch: someEpoch, Seq: 1, Hash: pong, Of: OfReply}, ""},
	}
}

func frameVectors() []madeFrame {
	id := func(f Frame) Frame { f.Epoch, f.Seq = someEpoch, 300; return f }
	rejected := func(text string) Frame {
		return id(Frame{Kind: Reject, Tag: someTag, Of: OfRequest, Refusal: Policy, Text: text, Hash: sha256.Sum256([]byte(text))})
	}
	list := string(AppendOpen(nil, []uint64{3, 4, 9, 300}))
	longText := strings.Repeat("never ", 170) + "ever"
	return append(exchangeVectors(), []madeFrame{
		{"HELLO: nothing open", Frame{Kind: Hello, Epoch: someEpoch, Hash: noHash, Next: 301}, ""},
		{"HELLO: 3, 4, 9 and 300 open", Frame{Kind: Hello, Epoch: someEpoch, Hash: sha256.Sum256([]byte(list)), Size: uint64(len(list)), Next: 301}, list},
		{"WELCOME: nothing seen", Frame{Kind: Welcome, Epoch: someEpoch}, ""},
		{"WELCOME: 300 seen", Frame{Kind: Welcome, Epoch: someEpoch, Next: 300}, ""},
		{"REQUEST: empty, no lane, no deadline", id(Frame{Kind: Request, Tag: someTag, Hash: noHash, Low: 300}), ""},
		{"REQUEST: every field", id(Frame{Kind: Request, Tag: someTag, Lane: "program-7", Hash: someHash, Size: 4, Low: 297, LargestReply: 16 << 20, Remaining: 90 * time.Second, PossiblySeen: true}), "ping"},
		{"REQUEST: lane of 128 bytes, not UTF-8", id(Frame{Kind: Request, Tag: someTag, Lane: strings.Repeat("\xff", MaxLane), Hash: someHash, Size: 4, Low: 1}), "ping"},
		{"RESUME: largest numbers", Frame{Kind: Resume, Epoch: math.MaxInt64, Seq: math.MaxInt64, Tag: someTag, Hash: someHash, Size: math.MaxInt64, Low: math.MaxInt64, LargestReply: math.MaxInt64, Remaining: math.MaxInt64 / time.Millisecond * time.Millisecond}, ""},
		{"RESUME: sent before", id(Frame{Kind: Resume, Tag: someTag, Lane: "program-7", Hash: someHash, Size: 4, Low: 297, LargestReply: 16 << 20}), ""},
		{"CONTINUE", id(Frame{Kind: Continue}), ""},
		{"ACK of request", id(Frame{Kind: Ack, Of: OfRequest, Hash: someHash}), ""},
		{"ACK of request: delivered", id(Frame{Kind: Ack, Of: OfRequest, Hash: someHash, Delivered: true}), ""},
		{"ACK of reply", id(Frame{Kind: Ack, Of: OfReply, Hash: someHash}), ""},
		{"ACK of reply: a rejection without text", id(Frame{Kind: Ack, Of: OfReply, Hash: noHash}), ""},
		{"ACK of cancel", id(Frame{Kind: Ack, Of: OfCancel}), ""},
		{"NACK of request: no room", id(Frame{Kind: Nack, Of: OfRequest, Delay: NoRoom, RetryAfter: 1500 * time.Millisecond}), ""},
		{"NACK of request: too fast", id(Frame{Kind: Nack, Of: OfRequest, Delay: TooFast, RetryAfter: 200 * time.Millisecond}), ""},
		{"NACK of request: not ready, no time given", id(Frame{Kind: Nack, Of: OfRequest, Delay: NotReady}), ""},
		{"NACK of reply: no room", id(Frame{Kind: Nack, Of: OfReply, Delay: NoRoom, RetryAfter: 30 * time.Second}), ""},
		{"NACK of cancel: not ready", id(Frame{Kind: Nack, Of: OfCancel, Delay: NotReady}), ""},
		{"REJECT of request: ended", id(Frame{Kind: Reject, Of: OfRequest, Refusal: Ended}), ""},
		{"REJECT of request: mismatch", id(Frame{Kind: Reject, Of: OfRequest, Refusal: Mismatch}), ""},
		{"REJECT of request: fenced", id(Frame{Kind: Reject, Of: OfRequest, Refusal: Fenced, Known: someEpoch + 1}), ""},
		{"REJECT of HELLO: fenced", Frame{Kind: Reject, Epoch: someEpoch, Of: OfRequest, Refusal: Fenced, Known: someEpoch + 1}, ""},
		{"REJECT of request: policy", rejected("no such program"), ""},
		{"REJECT of request: policy without text", rejected(""), ""},
		{"REJECT of request: policy, longest text", rejected(longText), ""},
		{"REJECT of request: too large", id(Frame{Kind: Reject, Tag: someTag, Of: OfRequest, Refusal: TooLarge, Known: 16 << 20, Hash: noHash}), ""},
		{"REJECT of request: policy, text beyond ASCII", rejected("проверка не прошла"), ""},
		{"REJECT of reply: ended", id(Frame{Kind: Reject, Of: OfReply, Tag: someTag, Refusal: Ended}), ""},
		{"REJECT of reply: too large", id(Frame{Kind: Reject, Of: OfReply, Tag: someTag, Refusal: TooLarge, Known: 1 << 20}), ""},
		{"REJECT of cancel: mismatch", id(Frame{Kind: Reject, Of: OfCancel, Refusal: Mismatch}), ""},
		{"REPLY", id(Frame{Kind: Reply, Tag: someTag, Hash: someHash, Size: 4}), "ping"},
		{"REPLY: empty", id(Frame{Kind: Reply, Tag: someTag, Hash: noHash}), ""},
		{"CANCEL", id(Frame{Kind: Cancel, Tag: someTag}), ""},
	}...)
}

type madeHeader struct{ name, header, payload string }

func decodedVectors() []madeHeader {
	id := number(kindField, uint64(Continue)) + number(epochField, 7) + number(seqField, 3)
	return []madeHeader{
		{"fields in descending order", number(seqField, 3) + number(epochField, 7) + number(kindField, uint64(Continue)), ""},
		{"a field twice: the last counts", number(kindField, uint64(Ack)) + id, ""},
		{"zero values written out", id + number(sizeField, 0) + number(ofField, 0) + byteString(laneField, ""), ""},
		{"a number in more bytes than it needs", number(kindField, uint64(Continue)) + number(epochField, 7) + "\x18\x83\x00", ""},
		{"an unknown number", id + number(20, 99), ""},
		{"an unknown byte string", id + byteString(1000, "from a later version"), ""},
		{"an unknown group", id + "\xa3\x01\x08\x01\xa4\x01", ""},
		{"fields that its kind does not use", id + byteString(tagField, string(someTag[:])) + number(nextField, 9), ""},
		{"a bool above 1", number(kindField, uint64(Request)) + number(epochField, 7) + number(seqField, 3) +
			byteString(tagField, string(someTag[:])) + byteString(hashField, string(noHash[:])) + number(possiblySeenField, 2), ""},
	}
}

type madeBytes struct{ name, bytes string }

func refusedVectors() []madeBytes {
	kind := func(k Kind) string { return number(kindField, uint64(k)) }
	id := number(epochField, 7) + number(seqField, 3)
	tag, hash := byteString(tagField, string(someTag[:])), byteString(hashField, string(someHash[:]))
	of := func(o Of) string { return number(ofField, uint64(o)) }
	refusal := func(r Refusal) string { return number(refusalField, uint64(r)) }
	empty := byteString(hashField, string(noHash[:]))
	h := func(header string) string { return string(framed(header, "")) }
	return []madeBytes{
		{"no header", "\x00"},
		{"header of 4097 bytes", "\x81\x20"},
		{"header length in three bytes", "\x80\x80\x01"},
		{"header length in more bytes than it needs", "\x86\x00" + kind(Continue) + id},
		{"a web browser", "GET / HTTP/1.1\r\nHost: parley.example.org\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"},
		{"no kind", h(id)},
		{"kind 0", h(kind(0) + id)},
		{"kind 11", h(kind(11) + id)},
		{"kind 256", h(number(kindField, 256) + id)},
		{"no epoch", h(kind(Continue) + number(seqField, 3))},
		{"epoch of 64 bits", h(kind(Continue) + number(epochField, 1<<63) + number(seqField, 3))},
		{"no sequence", h(kind(Continue) + number(epochField, 7))},
		{"sequence of 64 bits", h(kind(Continue) + number(epochField, 7) + number(seqField, math.MaxUint64))},
		{"REJECT ENDED without sequence", h(kind(Reject) + number(epochField, 7) + of(OfRequest) + refusal(Ended))},
		{"REQUEST without tag", h(kind(Request) + id + hash)},
		{"REQUEST without hash", h(kind(Request) + id + tag)},
		{"REQUEST with a tag of 15 bytes", h(kind(Request) + id + byteString(tagField, "fifteen bytes..") + hash)},
		{"REQUEST with a tag of zeros", h(kind(Request) + id + byteString(tagField, strings.Repeat("\x00", 16)) + hash)},
		{"REQUEST with a hash of 33 bytes", h(kind(Request) + id + tag + byteString(hashField, string(someHash[:])+"!"))},
		{"REQUEST with a lane of 129 bytes", h(kind(Request) + id + tag + byteString(laneField, strings.Repeat("x", MaxLane+1)) + hash)},
		{"REQUEST with low above its sequence", h(kind(Request) + id + tag + hash + number(lowField, 4))},
		{"REQUEST with a time remaining that overflows", h(kind(Request) + id + tag + hash + number(remainingField, math.MaxInt64/1000_000+1))},
		{"REPLY whose payload does not match its hash", h(kind(Reply)+id+tag+hash+number(sizeField, 4)) + "pong"},
		{"REPLY without tag", h(kind(Reply) + id + hash)},
		{"CANCEL without tag", h(kind(Cancel) + id)},
		{"HELLO without next", h(kind(Hello) + number(epochField, 7) + empty)},
		{"HELLO without hash", h(kind(Hello) + number(epochField, 7) + number(nextField, 1))},
		{"HELLO with a payload beyond 256 KiB", h(kind(Hello) + number(epochField, 7) + hash + number(sizeField, MaxHello+1) + number(nextField, 1))},
		{"ACK of nothing", h(kind(Ack) + id + hash)},
		{"ACK of a fourth leg", h(kind(Ack) + id + hash + of(4))},
		{"ACK of request without hash", h(kind(Ack) + id + of(OfRequest))},
		{"NACK without reason", h(kind(Nack) + id + of(OfRequest))},
		{"NACK with an unknown reason", h(kind(Nack) + id + of(OfRequest) + number(delayField, 4))},
		{"NACK with a delay that overflows", h(kind(Nack) + id + of(OfRequest) + number(retryAfterField, math.MaxInt64) + number(delayField, 1))},
		{"REJECT without reason", h(kind(Reject) + id + of(OfRequest))},
		{"REJECT with an unknown reason", h(kind(Reject) + id + of(OfRequest) + refusal(6))},
		{"REJECT FENCED that names no epoch", h(kind(Reject) + id + of(OfRequest) + refusal(Fenced))},
		{"REJECT POLICY without hash", h(kind(Reject) + id + tag + of(OfRequest) + refusal(Policy))},
		{"REJECT POLICY with another text's hash", h(kind(Reject) + id + tag + empty + of(OfRequest) + refusal(Policy) + byteString(textField, "no"))},
		{"REJECT POLICY with text that is not UTF-8", h(kind(Reject) + id + tag + empty + of(OfRequest) + refusal(Policy) + byteString(textField, "\xff"))},
		{"REJECT POLICY with a text of 1025 bytes", h(kind(Reject) + id + tag + empty + of(OfRequest) + refusal(Policy) + byteString(textField, strings.Repeat("x", MaxText+1)))},
		{"REJECT TOO_LARGE of request without hash", h(kind(Reject) + id + tag + of(OfRequest) + refusal(TooLarge))},
		{"REJECT of reply without tag", h(kind(Reject) + id + of(OfReply) + refusal(Ended))},
		{"REJECT POLICY without tag", h(kind(Reject) + id + empty + of(OfRequest) + refusal(Policy))},
		{"REJECT POLICY of reply", h(kind(Reject) + id + tag + empty + of(OfReply) + refusal(Policy))},
		{"REJECT ENDED of cancel", h(kind(Reject) + id + of(OfCancel) + refusal(Ended))},
		{"REJECT MISMATCH of reply", h(kind(Reject) + id + tag + of(OfReply) + refusal(Mismatch))},
		{"epoch as a byte string", h(kind(Continue) + byteString(epochField, "7") + number(seqField, 3))},
		{"tag as a number", h(kind(Cancel) + id + number(tagField, 7))},
		{"a field cut off", h(kind(Continue) + id + "\x08")},
		{"a byte string longer than the header", h(kind(Cancel) + id + "\x22\x7f")},
		{"a group that does not end", h(kind(Continue) + id + "\xa3\x01")},
		{"field number 0", h(kind(Continue) + id + "\x00\x00")},
		{"header cut off", framedPrefix(20) + kind(Continue) + id},
		{"payload cut off", h(kind(Reply)+id+tag+hash+number(sizeField, 4)) + "pi"},
	}
}

type madeOpen struct {
	name    string
	next    uint64
	payload string
}

func openVectors() []madeOpen {
	return []madeOpen{
		{"none, none given", 1, ""},
		{"none of many", 1000, ""},
		{"the first", 2, "\x01"},
		{"the last given", 301, "\xac\x02"},
		{"several", 301, "\x03\x01\x05\xa3\x02"},
		{"sequence 0", 9, "\x00"},
		{"one twice", 9, "\x03\x00"},
		{"one that was not given yet", 9, "\x09"},
		{"the sum of two not given yet", 9, "\x03\x06"},
		{"one beyond 64 bits", 9, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"},
		{"a sum beyond 64 bits", 9, "\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"a number in more bytes than it needs", 9, "\x83\x00"},
		{"cut off", 9, "\x03\x82"},
	}
}

func number(n field, v uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v))
}

func byteString(n field, v string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), v))
}

func framedPrefix(length int) string { return string(binary.AppendUvarint(nil, uint64(length))) }

func framed(header, payload string) []byte {
	return []byte(framedPrefix(len(header)) + header + payload)
}
