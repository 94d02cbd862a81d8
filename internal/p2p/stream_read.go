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

// readBuffer bounds what is read ahead of a stream, in bytes: it holds a frame with a
// small payload, so that reading one costs one wake-up. A larger payload is read
// past it, without another copy.
const readBuffer = 4 << 10

// maxAnswers bounds what a negotiation may cost, in bytes that are answered: a
// peer that knows the protocol needs 40, one that asks for another first 4 more.
const maxAnswers = 1 << 10

var errUndecided = errors.New("the peer asks for one protocol after another")

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
	if err := s.pay(streamCost); err != nil {
		s.finish(err)
		return
	}
	s.beginPiece()
	n := &negotiation{in: s.in, write: s.writePiece}
	_, _, err := s.c.p.protocols.Negotiate(n)
	if err == nil {
		err = n.answer()
	}
	if err != nil {
		s.c.p.log.Debug("a stream speaks another protocol", "peer", s.c.id, "error", err)
		s.finish(fmt.Errorf("negotiate the protocol: %w", err))
		return
	}
	s.mu.Lock()
	s.greeting = n.held
	s.mu.Unlock()
	s.readFrames()
}

// readFrames reads frames until the stream ends.
func (s *stream) readFrames() {
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
	case err != io.EOF:
		s.c.p.log.Debug("stream ended", "peer", s.c.id, "error", err)
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
	if s.c.ending.Load() {
		return errClosed
	}
	if err := s.pay(cost(frame)); err != nil {
		return err
	}
	large := frame.Kind != wire.Hello && frame.PayloadSize() > wire.MaxInline
	switch {
	case frame.Kind == wire.Hello:
		// One of a connection at a time. A peer sends no more, and each may hold four
		// times what any other frame does: 256 of them would be 64 MiB.
		if err := s.await(s.c.hello); err != nil {
			return err
		}
		defer func() { <-s.c.hello }()
	case large:
		taken, err := s.offer(frame)
		if err != nil {
			return err
		}
		if !taken {
			return s.discard(frame.Size)
		}
	}
	if frame.PayloadSize() > 0 {
		room, err := s.takeInHand()
		if err != nil {
			return err
		}
		defer s.putDown(room)
	}
	payload, err := s.readPayload(&frame, large)
	if err != nil {
		return err
	}
	arrived := fsm.Arrived{Conn: s.c.number, Stream: s.number, Frame: frame, Payload: payload}
	if refuses(frame.Kind) {
		return s.takeRefusal(arrived)
	}
	err = s.tell(arrived)
	if err != nil && payload.Number != 0 && payload.Inline == nil {
		// Nobody else knows of it: it would lie there until the next start.
		s.c.p.config.Payloads.DropPayload(payload.Number)
	}
	return err
}

// await waits until there is room in a channel, unless the stream ends before.
func (s *stream) await(room chan<- struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-s.broken:
		return errReset
	case <-s.c.over:
		return errClosed
	}
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

// readPayload reads what a frame carries, if frames of its kind do.
func (s *stream) readPayload(frame *wire.Frame, large bool) (fsm.Payload, error) {
	switch {
	case large:
		return s.store(frame)
	case frame.Kind == wire.Hello, frame.Kind == wire.Request, frame.Kind == wire.Reply:
		return s.readInline(frame)
	}
	return fsm.Payload{}, nil
}

// readInline reads a payload that travels with its frame.
func (s *stream) readInline(frame *wire.Frame) (fsm.Payload, error) {
	payload := fsm.Payload{Hash: frame.Hash, Size: int64(frame.Size)}
	for left := payload.Size; left > 0; { // a HELLO may have several pieces
		n := min(left, piece)
		read := len(payload.Inline)
		if read == 0 {
			payload.Inline = make([]byte, n) // of most payloads, all
		} else {
			payload.Inline = append(payload.Inline, make([]byte, n)...)
		}
		s.beginPiece()
		if _, err := io.ReadFull(s.in, payload.Inline[read:]); err != nil {
			return fsm.Payload{}, err
		}
		left -= n
	}
	if sha256.Sum256(payload.Inline) != frame.Hash {
		return fsm.Payload{}, hashMismatch(frame)
	}
	if frame.Kind != wire.Hello && payload.Size > 0 {
		payload.Number = s.c.p.config.Payloads.NextPayload()
	}
	return payload, nil
}

func hashMismatch(frame *wire.Frame) error {
	return &wire.Error{Rule: frame.Kind.String() + " whose payload does not match its hash"}
}

