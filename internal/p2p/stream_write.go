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

const (
	// maxQueued bounds the frames that wait on one stream. An exchange has one
	// or two on their way at a time; more means that the peer doesn't read.
	maxQueued = 16
	// piece bounds what is read and written of a large payload at a time, in bytes,
	// and what one deadline is for. Cutting it to fit one message of Noise saves
	// nothing that can be measured.
	piece = 64 << 10
)

// buffers holds what frames are put together in: each write costs a system
// call, so that all that waits on a stream goes out in one. There is at most one for
// each stream that is being written, and none stays that is larger than two pieces.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// enqueue adds a frame, which flush has written. It never waits: a stream on
// which more has piled up than an exchange can cause is reset.
func (s *stream) enqueue(send fsm.Send) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if len(s.queue) >= maxQueued {
		s.c.p.log.Warn("stream reset", "peer", s.c.id, "error", errNotTaken)
		s.closed = true
		s.resetSoon()
		return
	}
	s.queue = append(s.queue, send)
	if s.offered != nil && refuses(send.Frame.Kind) {
		s.offered <- false
		s.offered = nil
	}
}

// refuses says whether a frame ends the payload that it answers.
func refuses(k wire.Kind) bool { return k == wire.Nack || k == wire.Reject }

// endWriting ends this node's side of the stream behind what is queued.
func (s *stream) endWriting() {
	s.mu.Lock()
	s.closed, s.last = true, true
	s.mu.Unlock()
	s.flush()
}

// flush has the queue written, unless it is being written already. The first
// one of a stream of this node's has it opened.
func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.serving:
		s.serving = s.c.start(s.serveOutbound)
	case s.muxed == nil, s.writing, s.isReset:
	case len(s.queue) > 0 || s.last:
		s.writing = s.c.start(s.write)
	}
}

// awaitWriter waits until nothing is being written. Each write has a deadline.
func (s *stream) awaitWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.idle.Wait()
	}
}

// serveOutbound opens a stream of this node's, has the first frames written
// and reads it. The protocol is negotiated lazily: the question goes out in one
// write with the first frames, and the answer is read when there is one.
func (s *stream) serveOutbound() {
	if err := s.open(); err != nil {
		s.c.p.log.Debug("stream not opened", "peer", s.c.id, "error", err)
		s.c.noteMemory(err)
		s.finish(err)
		return
	}
	s.flush()
	select {
	case <-s.written:
		s.readFrames()
	case <-s.broken:
		s.finish(errReset)
	case <-s.c.over:
		s.finish(errClosed)
	}
}

