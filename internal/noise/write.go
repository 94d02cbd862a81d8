package noise

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"

	"github.com/flynn/noise"
)

// smallWrite bounds what a session keeps to write from, in bytes. A larger write
// takes a pooled buffer.
const smallWrite = 1 << 10

// writer is the outgoing direction of a session.
type writer struct {
	conn net.Conn

	mu     sync.Mutex
	cipher *noise.CipherState
	err    error // for good
	small  [smallWrite]byte
}

// write is Write. It seals two messages of the largest size at a time and sends
// them together.
func (w *writer) write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	buffer := w.small[:]
	if frameHeader+len(p)+tag > smallWrite {
		large := largeBuffers.Get().(*[largeBuffer]byte)
		defer largeBuffers.Put(large)
		buffer = large[:]
	}
	for written := 0; written < len(p); {
		batch := p[written:min(len(p), written+2*maxPlaintext)]
		frames, err := w.seal(buffer[:0], batch)
		if err == nil {
			_, err = w.conn.Write(frames)
		}
		if err != nil {
			// The peer misses a message, and could open none that follow.
			w.err = fmt.Errorf("nothing can be written after a write that failed: %w", err)
			return written, err
		}
		written += len(batch)
	}
	return len(p), nil
}

// seal appends frames that carry p.
func (w *writer) seal(frames, p []byte) ([]byte, error) {
	for len(p) > 0 {
		piece := p[:min(len(p), maxPlaintext)]
		begin := len(frames)
		var err error
		if frames, err = w.cipher.Encrypt(append(frames, 0, 0), nil, piece); err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint16(frames[begin:], uint16(len(frames)-begin-frameHeader))
		p = p[len(piece):]
	}
	return frames, nil
}
