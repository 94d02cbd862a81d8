package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// piece is how much of a large payload is read and written at a time, and what
// one write deadline is for.
const piece = 64 << 10

// buffers holds what frames are put together in: a write costs a system call,
// so that all that waits on a stream goes out in one.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// enqueue adds a frame; flush then writes it. It never waits: a stream on which
// more has piled up than an exchange can cause is reset.
func (s *stream) enqueue(send fsm.Send) {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return
	}
	full := len(s.queue) >= maxQueued
	if !full {
		s.queue = append(s.queue, send)
	}
	if s.offered != nil && refuses(send.Frame.Kind) {
		s.offered <- false
		s.offered = nil
	}
	s.mu.Unlock()
	if full {
		s.c.p.log.Warn("stream reset", "peer", s.c.id, "error", errNotTaken)
		s.reset()
	}
}

// flush has the queue written, unless it is being written already.
func (s *stream) flush() {
	s.mu.Lock()
	if s.writer != nil || len(s.queue) == 0 {
		s.mu.Unlock()
		return
	}
	writer := make(chan struct{})
	s.writer = writer
	s.mu.Unlock()
	if !s.c.start(func() { s.write(writer) }) {
		close(writer)
	}
}

// write opens the stream if need be and writes the queue until it is empty.
func (s *stream) write(over chan struct{}) {
	var err error
	unread := s.mine && s.muxed == nil // nobody reads it yet
	if unread {
		err = s.open()
	}
	for err == nil {
		s.mu.Lock()
		batch := s.queue
		s.queue = nil
		if len(batch) == 0 {
			s.writer = nil
			last := s.last
			s.mu.Unlock()
			if last {
				s.closeWrite()
			}
			close(over)
			return
		}
		s.mu.Unlock()
		err = s.writeFrames(batch, func() {
			// The negotiation's answer is read behind the first write, which
			// carries the question.
			if unread {
				unread = !s.c.start(s.read)
			}
		})
	}
	if !errors.Is(err, errRefused) {
		s.reset()
	}
	s.mu.Lock()
	s.writer, s.done, s.queue = nil, true, nil
	s.mu.Unlock()
	close(over)
	if unread {
		s.finish(err)
	}
}

// open opens the stream and negotiates its protocol lazily: the question goes
// out in one write with the first frame, without waiting for the answer.
func (s *stream) open() error {
	if s.crowded {
		s.c.p.log.Warn("stream not opened", "peer", s.c.id, "error", errCrowded)
		return errCrowded
	}
	ctx, cancel := context.WithTimeout(s.c.p.ctx, s.c.p.config.FrameTimeout)
	defer cancel()
	muxed, err := s.c.muxed.OpenStream(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.muxed = muxed
	s.duplex = multistream.NewMSSelect(muxed, exchangeProtocol)
	isReset := s.isReset
	s.mu.Unlock()
	if isReset {
		muxed.Reset()
		return errors.New("reset while it was opened")
	}
	return nil
}

// writeFrames writes frames, those that fit together in one write. wrote is
// called after each.
func (s *stream) writeFrames(batch []fsm.Send, wrote func()) error {
	room := buffers.Get().(*[]byte)
	buf := append((*room)[:0], s.greeting...)
	s.greeting = nil
	defer func() {
		if cap(buf) <= 2*piece {
			*room = buf
		}
		buffers.Put(room)
	}()
	flush := func() error {
		if len(buf) == 0 {
			return nil
		}
		err := s.writePiece(buf)
		buf = buf[:0]
		wrote()
		return err
	}
	for i := range batch {
		frame, payload := &batch[i].Frame, &batch[i].Payload
		size := frame.PayloadSize()
		if size > 0 && uint64(payload.Size) != size {
			return fmt.Errorf("%s names %d bytes of payload, %d were given", frame.Kind, size, payload.Size)
		}
		var err error
		if buf, err = frame.AppendTo(buf); err != nil {
			return err
		}
		switch {
		case size == 0:
		case payload.Inline != nil:
			buf = append(buf, payload.Inline...)
		case size <= wire.MaxInline:
			body, err := s.c.p.config.Payloads.Payload(payload.Number)
			if err != nil {
				return err
			}
			if uint64(len(body)) != size {
				return fmt.Errorf("payload %d has %d bytes, not %d", payload.Number, len(body), size)
			}
			buf = append(buf, body...)
		default:
			if err := flush(); err != nil {
				return err
			}
			if err := s.writePayload(payload); err != nil {
				return err
			}
		}
	}
	return flush()
}

// writePayload writes a large payload in pieces. The peer may refuse it
// meanwhile: then it stops, and the goroutine that read the refusal resets the
// stream.
func (s *stream) writePayload(payload *fsm.Payload) (err error) {
	body, err := s.c.p.config.Payloads.OpenPayload(payload.Number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	s.setPayload(true)
	room := make([]byte, piece)
	told := time.Now()
	for left := payload.Size; left > 0; {
		n, err := io.ReadFull(body, room[:min(left, piece)])
		if err != nil {
			return err
		}
		select {
		case <-s.refused:
			return errRefused
		default:
		}
		if err := s.writePiece(room[:n]); err != nil {
			return err
		}
		left -= int64(n)
		told = s.progress(told)
	}
	s.setPayload(false)
	return nil
}

func (s *stream) setPayload(on bool) {
	s.mu.Lock()
	s.payload = on
	s.mu.Unlock()
}

// writePiece writes within the frame timeout. Setting a deadline costs a timer,
// so that one is used until half of it is over.
func (s *stream) writePiece(b []byte) error {
	timeout := s.c.p.config.FrameTimeout
	if now := time.Now(); s.deadline.Sub(now) < timeout/2 {
		s.deadline = now.Add(timeout)
		if err := s.muxed.SetWriteDeadline(s.deadline); err != nil {
			return err
		}
	}
	_, err := s.duplex.Write(b)
	return err
}

// closeWrite ends this node's side of the stream.
func (s *stream) closeWrite() error {
	if len(s.greeting) > 0 {
		greeting := s.greeting
		s.greeting = nil
		if err := s.writePiece(greeting); err != nil {
			return err
		}
	}
	return s.muxed.CloseWrite()
}

// progress tells the machine that bytes are moving, once a second.
func (s *stream) progress(told time.Time) time.Time {
	now := time.Now()
	if now.Sub(told) < time.Second {
		return told
	}
	s.report(fsm.Progress{Conn: s.c.number, Stream: s.number})
	return now
}
