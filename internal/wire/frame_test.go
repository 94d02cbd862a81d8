package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawFrame draws any frame that the protocol allows.
func drawFrame(t *rapid.T) Frame {
	number := func(name string, least uint64) uint64 {
		return rapid.Uint64Range(least, math.MaxInt64).Draw(t, name)
	}
	duration := func(name string) time.Duration {
		return time.Duration(rapid.Uint64Range(0, largest(remainingField)).Draw(t, name)) * time.Millisecond
	}
	bytesOf := func(name string, n int) []byte {
		b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, name)
		b[0] |= 1 // never all zero
		return b
	}

	f := Frame{Kind: Kind(rapid.Uint8Range(uint8(Hello), uint8(Cancel)).Draw(t, "kind")), Epoch: number("epoch", 1)}
	if f.Kind != Hello && f.Kind != Welcome {
		f.Seq = number("seq", 1)
	}
	switch f.Kind {
	case Hello:
		f.Hash = Hash(bytesOf("hash", 32))
		f.Size = rapid.Uint64Range(0, MaxHello).Draw(t, "size")
		f.Next = number("next", 1)
	case Welcome:
		f.Next = number("next", 0)
	case Request, Resume:
		f.Tag = Tag(bytesOf("tag", 16))
		f.Lane = string(rapid.SliceOfN(rapid.Byte(), 0, MaxLane).Draw(t, "lane"))
		f.Hash = Hash(bytesOf("hash", 32))
		f.Size = number("size", 0)
		f.Low = rapid.Uint64Range(0, f.Seq).Draw(t, "low")
		f.LargestReply = number("largest reply", 0)
		f.Remaining = duration("remaining")
		f.PossiblySeen = rapid.Bool().Draw(t, "possibly seen")
	case Ack:
		f.Of = Of(rapid.Uint8Range(uint8(OfRequest), uint8(OfCancel)).Draw(t, "of"))
		if f.Of != OfCancel {
			f.Hash = Hash(bytesOf("hash", 32))
		}
		f.Delivered = f.Of == OfRequest && rapid.Bool().Draw(t, "delivered")
	case Nack:
		f.Of = Of(rapid.Uint8Range(uint8(OfRequest), uint8(OfCancel)).Draw(t, "of"))
		f.Delay = Delay(rapid.Uint8Range(uint8(NoRoom), uint8(NotReady)).Draw(t, "delay"))
		f.RetryAfter = duration("retry after")
	case Reject:
		f.Of = Of(rapid.Uint8Range(uint8(OfRequest), uint8(OfCancel)).Draw(t, "of"))
		f.Refusal = rapid.SampledFrom(refusals[f.Of]).Draw(t, "refusal")
		if f.Of == OfReply || f.Refusal == Policy || f.Refusal == TooLarge {
			f.Tag = Tag(bytesOf("tag", 16))
		}
		switch f.Refusal {
		case Fenced:
			f.Known = number("known", 1)
			if f.Of == OfRequest && rapid.Bool().Draw(t, "of a HELLO") {
				f.Seq = 0
			}
		case Policy:
			f.Text = rapid.StringN(0, -1, MaxText).Draw(t, "text")
			f.Hash = sha256.Sum256([]byte(f.Text))
		case TooLarge:
			f.Known = number("known", 0)
			if f.Of == OfRequest || rapid.Bool().Draw(t, "with hash") {
				f.Hash = sha256.Sum256(nil)
			}
		}
	case Reply:
		f.Tag = Tag(bytesOf("tag", 16))
		f.Hash = Hash(bytesOf("hash", 32))
		f.Size = number("size", 0)
	case Cancel:
		f.Tag = Tag(bytesOf("tag", 16))
	}
	return f
}

func TestEveryFrameComesBackAsItWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := drawFrame(t)
		before := []byte("what was there before")
		encoded, err := sent.AppendTo(bytes.Clone(before))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(encoded, before) {
			t.Fatal("AppendTo changed what was in the buffer")
		}
		encoded = encoded[len(before):]

		length, n := binary.Uvarint(encoded)
		if length > MaxHeader || int(length) != len(encoded)-n {
			t.Fatalf("length says %d, header has %d bytes", length, len(encoded)-n)
		}
		if n != len(binary.AppendUvarint(nil, length)) {
			t.Fatal("length takes more bytes than it needs")
		}

		received, err := ReadFrame(bytes.NewReader(encoded))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, received); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What a frame must hold, field by field: the vectors show the bytes.
