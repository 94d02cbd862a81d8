package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/vectors/frames.json and the dump in docs/protocol.md anew")

const vectorsFile = "../../testdata/vectors/frames.json"

// vectors is frames.json. Byte strings are in hex; numbers of a frame are
// decimal strings, since JSON's own lose digits in many languages.
type vectors struct {
	About   []string  `json:"about"`
	Frames  []*vector `json:"frames"`
	Decoded []*vector `json:"decoded"`
	Refused []*vector `json:"refused"`
	Open    []*opens  `json:"open"`
}

type vector struct {
	Name    string   `json:"name"`
	Reason  string   `json:"reason,omitempty"` // of the refusal
	Fields  *fields  `json:"fields,omitempty"`
	Payload hexBytes `json:"payload,omitempty"`
	Bytes   hexBytes `json:"bytes"` // the whole frame: length, header, payload
}

// fields are a frame's, under their names in the protocol; zero ones left out.
type fields struct {
	Kind         string   `json:"kind"`
	Epoch        uint64   `json:"epoch,string,omitempty"`
	Seq          uint64   `json:"seq,string,omitempty"`
	Tag          hexBytes `json:"tag,omitempty"`
	Lane         hexBytes `json:"lane,omitempty"`
	Hash         hexBytes `json:"hash,omitempty"`
	Size         uint64   `json:"size,string,omitempty"`
	Next         uint64   `json:"next,string,omitempty"`
	Low          uint64   `json:"low,string,omitempty"`
	LargestReply uint64   `json:"largest_reply,string,omitempty"`
	RemainingMS  uint64   `json:"remaining_ms,string,omitempty"`
	PossiblySeen bool     `json:"possibly_seen,omitempty"`
	Of           string   `json:"of,omitempty"`
	Delivered    bool     `json:"delivered,omitempty"`
	RetryAfterMS uint64   `json:"retry_after_ms,string,omitempty"`
	Delay        string   `json:"delay,omitempty"`
	Refusal      string   `json:"refusal,omitempty"`
	Known        uint64   `json:"known,string,omitempty"`
	Text         string   `json:"text,omitempty"`
}

// opens is a payload of HELLO and what it lists, or why it is refused.
type opens struct {
	Name    string   `json:"name"`
	Reason  string   `json:"reason,omitempty"`
	Next    uint64   `json:"next,string"`
	Open    []uint64 `json:"open,omitempty"`
	Payload hexBytes `json:"payload"`
}

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

func (v *vectors) all() []*vector { return slices.Concat(v.Frames, v.Decoded, v.Refused) }

// header is the vector's header without its length.
func (v *vector) header() []byte {
	length, n := binary.Uvarint(v.Bytes)
	if n <= 0 {
		return nil
	}
	return v.Bytes[n:min(len(v.Bytes), n+int(length))]
}

func readVectors(t testing.TB) *vectors {
	t.Helper()
	file, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestVectorsFileIsUpToDate(t *testing.T) {
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(makeVectors(t)); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(vectorsFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("frames.json is not what the codec makes (-rewrite writes it anew):\n%s", diff)
	}
}

// From here on the file is read as any other implementation would read it.

func TestVectorsEncode(t *testing.T) {
	for _, v := range readVectors(t).Frames {
		t.Run(v.Name, func(t *testing.T) {
			f := v.Fields.frame()
			got, err := f.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, v.Payload...); !bytes.Equal(got, v.Bytes) {
				t.Errorf("encoded\n%x, want\n%x", got, []byte(v.Bytes))
			}
		})
	}
}

func TestVectorsDecode(t *testing.T) {
	file := readVectors(t)
	for _, v := range slices.Concat(file.Frames, file.Decoded) {
		t.Run(v.Name, func(t *testing.T) {
			f, payload, err := readWhole(v.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v.Fields, fieldsOf(f)); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(payload, v.Payload) {
				t.Errorf("payload is %x, want %x", payload, []byte(v.Payload))
			}
		})
	}
}

