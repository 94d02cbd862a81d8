package attack

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	goyamux "github.com/libp2p/go-yamux/v5"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/wire"
)

// exchangeProtocol is what is spoken on a stream.
const exchangeProtocol = protocol.ID("/parley/exchange/1")

// Peer is one end of a connection that keeps to libp2p, and to nothing else that
// it doesn't want to keep to. Its methods may be called by many goroutines.
type Peer struct {
	session *goyamux.Session
	valve   *valve
	count   *counter
}

// valve is a socket of which reading can be shut off.
type valve struct {
	net.Conn
	closed atomic.Bool
	over   context.Context
	cancel context.CancelFunc
}

func newValve(c net.Conn) *valve {
	over, cancel := context.WithCancel(context.Background())
	return &valve{Conn: c, over: over, cancel: cancel}
}

// shut lets nothing more be read, once a read that waits has returned.
func (v *valve) shut() { v.closed.Store(true) }

func (v *valve) Read(b []byte) (int, error) {
	if v.closed.Load() {
		<-v.over.Done()
		return 0, net.ErrClosed
	}
	return v.Conn.Read(b)
}

func (v *valve) Close() error {
	v.cancel()
	return v.Conn.Close()
}

// newPeer proves the key on a socket and closes it if that fails.
func newPeer(ctx context.Context, c net.Conn, to identity.ID, key identity.Key, count *counter) (*Peer, error) {
	valve := newValve(c)
	secured, err := secure(ctx, valve, to, key)
	if err != nil {
		return nil, err
	}
	session, err := multiplex(secured, !to.IsZero())
	if err != nil {
		valve.Close()
		return nil, err
	}
	count.add(func(r *Report) { r.Secured++ })
	return &Peer{session, valve, count}, nil
}

// Lost is closed when the connection is over, by whomever.
func (p *Peer) Lost() <-chan struct{} { return p.session.CloseChan() }

// Close hangs up.
func (p *Peer) Close() error { return p.session.Close() }

// Report is what was sent and what came back.
func (p *Peer) Report() Report { return p.count.report() }

// Open opens a stream. The negotiation of the protocol goes out with the first
// write.
func (p *Peer) Open(ctx context.Context) (*Stream, error) {
	s, err := p.session.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	p.count.add(func(r *Report) { r.Streams++ })
	return newStream(p, s, greeting), nil
}

// Accept waits for a stream that the node opens.
func (p *Peer) Accept() (*Stream, error) {
	s, err := p.session.AcceptStream()
	if err != nil {
		return nil, err
	}
	if err := answer(s, exchangeProtocol); err != nil {
		s.Reset()
		return nil, err
	}
	return newStream(p, s, nil), nil
}

// Message is a frame and its payload.
type Message struct {
	wire.Frame
	Payload []byte
}

// Stream carries frames. One goroutine may write while another reads.
type Stream struct {
	peer     *Peer
	muxed    *goyamux.Stream
	greeting []byte // goes out ahead of the first write
	agreed   bool   // the answer to the greeting was read
	in       *bufio.Reader
	frames   *wire.Decoder
}

// greeting is what a multistream-select negotiation begins with, from the side
// that opens a stream, who needn't wait for the answer.
var greeting = token(token(nil, "/multistream/1.0.0"), string(exchangeProtocol))

func token(dst []byte, text string) []byte {
	return append(append(append(dst, byte(len(text)+1)), text...), '\n')
}

func newStream(p *Peer, muxed *goyamux.Stream, greeting []byte) *Stream {
	in := bufio.NewReaderSize(muxed, 1<<10)
	return &Stream{peer: p, muxed: muxed, greeting: greeting, agreed: greeting == nil, in: in, frames: wire.NewDecoder(in)}
}

// Send writes frames, all in one write. It fails on a frame that package wire
// refuses to encode: bytes that break a rule go through Write.
func (s *Stream) Send(messages ...Message) error {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.AppendTo(b); err != nil {
			return err
		}
		b = append(b, m.Payload...)
	}
	if _, err := s.Write(b); err != nil {
		return err
	}
	s.peer.count.add(func(r *Report) { r.Sent += len(messages) })
	return nil
}

// Write writes bytes, whatever they are.
func (s *Stream) Write(b []byte) (int, error) {
	if s.greeting != nil {
		b, s.greeting = append(slices.Clip(s.greeting), b...), nil
	}
	n, err := s.muxed.Write(b)
	s.peer.count.add(func(r *Report) { r.Bytes += int64(n) })
	return n, s.seen(err)
}

// Next reads a frame with its payload, and counts it.
func (s *Stream) Next() (Message, error) {
	if !s.agreed {
		for range 2 { // multistream-select and the protocol, repeated
			if _, err := multistream.ReadNextTokenBytes(s.in); err != nil {
				return Message{}, s.seen(err)
			}
		}
		s.agreed = true
	}
	frame, err := s.frames.ReadFrame()
	if err != nil {
		return Message{}, s.seen(err)
	}
	payload := make([]byte, frame.PayloadSize())
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return Message{}, s.seen(err)
	}
	s.peer.count.received(&frame)
	return Message{frame, payload}, nil
}

// seen counts the reset of a stream by the other side.
func (s *Stream) seen(err error) error {
	if byPeer := new(goyamux.StreamError); asError(err, &byPeer) && byPeer.Remote {
		s.peer.count.add(func(r *Report) { r.Resets++ })
	}
	return err
}

// SetDeadline is a moment after which reading and writing fail.
func (s *Stream) SetDeadline(t time.Time) error { return s.muxed.SetDeadline(t) }

// CloseWrite ends this side in an orderly way.
func (s *Stream) CloseWrite() error { return s.muxed.CloseWrite() }

// Reset ends both directions at once.
func (s *Stream) Reset() error { return s.muxed.Reset() }

// Hello is the frame with which a dialer begins that has these sequences open.
func Hello(epoch, next uint64, open ...uint64) Message {
	payload := wire.AppendOpen(nil, open)
	return Message{wire.Frame{
		Kind: wire.Hello, Epoch: epoch, Next: next, Hash: sha256.Sum256(payload), Size: uint64(len(payload)),
	}, payload}
}

// Request is a request with a new tag, in a lane of its own. It takes replies of
// up to 1 MiB and says nothing of smaller sequences.
func Request(epoch, seq uint64, body []byte) Message {
	return Message{wire.Frame{
		Kind: wire.Request, Epoch: epoch, Seq: seq, Tag: newTag(), Lane: fmt.Sprint(seq),
		Hash: sha256.Sum256(body), Size: uint64(len(body)), LargestReply: 1 << 20,
	}, body}
}

// Resume asks for what became of a request, or announces one.
func Resume(request Message) Message {
	request.Kind, request.Payload = wire.Resume, nil
	return request
}

func newTag() (tag wire.Tag) {
	rand.Read(tag[:]) // never fails: crypto/rand
	return tag
}

// newEpoch is above all that this attacker used before.
func newEpoch() uint64 { return uint64(time.Now().UnixMilli()) }
