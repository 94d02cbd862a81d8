package p2p

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// stream carries the frames of one exchange after another. One goroutine reads
// it from its first byte to its end; another writes, while there is something
// to write.
type stream struct {
	c      *connection
	number fsm.Stream
	mine   bool // opened by this node
	// crowded: beyond the limit of streams; it ends without being opened.
	crowded bool

	dropped chan struct{} // closed when the machine resets the stream
	ended   chan struct{} // closed when nothing more of it will be reported
	orderly bool          // both sides had said all when it ended; set before ended is closed

	reading               // of the goroutine that reads
	refused chan struct{} // closed when the peer refuses the payload being written

	mu       sync.Mutex
	muxed    network.MuxedStream // nil until it is open
	duplex   io.ReadWriter       // muxed, behind the negotiation of the protocol
	greeting []byte              // what goes out ahead of the first frame
	queue    []fsm.Send          // to be written
	last     bool                // this node's side ends behind the queue
	done     bool                // nothing more is queued
	isReset  bool
	writer   chan struct{} // closed when the goroutine that writes is over; nil without one
	payload  bool          // it is in the middle of a large payload
	offered  chan bool     // where the goroutine that reads waits to hear whether to take the payload
	deadline time.Time     // for writing, as it is set; of the goroutine that writes
}

// maxQueued bounds the frames that wait on one stream. An exchange has one or
// two on their way at a time; more means that the peer doesn't read.
const maxQueued = 16

var (
	errRefused  = errors.New("the peer refused the payload")
	errNotTaken = errors.New("the peer does not read")
	errCrowded  = errors.New("too many streams on one connection")
)

func newStream(c *connection, number fsm.Stream) *stream {
	return &stream{
		c:       c,
		number:  number,
		dropped: make(chan struct{}),
		ended:   make(chan struct{}),
		refused: make(chan struct{}),
	}
}

// report hands an input of the stream to the machine and waits for room. It
// reports whether the stream goes on.
func (s *stream) report(in fsm.Input) bool {
	select {
	case <-s.dropped: // what the machine has reset it hears no more of
		return false
	default:
	}
	select {
	case s.c.p.receiver <- in:
		return true
	case <-s.dropped:
		return false
	case <-s.c.p.ctx.Done():
		return false
	}
}

// drop is the machine's Reset: the stream ends at once and without Closed.
func (s *stream) drop() {
	s.mu.Lock()
	if s.done && s.isReset {
		s.mu.Unlock()
		return
	}
	select {
	case <-s.dropped:
	default:
		close(s.dropped)
	}
	s.mu.Unlock()
	s.reset()
}

// reset ends both directions at once: what reads or writes fails.
func (s *stream) reset() {
	s.mu.Lock()
	s.done, s.isReset = true, true
	s.queue = nil
	muxed, writing := s.muxed, s.writer != nil
	s.mu.Unlock()
	switch {
	case muxed != nil:
		muxed.Reset()
	case !writing:
		// Never opened, and nothing runs that would notice.
		s.c.start(func() { s.finish(errors.New("reset before it was opened")) })
	}
}

// endWriting ends this node's side of the stream behind what is queued.
func (s *stream) endWriting() {
	s.mu.Lock()
	s.done, s.last = true, true
	idle := s.writer == nil && !s.isReset
	s.mu.Unlock()
	if idle {
		s.closeWrite()
	}
}

// finish is the end of a stream, called once by the last goroutine that serves
// it. An end of file between frames is an orderly one: what is queued is still
// written and this node's side ended. Anything else resets the stream.
func (s *stream) finish(err error) {
	orderly := err == io.EOF
	s.mu.Lock()
	orderly = orderly && !s.payload && !s.isReset
	s.done = true
	writer := s.writer
	s.mu.Unlock()
	if !orderly {
		s.reset()
	}
	if writer != nil {
		<-writer
	}
	if !s.c.leaving() {
		s.report(fsm.Closed{Conn: s.c.number, Stream: s.number})
	}
	s.c.remove(s)
	if orderly {
		orderly = s.closeWrite() == nil
	}
	s.orderly = orderly
	close(s.ended)
}

// leaving says whether Disconnected stands for the end of every stream.
func (c *connection) leaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone || c.closing || c.ending
}

// expects says whether a frame sent answers the payload that was offered.
func refuses(k wire.Kind) bool { return k == wire.Nack || k == wire.Reject }
