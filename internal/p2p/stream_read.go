package p2p

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// readBuffer holds a frame with a small payload, so that reading one costs one
// wake-up. A larger payload is read past it, without another copy.
const readBuffer = 4 << 10

// reading is what the goroutine that reads keeps. A deadline is set only when
// it has to wait within a frame: most frames arrive whole.
type reading struct {
	in    *bufio.Reader
	due   bool // the next read that waits begins a piece
	armed bool // a deadline is set
	known bool // the machine has heard of the stream
}

// serveInbound negotiates the protocol of a stream that the peer opened and
// reads it.
func (s *stream) serveInbound() {
	s.startReading()
	s.beginPiece()
	n := &negotiation{in: s.in, out: s.muxed}
	if _, _, err := s.c.p.protocols.Negotiate(n); err != nil {
		s.finish(fmt.Errorf("negotiate the protocol: %w", err))
		return
	}
	s.mu.Lock()
	s.greeting = n.held
	s.mu.Unlock()
	s.readFrames()
}

func (s *stream) startReading() {
	s.in = bufio.NewReaderSize(pieces{s}, readBuffer)
}

// readFrames reads frames until the stream ends.
func (s *stream) readFrames() {
	if s.in == nil {
		s.startReading()
	}
	frames := wire.NewDecoder(s.in)
	var err error
	for err == nil {
		s.awaitFrame()
		if _, err = s.in.Peek(1); err != nil {
			break
		}
		s.beginPiece()
		var frame wire.Frame
		if frame, err = frames.ReadFrame(); err == nil {
			err = s.take(frame)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // within a frame
		}
	}
	var broken *wire.Error
	switch {
	case errors.As(err, &broken):
		s.c.violate(broken.Rule)
	case errors.Is(err, errNotStored), os.IsTimeout(err):
		s.c.p.notices.post(fsm.Notice{
			Kind: fsm.MessageDropped, Peer: peerOf(s.c.id), Address: s.c.address, Detail: err.Error(),
		})
	}
	s.finish(err)
}

var errNotStored = errors.New("payload not stored")

// take reports a frame, its payload read and verified. An error ends the stream.
func (s *stream) take(frame wire.Frame) error {
	if !s.c.p.config.Allow.Admits(s.c.member) {
		s.c.close(fsm.ErrNotListed)
		return fsm.ErrNotListed
	}
	arrived := fsm.Arrived{Conn: s.c.number, Stream: s.number, Frame: frame}
	switch {
	case frame.Kind == wire.Hello, frame.PayloadSize() <= wire.MaxInline:
		if err := s.readInline(&arrived); err != nil {
			return err
		}
	default:
		taken, err := s.offer(&arrived)
		if err != nil || !taken {
			return err
		}
	}
	if !refuses(frame.Kind) {
		return s.tell(arrived)
	}
	return s.takeRefusal(arrived)
}

// tell is report for the goroutine that reads.
func (s *stream) tell(in fsm.Input) error {
	s.known = true
	if !s.report(in) {
		return errReset
	}
	return nil
}

// takeRefusal reports a NACK or REJECT. A large payload that is being written
// is what it refuses: writing stops and the stream, cut off within a frame, is
// reset.
func (s *stream) takeRefusal(refusal fsm.Arrived) error {
	s.mu.Lock()
	refused := s.payload
	s.mu.Unlock()
	s.refused.Store(refused)
	if err := s.tell(refusal); err != nil {
		return err
	}
	if refused {
		return errRefused
	}
	return nil
}

// readInline reads a payload that travels with its frame.
func (s *stream) readInline(a *fsm.Arrived) error {
	size := int64(a.Frame.PayloadSize())
	a.Payload = fsm.Payload{Hash: a.Frame.Hash, Size: size}
	switch a.Frame.Kind {
	case wire.Hello, wire.Request, wire.Reply:
	default:
		a.Payload = fsm.Payload{}
		return nil
	}
	var body []byte
	for read := int64(0); read < size; { // a HELLO may have several pieces
		n := min(size-read, piece)
		body = append(body, make([]byte, n)...)
		s.beginPiece()
		if _, err := io.ReadFull(s.in, body[read:]); err != nil {
			return err
		}
		read += n
	}
	if sha256.Sum256(body) != a.Frame.Hash {
		return &wire.Error{Rule: a.Frame.Kind.String() + " whose payload does not match its hash"}
	}
	a.Payload.Inline = body
	if a.Frame.Kind != wire.Hello && size > 0 {
		a.Payload.Number = s.c.p.config.Payloads.NextPayload()
	}
	return nil
}

