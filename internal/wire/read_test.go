package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadsFrameAfterFrameAndLeavesThePayload(t *testing.T) {
	first := Frame{Kind: Reply, Epoch: 7, Seq: 3, Tag: Tag{1}, Hash: Hash{2}, Size: 5}
	second := Frame{Kind: Cancel, Epoch: 7, Seq: 4, Tag: Tag{1}}
	stream, err := first.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	stream = append(stream, "reply"...)
	if stream, err = second.AppendTo(stream); err != nil {
		t.Fatal(err)
	}

	r := bufio.NewReader(iotest.OneByteReader(bytes.NewReader(stream)))
	d := NewDecoder(r)
	if got, err := d.ReadFrame(); err != nil || got != first {
		t.Fatalf("first frame is %+v, %v", got, err)
	}
	payload := make([]byte, first.PayloadSize())
	if _, err := io.ReadFull(r, payload); err != nil || string(payload) != "reply" {
		t.Fatalf("payload is %q, %v", payload, err)
	}
	if got, err := d.ReadFrame(); err != nil || got != second {
		t.Fatalf("second frame is %+v, %v", got, err)
	}
	if _, err := d.ReadFrame(); err != io.EOF {
		t.Errorf("end of the stream is %v, want io.EOF", err)
	}
}

func TestTellsATruncatedFrameFromAnEndedStream(t *testing.T) {
	f := Frame{Kind: Reject, Epoch: 7, Seq: 3, Tag: Tag{1}, Of: OfRequest, Refusal: Policy, Text: strings.Repeat("no ", 60)}
	f.Hash = hashText(f.Text)
	encoded, err := f.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(encoded); cut++ {
		_, err := ReadFrame(bytes.NewReader(encoded[:cut]))
		if err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: error is %v, want io.ErrUnexpectedEOF", cut, err)
		}
	}
}

func TestPassesAFailingStreamsErrorOn(t *testing.T) {
	broken := errors.New("stream reset")
	for _, before := range []string{"", "\x80", "\x05", "\x05ab"} {
		r := bufio.NewReader(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)))
		if _, err := ReadFrame(r); err != broken {
			t.Errorf("after %q: error is %v, want the stream's own", before, err)
		}
	}
}

func TestRefusesALengthBeforeReadingOn(t *testing.T) {
	tests := []struct{ name, stream, rule string }{
		{"no header", "\x00", "empty header"},
		{"one byte above the limit", "\x81\x20", "longer than 4096"},
		{"three bytes of length", "\x80\x80\x01", "longer than 4096"},
		{"a small number in two bytes", "\x85\x00", "more bytes than it needs"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := strings.NewReader(test.stream)
			_, err := ReadFrame(r)
			if !errors.Is(err, ErrBadFrame) || !strings.Contains(err.Error(), test.rule) {
				t.Errorf("error is %v, want a bad frame with %q", err, test.rule)
			}
		})
	}
}

func TestWebBrowserIsRefusedOnceItsClaimedHeaderHasCome(t *testing.T) {
	const hello = "GET / HTTP/1.1\r\nHost: parley.example.org\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"
	if _, err := ReadFrame(strings.NewReader(hello)); !errors.Is(err, ErrBadFrame) {
		t.Errorf("error is %v, want a bad frame", err)
	}
	// A shorter one is waited for until the caller's deadline.
	if _, err := ReadFrame(strings.NewReader(hello[:20])); err != io.ErrUnexpectedEOF {
		t.Errorf("error is %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestClaimedLengthAllocatesNoMoreThanTheLimit(t *testing.T) {
	d := NewDecoder(strings.NewReader("\x80\x20")) // 4,096 bytes that never come
	if _, err := d.ReadFrame(); err != io.ErrUnexpectedEOF {
		t.Errorf("error is %v, want io.ErrUnexpectedEOF", err)
	}
	if cap(d.header) > MaxHeader {
		t.Errorf("buffer has %d bytes, want at most %d", cap(d.header), MaxHeader)
	}
}
