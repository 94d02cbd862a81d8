package p2p

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"
)

// maxUnproved bounds what is read on a connection that came in before its peer has
// proved a key, in bytes; beyond it the connection ends. A handshake has some 500,
// and up to 4 KiB behind it may be read with it. Else multistream would answer
// whatever a stranger proposes, as fast as it comes, until HandshakeTimeout.
const maxUnproved = 8 << 10

// socket is a TCP connection that the gate counts and can close: one that was
// accepted, or one that this node has dialled.
type socket struct {
	manet.Conn // of one that is accepted: set by open, under gate.mu
	gate       *gate
	accepted   bool           // not dialled
	from       netip.AddrPort // the other end
	place      netip.Prefix   // of from
	familiar   bool           // the place, when it came
	began      time.Time

	heard   atomic.Int64 // bytes read before letIn
	letIn   atomic.Bool  // its peer, which has proved its key
	closing sync.Once
	failed  error // of closing

	// Under gate.mu.
	state socketState
	own   bool    // it has one of the slots of a familiar place
	peer  peer.ID // once it has proved to be of it; of a dialled one, who is meant
}

type socketState uint8

const (
	shaking    socketState = iota // accepted, and hasn't proved a key
	turnedAway                    // has proved a key that isn't let in
	proved                        // has proved to be of peer
	dialled                       // by this node
	closed
)

// open gives a socket that entered its connection. From here on it may be closed for
// another's sake.
func (s *socket) open(c net.Conn) error {
	conn, err := manet.WrapNetConn(c)
	if err != nil {
		return err
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.Conn = conn
	return nil
}

// Read reads what has come. It fails when that is too much for a handshake.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if s.accepted && !s.letIn.Load() && s.heard.Add(int64(n)) > maxUnproved {
		return 0, errTooMuchUnproved
	}
	return n, err
}

// Close closes the socket. Whoever closes it again waits until it is closed:
// afterwards nothing is read from it and nothing written to it. What is in the
// system's buffers is discarded, so that no closed socket lingers: whoever closes
// in order has waited until the peer has read all.
func (s *socket) Close() error {
	s.closing.Do(func() {
		s.failed = abort(s.Conn)
		s.gate.leave(s)
	})
	return s.failed
}

// abort closes a TCP connection with a reset.
func abort(c net.Conn) error {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // it is closed all the same
	}
	return c.Close()
}