func TestVectorsRefused(t *testing.T) {
	for _, v := range readVectors(t).Refused {
		t.Run(v.Name, func(t *testing.T) {
			if _, _, err := readWhole(v.Bytes); reasonOf(err) != v.Reason {
				t.Errorf("refused with %q, want %q", reasonOf(err), v.Reason)
			}
		})
	}
}

func TestVectorsOpen(t *testing.T) {
	for _, v := range readVectors(t).Open {
		t.Run(v.Name, func(t *testing.T) {
			open, err := DecodeOpen(v.Payload, v.Next)
			if reasonOf(err) != v.Reason || !slices.Equal(open, v.Open) {
				t.Errorf("got %v, %q; want %v, %q", open, reasonOf(err), v.Open, v.Reason)
			}
			if err == nil && !bytes.Equal(AppendOpen(nil, v.Open), v.Payload) {
				t.Error("encodes as other bytes")
			}
		})
	}
}

// readWhole reads a frame and its payload as a receiver does, hash and all.
func readWhole(b []byte) (Frame, []byte, error) {
	r := bytes.NewReader(b)
	f, err := ReadFrame(r)
	if err != nil {
		return f, nil, err
	}
	payload, err := io.ReadAll(io.LimitReader(r, int64(f.PayloadSize())))
	switch {
	case err != nil:
		return f, nil, err
	case uint64(len(payload)) < f.PayloadSize():
		return f, nil, io.ErrUnexpectedEOF
	case r.Len() > 0:
		return f, nil, errors.New("bytes after the frame")
	}
	switch f.Kind {
	case Hello, Request, Reply:
		if sha256.Sum256(payload) != f.Hash {
			return f, nil, bad("payload does not match its hash")
		}
	}
	return f, payload, nil
}

// reasonOf is the refusal as the file words it.
func reasonOf(err error) string {
	var broken *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &broken):
		return broken.Rule
	case err == io.ErrUnexpectedEOF:
		return "stream ends within the frame"
	}
	return err.Error()
}

func (v *fields) frame() Frame {
	f := Frame{
		Kind: Kind(max(0, slices.Index(kindNames[:], v.Kind))), Epoch: v.Epoch, Seq: v.Seq, Lane: string(v.Lane),
		Size: v.Size, Next: v.Next, Low: v.Low, LargestReply: v.LargestReply,
		Remaining: time.Duration(v.RemainingMS) * time.Millisecond, PossiblySeen: v.PossiblySeen,
		Of: Of(max(0, slices.Index(ofNames[:], v.Of))), Delivered: v.Delivered,
		RetryAfter: time.Duration(v.RetryAfterMS) * time.Millisecond,
		Delay:      Delay(max(0, slices.Index(delayNames[:], v.Delay))),
		Refusal:    Refusal(max(0, slices.Index(refusalNames[:], v.Refusal))), Known: v.Known, Text: v.Text,
	}
	copy(f.Tag[:], v.Tag)
	copy(f.Hash[:], v.Hash)
	return f
}

func fieldsOf(f Frame) *fields {
	v := &fields{
		Kind: kindNames[f.Kind], Epoch: f.Epoch, Seq: f.Seq, Size: f.Size, Next: f.Next, Low: f.Low,
		LargestReply: f.LargestReply, RemainingMS: milliseconds(f.Remaining), PossiblySeen: f.PossiblySeen,
		Of: ofNames[f.Of], Delivered: f.Delivered, RetryAfterMS: milliseconds(f.RetryAfter),
		Delay: delayNames[f.Delay], Refusal: refusalNames[f.Refusal], Known: f.Known, Text: f.Text,
	}
	if f.Tag != (Tag{}) {
		v.Tag = f.Tag[:]
	}
	if f.Lane != "" {
		v.Lane = hexBytes(f.Lane)
	}
	if f.Hash != (Hash{}) {
		v.Hash = f.Hash[:]
	}
	return v
}
