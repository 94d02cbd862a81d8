package noise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/flynn/noise"
)

// smallRead bounds what an idle session keeps to read into, in bytes. A larger
// message takes a pooled buffer until all of it has been read.
const smallRead = 4 << 10

// reader is the incoming direction of a session.
type reader struct {
	conn net.Conn

	mu     sync.Mutex
	cipher *noise.CipherState
	buffer []byte             // small or large
	large  *[largeBuffer]byte // of the pool, while it is needed
	begin  int                // buffer[begin:end] was received and isn't opened yet
	end    int
	plain  []byte // opened, and not read yet; lies before begin
	err    error  // for good
	small  [smallRead]byte
}

// read is Read. A message is opened into p, if it fits there.
func (r *reader) read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.plain) == 0 { // a message may carry nothing
		n, err := r.next(p)
		if n > 0 || err != nil {
			return n, err
		}
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	r.shrink()
	return n, nil
}

// next opens the next message, into p or else into plain.
func (r *reader) next(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	message, err := r.frame(maxMessage)
	if err != nil {
		return 0, err
	}
	fits := len(message) <= len(p)+tag
	out := message[:0]
	if fits {
		out = p[:0]
	}
	plain, err := r.cipher.Decrypt(out, nil, message)
	if err != nil {
		r.err = fmt.Errorf("%w: %w", ErrTampered, err)
		return 0, r.err
	}
	if fits {
		r.shrink()
		return len(plain), nil
	}
	r.plain = plain
	return 0, nil
}

// frame reads the next message, which is valid until the next call. Its end must
// come: io.EOF is returned only before its beginning.
func (r *reader) frame(limit int) ([]byte, error) {
	if err := r.fill(frameHeader); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(r.buffer[r.begin:]))
	if length > limit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMessageTooLarge, length, limit)
	}
	if err := r.fill(frameHeader + length); err != nil {
		return nil, err
	}
	message := r.buffer[r.begin+frameHeader:][:length]
	r.begin += frameHeader + length
	return message, nil
}

// fill reads until size bytes are there, and as much more as has arrived. What it
// has read stays if it fails. Nothing may be left in plain.
func (r *reader) fill(size int) error {
	have := r.end - r.begin
	if have >= size {
		return nil
	}
	from := r.buffer[r.begin:r.end]
	if size > len(r.buffer) {
		r.large = largeBuffers.Get().(*[largeBuffer]byte)
		r.buffer = r.large[:]
	}
	if have <= smallRead || size > len(r.buffer)-r.begin {
		// The more room there is, the more comes with one system call.
		r.begin, r.end = 0, copy(r.buffer, from)
	}
	n, err := io.ReadAtLeast(r.conn, r.buffer[r.end:], size-have)
	r.end += n
	if errors.Is(err, io.EOF) && have > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// shrink begins the buffer anew when all of it was read, and gives a large one
// back.
func (r *reader) shrink() {
	if len(r.plain) > 0 || r.begin < r.end {
		return
	}
	r.begin, r.end = 0, 0
	if r.large != nil {
		largeBuffers.Put(r.large)
		r.large, r.buffer, r.plain = nil, r.small[:], nil
	}
}