// offer asks the machine whether to read a large payload and, if so, reads it.
// Nothing is allocated for it before.
func (s *stream) offer(a *fsm.Arrived) (taken bool, err error) {
	answer := make(chan bool, 1)
	s.mu.Lock()
	s.offered = answer
	s.mu.Unlock()
	if err := s.tell(fsm.Offered{Conn: a.Conn, Stream: a.Stream, Frame: a.Frame}); err != nil {
		return false, err
	}
	select {
	case taken = <-answer:
	case <-s.broken:
		return false, errReset
	case <-s.c.over:
		return false, errClosed
	}
	if !taken {
		return false, s.discard(a.Frame.Size)
	}
	return true, s.store(a)
}

// accept is the machine's Accept.
func (s *stream) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offered != nil {
		s.offered <- true
		s.offered = nil
	}
}

// discard reads past a refused payload, within one frame timeout for all of it,
// so that the refusal reaches a peer that is still writing. Then the peer resets
// the stream, or has written all and goes on using it.
func (s *stream) discard(size uint64) error {
	s.beginPiece()
	_, err := io.CopyN(io.Discard, s.in, int64(size))
	return err
}

// store reads a large payload into the journal, hashing it on the way.
func (s *stream) store(a *fsm.Arrived) error {
	size := int64(a.Frame.Size)
	if size < 0 || size > s.c.p.config.MaxMessageSize {
		return fmt.Errorf("%w: %s of %d bytes is beyond MaxMessageSize", errNotStored, a.Frame.Kind, a.Frame.Size)
	}
	number := s.c.p.config.Payloads.NextPayload()
	w, err := s.c.p.config.Payloads.CreatePayload(number, size)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotStored, err)
	}
	hash := sha256.New()
	room := make([]byte, piece)
	told := time.Now()
	for left := size; left > 0; {
		n := min(left, piece)
		s.beginPiece()
		if _, err := io.ReadFull(s.in, room[:n]); err != nil {
			w.Abort()
			return err
		}
		hash.Write(room[:n])
		if _, err := w.Write(room[:n]); err != nil {
			w.Abort()
			return fmt.Errorf("%w: %w", errNotStored, err)
		}
		left -= n
		told = s.progress(told)
	}
	if wire.Hash(hash.Sum(nil)) != a.Frame.Hash {
		w.Abort()
		return &wire.Error{Rule: a.Frame.Kind.String() + " whose payload does not match its hash"}
	}
	if err := w.Finish(); err != nil {
		return fmt.Errorf("%w: %w", errNotStored, err)
	}
	a.Payload = fsm.Payload{Hash: a.Frame.Hash, Size: size, Number: number}
	return nil
}

// awaitFrame lets the next read wait for ever: a stream is kept between
// exchanges, and a reply may take its time.
func (s *stream) awaitFrame() {
	s.due = false
	if s.armed {
		s.muxed.SetReadDeadline(time.Time{})
		s.armed = false
	}
}

// beginPiece starts the time for what is read next: a header or up to 64 KiB.
func (s *stream) beginPiece() { s.due = true }

// pieces reads the stream below the buffer, where reading may wait.
type pieces struct{ s *stream }

func (p pieces) Read(b []byte) (int, error) {
	s := p.s
	if s.due {
		s.due, s.armed = false, true
		s.muxed.SetReadDeadline(time.Now().Add(s.c.p.config.FrameTimeout))
	}
	return s.duplex.Read(b)
}

// negotiation is a new stream of the peer's while its protocol is negotiated.
// The answers wait, to travel with the first frame that is sent, unless the
// peer waits for them: it has asked for another protocol.
type negotiation struct {
	in   *bufio.Reader
	out  io.Writer
	held []byte
	read bool
}

func (n *negotiation) Write(b []byte) (int, error) {
	n.held = append(n.held, b...)
	return len(b), nil
}

func (n *negotiation) Read(b []byte) (int, error) {
	if err := n.beforeRead(); err != nil {
		return 0, err
	}
	return n.in.Read(b)
}

// ReadByte spares the negotiation a slice for each byte of a length.
func (n *negotiation) ReadByte() (byte, error) {
	if err := n.beforeRead(); err != nil {
		return 0, err
	}
	return n.in.ReadByte()
}

func (n *negotiation) beforeRead() error {
	if n.read && n.in.Buffered() == 0 && len(n.held) > 0 {
		if _, err := n.out.Write(n.held); err != nil {
			return err
		}
		n.held = nil
	}
	n.read = true
	return nil
}

// Close is not the negotiation's to do.
func (n *negotiation) Close() error { return nil }