func TestRefusesToSendWhatWouldBeRefused(t *testing.T) {
	tag, hash := Tag{1}, Hash{2}
	request := Frame{Kind: Request, Epoch: 7, Seq: 3, Tag: tag, Hash: hash}
	with := func(f Frame, change func(*Frame)) Frame { change(&f); return f }
	tests := []struct {
		name  string
		frame Frame
		rule  string
	}{
		{"a frame of no kind", Frame{}, "without kind"},
		{"an unknown kind", Frame{Kind: 11}, "unknown kind 11"},
		{"no epoch", with(request, func(f *Frame) { f.Epoch = 0 }), "REQUEST without epoch"},
		{"an epoch beyond 63 bits", with(request, func(f *Frame) { f.Epoch = 1 << 63 }), "epoch is out of range"},
		{"no sequence", with(request, func(f *Frame) { f.Seq = 0 }), "REQUEST without seq"},
		{"no tag", with(request, func(f *Frame) { f.Tag = Tag{} }), "REQUEST without tag"},
		{"no hash", with(request, func(f *Frame) { f.Hash = Hash{} }), "REQUEST without hash"},
		{"a long lane", with(request, func(f *Frame) { f.Lane = strings.Repeat("x", MaxLane+1) }), "lane longer"},
		{"low above its own sequence", with(request, func(f *Frame) { f.Low = 4 }), "low above"},
		{"time remaining below 0", with(request, func(f *Frame) { f.Remaining = -1 }), "negative duration"},
		{"a field of another kind", with(request, func(f *Frame) { f.Next = 1 }), "REQUEST with next, which it does not carry"},
		{"a large HELLO", Frame{Kind: Hello, Epoch: 7, Next: 1, Hash: hash, Size: MaxHello + 1}, "HELLO with more than"},
		{"an ACK of nothing", Frame{Kind: Ack, Epoch: 7, Seq: 3, Hash: hash}, "ACK without of"},
		{"an ACK without hash", Frame{Kind: Ack, Epoch: 7, Seq: 3, Of: OfReply}, "ACK without hash"},
		{"a delivered reply", Frame{Kind: Ack, Epoch: 7, Seq: 3, Of: OfReply, Hash: hash, Delivered: true}, "with delivered"},
		{"a NACK without reason", Frame{Kind: Nack, Epoch: 7, Seq: 3, Of: OfRequest}, "NACK without delay"},
		{"a fencing that names no epoch", Frame{Kind: Reject, Epoch: 7, Of: OfRequest, Refusal: Fenced}, "REJECT without known"},
		{"a rejected reply without tag", Frame{Kind: Reject, Epoch: 7, Seq: 3, Of: OfReply, Refusal: Ended}, "REJECT without tag"},
		{"a rejected CANCEL of an ended exchange", Frame{Kind: Reject, Epoch: 7, Seq: 3, Of: OfCancel, Refusal: Ended}, "REJECT of CANCEL for ENDED"},
		{"a reason that is not text", Frame{Kind: Reject, Epoch: 7, Seq: 3, Tag: tag, Of: OfRequest, Refusal: Policy, Text: "\xff", Hash: sha256.Sum256([]byte("\xff"))}, "not UTF-8"},
		{"a reason with another hash", Frame{Kind: Reject, Epoch: 7, Seq: 3, Tag: tag, Of: OfRequest, Refusal: Policy, Text: "no", Hash: hash}, "not its text's"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dst, err := test.frame.AppendTo([]byte("x"))
			if err == nil || !strings.Contains(err.Error(), test.rule) {
				t.Errorf("error is %v, want one with %q", err, test.rule)
			}
			if errors.Is(err, ErrBadFrame) {
				t.Error("our own mistake counts as the peer's")
			}
			if string(dst) != "x" {
				t.Errorf("buffer is %q, want it as it was", dst)
			}
		})
	}
}

func TestRoundsDurationsUpToMilliseconds(t *testing.T) {
	f := Frame{Kind: Request, Epoch: 7, Seq: 3, Tag: Tag{1}, Hash: Hash{2}, Remaining: 1}
	encoded, err := f.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadFrame(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if got.Remaining != time.Millisecond {
		t.Errorf("remaining is %v, want 1ms: 0 would mean no deadline", got.Remaining)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	f, buf := usualRequest(), make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { buf, _ = f.AppendTo(buf[:0]) }); n != 0 {
		t.Errorf("encoding a REQUEST allocates %v times, want 0", n)
	}
}

func TestDecodingAllocatesTheLaneOnly(t *testing.T) {
	f := usualRequest()
	encoded, err := f.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(encoded)
	d := NewDecoder(r)
	n := testing.AllocsPerRun(100, func() {
		r.Reset(encoded)
		if _, err := d.ReadFrame(); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("decoding a REQUEST allocates %v times, want 1", n)
	}
}

func usualRequest() Frame {
	return Frame{Kind: Request, Epoch: 1764000000000, Seq: 12345, Tag: Tag{1, 2, 3}, Lane: "bitvmx/program/7f3a",
		Hash: Hash{4, 5, 6}, Size: 1500, Low: 12300, LargestReply: 16 << 20, Remaining: time.Hour}
}

func BenchmarkEncodeRequest(b *testing.B) {
	f, buf := usualRequest(), make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = f.AppendTo(buf[:0])
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	f := usualRequest()
	encoded, _ := f.AppendTo(nil)
	r := bytes.NewReader(encoded)
	d := NewDecoder(r)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(encoded)
		if _, err := d.ReadFrame(); err != nil {
			b.Fatal(err)
		}
	}
}