// offer asks the machine whether to read a large payload. Nothing is allocated
// for it before.
func (s *stream) offer(frame wire.Frame) (taken bool, err error) {
	answer := make(chan bool, 1)
	s.mu.Lock()
	s.offered = answer
	s.mu.Unlock()
	if err := s.tell(fsm.Offered{Conn: s.c.number, Stream: s.number, Frame: frame}); err != nil {
		return false, err
	}
	select {
	case taken = <-answer:
		return taken, nil
	case <-s.broken:
		return false, errReset
	case <-s.c.over:
		return false, errClosed
	}
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
	end := time.Now().Add(s.c.p.config.FrameTimeout)
	s.due, s.armed = false, true
	s.muxed.SetReadDeadline(end)
	for size > 0 {
		n := min(size, piece)
		if err := s.pay(costOf(n)); err != nil {
			return err
		}
		if time.Now().After(end) { // the deadline ends only reads that have to wait
			return os.ErrDeadlineExceeded
		}
		if _, err := io.CopyN(io.Discard, s.in, int64(n)); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// store reads a large payload into the journal, hashing it on the way.
func (s *stream) store(frame *wire.Frame) (fsm.Payload, error) {
	size := int64(frame.Size)
	if size < 0 || size > s.c.p.config.MaxMessageSize {
		return fsm.Payload{}, fmt.Errorf("%w: %s of %d bytes is beyond MaxMessageSize", errNotStored, frame.Kind, frame.Size)
	}
	number := s.c.p.config.Payloads.NextPayload()
	w, err := s.c.p.config.Payloads.CreatePayload(number, size)
	if err != nil {
		return fsm.Payload{}, fmt.Errorf("%w: %w", errNotStored, err)
	}
	if err := s.copyPayload(w, frame); err != nil {
		w.Abort()
		return fsm.Payload{}, err
	}
	if err := w.Finish(); err != nil {
		return fsm.Payload{}, fmt.Errorf("%w: %w", errNotStored, err)
	}
	return fsm.Payload{Hash: frame.Hash, Size: size, Number: number}, nil
}

// copyPayload copies a payload and verifies it.
func (s *stream) copyPayload(w io.Writer, frame *wire.Frame) error {
	hash := sha256.New()
	room := make([]byte, piece)
	told := time.Now()
	for left := int64(frame.Size); left > 0; {
		n := min(left, piece)
		if err := s.pay(costOf(uint64(n))); err != nil {
			return err
		}
		s.beginPiece()
		if _, err := io.ReadFull(s.in, room[:n]); err != nil {
			return err
		}
		hash.Write(room[:n])
		if _, err := w.Write(room[:n]); err != nil {
			return fmt.Errorf("%w: %w", errNotStored, err)
		}
		left -= n
		told = s.progress(told)
	}
	if wire.Hash(hash.Sum(nil)) != frame.Hash {
		return hashMismatch(frame)
	}
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

// pieces reads the stream below the buffer, where reading may wait. Yamux gives
// what it has received even when its connection is closed: that is left there.
type pieces struct{ s *stream }

func (p pieces) Read(b []byte) (int, error) {
	s := p.s
	if s.c.ending.Load() {
		return 0, errClosed
	}
	if s.due {
		s.due, s.armed = false, true
		s.muxed.SetReadDeadline(time.Now().Add(s.c.p.config.FrameTimeout))
	}
	return s.duplex.Read(b)
}

// negotiation is a new stream of the peer's while its protocol is negotiated.
// The answers are held back, to travel with the first frame that is sent, as
// long as the peer has shown that it doesn't wait for them: it has sent more.
type negotiation struct {
	in    *bufio.Reader
	write func([]byte) error // within the frame timeout
	held  []byte             // at most maxAnswers
	given int                // bytes of answers in all, up to maxAnswers
	read  bool               // something was
}

func (n *negotiation) Write(b []byte) (int, error) {
	if n.given += len(b); n.given > maxAnswers {
		return 0, errUndecided
	}
	n.held = append(n.held, b...)
	return len(b), nil
}

func (n *negotiation) Read(b []byte) (int, error) {
	if err := n.answer(); err != nil {
		return 0, err
	}
	n.read = true
	return n.in.Read(b)
}

// ReadByte spares the negotiation a slice for each byte of a length.
func (n *negotiation) ReadByte() (byte, error) {
	if err := n.answer(); err != nil {
		return 0, err
	}
	n.read = true
	return n.in.ReadByte()
}

// answer writes the answers if the peer may be waiting for them. It speaks
// first: before anything was read there is nothing to wait for.
func (n *negotiation) answer() error {
	if !n.read || n.in.Buffered() > 0 || len(n.held) == 0 {
		return nil
	}
	held := n.held
	n.held = nil
	return n.write(held)
}

// Close is not the negotiation's to do.
func (n *negotiation) Close() error { return nil }
