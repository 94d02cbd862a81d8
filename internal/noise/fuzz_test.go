package noise

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/security/noise/pb"
)

// heard is a connection whose other end has said all that it will say, in pieces.
type heard struct {
	net.Conn
	bytes []byte
	piece int
	said  []byte // by this end
}

func (h *heard) Read(p []byte) (int, error) {
	if len(h.bytes) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), max(h.piece, 1))], h.bytes)
	h.bytes = h.bytes[n:]
	return n, nil
}

func (h *heard) Write(p []byte) (int, error) {
	h.said = append(h.said, p...)
	return len(p), nil
}

func (h *heard) Close() error { return nil }

// FuzzVerify reads payloads. Whatever their spelling, they prove nothing but what
// was signed.
func FuzzVerify(f *testing.F) {
	transport, honest := newTestTransport(f, nil), newTestTransport(f, nil)
	static := honest.static.PublicKey().Bytes()
	f.Add(honest.payload)
	f.Add(transport.payload)
	f.Add(honest.payload[:len(honest.payload)-1])
	f.Add(altered(f, honest, func(p *pb.NoiseHandshakePayload) { p.IdentityKey[1] = 0 })) // RSA
	f.Add(altered(f, honest, func(p *pb.NoiseHandshakePayload) { p.IdentityKey[1] = 2 }))
	f.Add(altered(f, honest, func(p *pb.NoiseHandshakePayload) { p.Extensions = nil }))
	f.Add(append([]byte{34, 4, 18, 2, 0xff, 0xfe}, honest.payload...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := transport.verify(payload, static, expectation{})
		if err == nil && (r.id != honest.id || !r.key.Equals(honest.public) || len(r.muxers) > maxMuxers) {
			t.Errorf("proved to be %s, with %d muxers", r.id, len(r.muxers))
		}
	})
}

// FuzzRespond has a listener read what the fuzzer says. Without an answer nobody
// can go on, so that the handshake must fail.
func FuzzRespond(f *testing.F) {
	transport := newTestTransport(f, everyone)
	key := append([]byte{0, 32}, pairOf(newTestTransport(f, nil)).Public...)
	f.Add(key, 1)
	f.Add(append(key[:34:34], append([]byte{0, 64}, make([]byte, 64)...)...), 100)
	f.Add(append(key[:34:34], append([]byte{15, 254}, make([]byte, 4094)...)...), 5000)
	f.Add([]byte{0, 31, 1, 2}, 1)
	f.Add([]byte{0xff, 0xff}, 1)
	f.Fuzz(func(t *testing.T, bytes []byte, piece int) {
		if _, err := transport.SecureInbound(t.Context(), &heard{bytes: bytes, piece: piece}, ""); err == nil {
			t.Error("a handshake with nobody succeeded")
		}
	})
}

// FuzzRead has a session read two messages of its peer and then what the fuzzer
// says, in pieces and into buffers of any size.
func FuzzRead(f *testing.F) {
	f.Add([]byte{}, 1, 1, 5)
	f.Add([]byte{0, 16}, 3, 12, 5000)
	f.Add(make([]byte, 18), 5000, 9, 70_000)
	f.Add([]byte{0xff, 0xff, 1}, 9000, 65536, 65519)
	f.Fuzz(func(t *testing.T, then []byte, piece, size, length int) {
		length = min(max(length, 0), 1<<17)
		want := bytes.Repeat([]byte("abcdefg"), length/7+1)[:length]
		var sent heard
		out := ciphered(&sent)
		out.Write(want)
		out.Write([]byte("end"))
		in := ciphered(&heard{bytes: append(sent.said, then...), piece: piece})
		p, got := make([]byte, min(max(size, 1), 1<<17)), []byte(nil)
		for {
			n, err := in.Read(p)
			got = append(got, p[:n]...)
			if err == nil {
				continue
			}
			if !errors.Is(err, ErrTampered) && err != io.ErrUnexpectedEOF && (err != io.EOF || len(then) > 0) {
				t.Error(err)
			}
			break
		}
		if string(got) != string(want)+"end" {
			t.Errorf("read %d bytes, want %d and 3", len(got), len(want))
		}
	})
}
