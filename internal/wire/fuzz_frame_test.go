package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"
)

// FuzzFrame builds a frame of arbitrary fields. What can be sent is read as the
// same, whatever follows it; what can't is refused by the sender, and by the
// receiver too where it is more than a field that the kind doesn't use.
func FuzzFrame(f *testing.F) {
	for kind := Hello; kind <= Cancel; kind++ {
		f.Add(uint8(kind), uint64(1), uint64(2), uint64(2), uint64(100), uint16(0x1fff), uint8(1), uint8(1), "lane", "why", int64(1500))
	}
	f.Add(uint8(Reject), uint64(1), uint64(2), uint64(0), uint64(9), uint16(0xffff), uint8(OfReply), uint8(TooLarge), "", "too large", int64(-1))
	f.Add(uint8(Request), uint64(1)<<63, uint64(2), uint64(3), uint64(0), uint16(7), uint8(0), uint8(0), string(make([]byte, 129)), "", int64(1)<<62)
	f.Fuzz(func(t *testing.T, kind uint8, epoch, seq, low, size uint64, has uint16, of, why uint8, lane, text string, wait int64) {
		if len(text) > 2*MaxText {
			return
		}
		given := func(bit int) bool { return has>>bit&1 == 1 }
		frame := Frame{Kind: Kind(kind % 12), Epoch: epoch}
		if given(0) {
			frame.Seq = seq
		}
		if given(1) {
			binary.BigEndian.PutUint64(frame.Tag[:], epoch^seq)
			frame.Tag[15] = 1
		}
		if given(2) {
			frame.Hash = sha256.Sum256([]byte(text))
		}
		if given(3) {
			frame.Lane = lane
		}
		if given(4) {
			frame.Size, frame.Low = size, low
		}
		if given(5) {
			frame.Next, frame.Known = low, size
		}
		if given(6) {
			frame.LargestReply, frame.Remaining = size, time.Duration(wait)
		}
		if given(7) {
			frame.Of, frame.Refusal = Of(of), Refusal(why)
		}
		if given(8) {
			frame.Delay, frame.RetryAfter = Delay(why), time.Duration(wait)
		}
		if given(9) {
			frame.Text = text
		}
		frame.Delivered, frame.PossiblySeen = given(10), given(11)
		if given(12) && frame.Kind.known() { // a frame that is right, but for its numbers
			frame.keep(frame.usage(), []byte(lane), []byte(text))
		}
		checkSent(t, frame)
	})
}

func checkSent(t *testing.T, frame Frame) {
	encoded, err := frame.AppendTo([]byte("before"))
	if err != nil {
		if string(encoded) != "before" {
			t.Fatalf("refused with %v, leaving %q", err, encoded)
		}
		received, err := DecodeHeader(frame.appendHeader(nil))
		if err == nil && frame.brokenRule() != "" && received == frame {
			t.Fatalf("a receiver takes %+v, which no sender may send: %s", frame, frame.brokenRule())
		}
		return
	}
	if !bytes.HasPrefix(encoded, []byte("before")) || len(encoded) > len("before")+2+MaxHeader {
		t.Fatalf("%d bytes for %+v", len(encoded), frame)
	}
	want := frame
	want.Remaining, want.RetryAfter = roundedUp(want.Remaining), roundedUp(want.RetryAfter)
	rest := bytes.NewReader(append(encoded[len("before"):], "payload"...))
	received, err := ReadFrame(rest)
	if err != nil || received != want {
		t.Fatalf("read back as %+v, %v; want %+v", received, err, want)
	}
	if rest.Len() != len("payload") {
		t.Fatalf("%d bytes are left of the payload", rest.Len())
	}
}

// roundedUp is a duration as the wire has it, in whole milliseconds.
func roundedUp(d time.Duration) time.Duration {
	if whole := d.Truncate(time.Millisecond); whole != d {
		return whole + time.Millisecond
	}
	return d
}

// FuzzOpen builds the payload of a HELLO from gaps. It is read as the same list
// when next is beyond it and there are no more than MaxOpen, and refused otherwise.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{1, 1, 1, 200, 3}, uint64(300))
	f.Add([]byte{0}, uint64(1))
	f.Add([]byte{255, 255, 255}, uint64(2))
	f.Fuzz(func(t *testing.T, gaps []byte, beyond uint64) {
		var open []uint64
		last := uint64(0)
		for i, gap := range gaps {
			last += 1 + uint64(gap)<<(i%7*7) // of every length as a varint
			open = append(open, last)
		}
		payload := AppendOpen(nil, open)
		next := last + 1 + beyond%3
		got, err := DecodeOpen(payload, next)
		if fits := len(payload) <= MaxHello && len(open) <= MaxOpen; fits != (err == nil) {
			t.Fatalf("%d sequences in %d bytes below %d: %v", len(open), len(payload), next, err)
		}
		if err == nil && (len(got) != len(open) || len(open) > 0 && got[len(got)-1] != last) {
			t.Fatalf("read back %d sequences up to %v, want %d up to %d", len(got), got[len(got)-1], len(open), last)
		}
		for i := range got {
			if got[i] != open[i] {
				t.Fatalf("sequence %d came back as %d", open[i], got[i])
			}
		}
		if _, err := DecodeOpen(payload, last); len(open) > 0 && err == nil {
			t.Fatalf("%d is taken, and the next is to be %d", last, last)
		}
	})
}
