package wire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Whatever is accepted is encoded in one way and read back as the same, and
// whatever isn't protobuf is refused.
func FuzzDecodeHeader(f *testing.F) {
	for _, v := range readVectors(f).all() {
		f.Add(v.header())
	}
	schema := headerDescriptor(f)
	f.Fuzz(func(t *testing.T, header []byte) {
		frame, err := DecodeHeader(header)
		if err != nil {
			if !errors.Is(err, ErrBadFrame) || frame != (Frame{}) {
				t.Fatalf("refused with %v and %+v", err, frame)
			}
			return
		}
		if err := proto.Unmarshal(header, dynamicpb.NewMessage(schema)); err != nil {
			t.Fatalf("accepted what protobuf refuses: %v", err)
		}
		checkFixpoint(t, frame)
	})
}

func FuzzReadFrame(f *testing.F) {
	for _, v := range readVectors(f).all() {
		f.Add([]byte(v.Bytes))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x80\x20"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		frame, err := ReadFrame(r)
		switch {
		case err == nil:
			checkFixpoint(t, frame)
		case err == io.EOF && len(stream) > 0:
			t.Fatal("a truncated frame passes for the end of the stream")
		case err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, ErrBadFrame):
			t.Fatalf("refused with %v", err)
		}
	})
}

func checkFixpoint(t *testing.T, frame Frame) {
	t.Helper()
	encoded, err := frame.AppendTo(nil)
	if err != nil {
		t.Fatalf("accepted %+v, which can't be sent: %v", frame, err)
	}
	again, err := ReadFrame(bytes.NewReader(encoded))
	if err != nil || again != frame {
		t.Fatalf("read back as %+v, %v; want %+v", again, err, frame)
	}
}

func FuzzDecodeOpen(f *testing.F) {
	for _, v := range readVectors(f).Open {
		f.Add([]byte(v.Payload), uint64(v.Next))
	}
	f.Fuzz(func(t *testing.T, payload []byte, next uint64) {
		open, err := DecodeOpen(payload, next)
		if err != nil {
			if !errors.Is(err, ErrBadFrame) || open != nil {
				t.Fatalf("refused with %v and %d sequences", err, len(open))
			}
			return
		}
		if len(open) > MaxOpen || !slices.IsSorted(open) || len(open) > 0 && open[len(open)-1] >= next {
			t.Fatalf("accepted %v below %d", open, next)
		}
		if again := AppendOpen(nil, open); !bytes.Equal(again, payload) {
			t.Fatalf("encodes as %x, came as %x", again, payload)
		}
	})
}
