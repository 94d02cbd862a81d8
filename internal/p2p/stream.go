package p2p

import (
	"bufio"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/parley-p2p/parley/internal/fsm"
)

// stream carries the frames of one exchange after another. One goroutine
// serves it from its beginning to its end and reads it; another writes, while
// there is something to write. Whoever else uses it never waits for the peer.
type stream struct {
	c      *connection
	number fsm.Stream
	mine   bool // opened by this node
	// crowded: beyond the limit of streams; it ends without being opened.
	crowded bool

	dropped chan struct{} // closed when the machine resets the stream
	broken  chan struct{} // closed when it is reset, by whomever
	written chan struct{} // closed after the first write
	ended   chan struct{} // closed when nothing more of it will be reported
	orderly bool          // both sides had said all when it ended; set before ended is closed

	reading             // of the goroutine that serves it
	refused atomic.Bool // the peer doesn't want the payload that is being written
	until   time.Time   // the deadline for writing; of the goroutine that writes
	first   sync.Once   // guards written

	mu       sync.Mutex
	muxed    network.MuxedStream // nil until it is open
	duplex   io.ReadWriter       // muxed, behind the negotiation of the protocol
	greeting []byte              // what goes out ahead of the first frame
	queue    []fsm.Send          // to be written, at most maxQueued
	spare    []fsm.Send          // an empty queue, to be used again
	serving  bool                // a goroutine serves it
	writing  bool                // a goroutine writes
	idle     sync.Cond           // none does any more
	payload  bool                // a large payload is being written, or its frame is
	offered  chan bool           // where it is waited for the machine's word on a payload
	closed   bool                // nothing more is queued
	last     bool                // this node's side ends behind the queue
	isReset  bool
	fault    error // why writing failed
}

var (
	errReset    = errors.New("stream reset")
	errClosed   = errors.New("connection closed")
	errRefused  = errors.New("the peer refused the payload")
	errNotTaken = errors.New("the peer does not read what is sent to it")
	errCrowded  = errors.New("too many streams on one connection")
)

func newStream(c *connection, number fsm.Stream) *stream {
	s := &stream{
		c:       c,
		number:  number,
		dropped: make(chan struct{}),
		broken:  make(chan struct{}),
		written: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	s.idle.L = &s.mu
	s.in = bufio.NewReaderSize(pieces{s}, readBuffer)
	return s
}

// report hands an input of the stream to the machine and waits for room. It
// reports whether the machine still wants to hear of the stream.
func (s *stream) report(in fsm.Input) bool {
	select {
	case <-s.dropped:
		return false
	default:
	}
	return s.c.p.inbox.put(s.c.p.ctx, report{of: s.c.id, in: in, from: s.c, gone: s.dropped})
}

// drop is the machine's Reset: the stream ends at once and without Closed.
func (s *stream) drop() {
	s.mu.Lock()
	select {
	case <-s.dropped:
	default:
		close(s.dropped)
	}
	s.mu.Unlock()
	s.resetSoon()
}

// resetSoon is reset for the dispatcher: telling the peer may have to wait for
// the socket.
func (s *stream) resetSoon() { s.c.start(s.reset) }

// reset ends both directions at once: what reads or writes fails.
func (s *stream) reset() {
	s.mu.Lock()
	muxed, again := s.muxed, s.isReset
	s.closed, s.isReset, s.queue = true, true, nil
	s.mu.Unlock()
	if again {
		return
	}
	close(s.broken)
	if muxed != nil {
		muxed.Reset()
	}
}

// finish is the end of a stream, by the goroutine that serves it. An end of
// file between frames is an orderly one: what is queued is still written and
// then this node's side ended. Anything else resets the stream.
func (s *stream) finish(err error) {
	s.mu.Lock()
	orderly := err == io.EOF && !s.payload
	s.closed = true
	s.mu.Unlock()
	if !orderly {
		s.reset()
	}
	s.flush()
	s.awaitWriter()
	if (s.mine || s.known) && !s.c.leaving() {
		s.report(fsm.Closed{Conn: s.c.number, Stream: s.number})
	}
	s.c.remove(s)
	if orderly {
		s.endWriting()
		s.awaitWriter()
	}
	s.mu.Lock()
	s.orderly = orderly && !s.isReset && s.fault == nil
	s.mu.Unlock()
	close(s.ended)
}