func (s *stream) open() error {
	if s.crowded {
		return errCrowded
	}
	ctx, cancel := context.WithTimeout(s.c.p.ctx, s.c.p.config.FrameTimeout)
	defer cancel()
	muxed, err := s.c.muxed.OpenStream(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.muxed, s.duplex = muxed, multistream.NewMSSelect(muxed, exchangeProtocol)
	isReset := s.isReset
	s.mu.Unlock()
	if isReset {
		muxed.Reset()
		return errReset
	}
	return nil
}

// write writes the queue until it is empty.
func (s *stream) write() {
	for {
		s.mu.Lock()
		batch, greeting := s.queue, s.greeting
		if len(batch) == 0 && !s.last {
			s.writing = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.queue, s.spare, s.greeting = s.spare, nil, nil
		s.mu.Unlock()

		err := s.writeFrames(greeting, batch)
		if err == nil && len(batch) == 0 {
			if err = s.muxed.CloseWrite(); err == nil {
				err = io.EOF // all is said
			}
		}
		if err != nil {
			s.stopWriting(err)
			return
		}
		clear(batch)
		s.spare = batch[:0]
	}
}

// stopWriting is the end of writing. After a failure the stream is reset; a
// refused payload leaves that to the goroutine which read the refusal. The
// machine, which hears only that the stream has closed, tries again: what won't
// get better by that is told to the operator.
func (s *stream) stopWriting(err error) {
	s.mu.Lock()
	s.first.Do(func() { close(s.written) })
	s.closed, s.last, s.queue = true, false, nil
	if err != io.EOF {
		s.fault = err
	}
	s.mu.Unlock()
	if err != io.EOF && err != errRefused {
		s.noteUnwritten(err)
		s.reset()
	}
	s.mu.Lock()
	s.writing = false
	s.idle.Broadcast()
	s.mu.Unlock()
}

func (s *stream) noteUnwritten(err error) {
	if errors.Is(err, ErrGone) || !errors.Is(err, errUnsendable) {
		s.c.p.log.Debug("stream not written", "peer", s.c.id, "error", err)
		return
	}
	s.c.p.log.Error("a frame cannot be sent", "peer", s.c.id, "error", err)
	s.c.p.notices.post(fsm.Notice{
		Kind: fsm.JournalTrouble, Peer: peerOf(s.c.id), Address: s.c.address, Detail: err.Error(),
	})
}

// unsendable marks an error as this node's own.
func unsendable(err error) error { return fmt.Errorf("%w: %w", errUnsendable, err) }

// writeFrames writes frames, those that are small together in one write.
func (s *stream) writeFrames(greeting []byte, batch []fsm.Send) error {
	room := buffers.Get().(*[]byte)
	buf := append((*room)[:0], greeting...)
	defer func() {
		if cap(buf) <= 2*piece {
			*room = buf
		}
		buffers.Put(room)
	}()
	for i := range batch {
		frame, payload := &batch[i].Frame, &batch[i].Payload
		size := frame.PayloadSize()
		if size > 0 && uint64(payload.Size) != size {
			return unsendable(fmt.Errorf("%s names %d bytes of payload, not the %d given", frame.Kind, size, payload.Size))
		}
		var err error
		if buf, err = frame.AppendTo(buf); err != nil {
			return unsendable(err)
		}
		switch {
		case size == 0:
		case size <= wire.MaxInline || payload.Inline != nil:
			if buf, err = s.appendPayload(buf, payload); err != nil {
				return err
			}
		default:
			// Before the header goes out: a refusal may be as quick as that.
			s.setPayload(true)
			if err := s.writePiece(buf); err != nil {
				return err
			}
			buf = buf[:0]
			if err := s.writePayload(payload); err != nil {
				return err
			}
		}
	}
	if len(buf) == 0 {
		return nil
	}
	return s.writePiece(buf)
}

func (s *stream) appendPayload(buf []byte, payload *fsm.Payload) ([]byte, error) {
	body := payload.Inline
	if body == nil {
		var err error
		if body, err = s.c.p.config.Payloads.Payload(payload.Number); err != nil {
			return buf, unsendable(err)
		}
	}
	if int64(len(body)) != payload.Size {
		return buf, unsendable(fmt.Errorf("payload %d has %d bytes, not %d", payload.Number, len(body), payload.Size))
	}
	return append(buf, body...), nil
}

// writePayload writes a large payload in pieces, until the peer refuses it.
func (s *stream) writePayload(payload *fsm.Payload) (err error) {
	body, err := s.c.p.config.Payloads.OpenPayload(payload.Number)
	if err != nil {
		return unsendable(err)
	}
	defer func() {
		if failed := body.Close(); err == nil && failed != nil {
			err = unsendable(failed)
		}
	}()
	room := make([]byte, piece)
	told := time.Now()
	for left := payload.Size; left > 0; {
		n, err := io.ReadFull(body, room[:min(left, piece)])
		if err != nil {
			return unsendable(fmt.Errorf("read payload %d, %d bytes before its end: %w", payload.Number, left-int64(n), err))
		}
		if s.refused.Load() {
			return errRefused
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

// writePiece writes within the frame timeout. Setting a deadline costs a timer:
// one serves until half of it is over.
func (s *stream) writePiece(b []byte) error {
	timeout := s.c.p.config.FrameTimeout
	if now := time.Now(); s.until.Sub(now) < timeout/2 {
		s.until = now.Add(timeout)
		if err := s.muxed.SetWriteDeadline(s.until); err != nil {
			return err
		}
	}
	_, err := s.duplex.Write(b)
	s.first.Do(func() { close(s.written) })
	return err
}

// progress tells the machine that bytes are moving, at most once a second.
func (s *stream) progress(told time.Time) time.Time {
	now := time.Now()
	if now.Sub(told) < time.Second {
		return told
	}
	s.report(fsm.Progress{Conn: s.c.number, Stream: s.number})
	return now
}
