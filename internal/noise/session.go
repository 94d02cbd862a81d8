package noise

import (
	"net"
	"sync"

	"github.com/flynn/noise"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
)

// The frame of a Noise message (specification, "Wire Format").
const (
	frameHeader  = 2                        // bytes: the length of the message, big endian
	maxMessage   = noise.MaxMsgLen          // bounds a message with its tag, in bytes
	tag          = 16                       // bytes of it: Poly1305
	maxPlaintext = maxMessage - tag         // bounds what a message carries, in bytes
	maxFrame     = frameHeader + maxMessage // bounds a frame, in bytes
)

// largeBuffer bounds a pooled buffer, in bytes: it holds two frames of the largest
// size, as a write of just over one message needs; yamux writes 64 KiB at once, of
// which a message takes all but 17 bytes.
const largeBuffer = 2 * maxFrame

// largeBuffers holds those not in use: at most two for each connection.
var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// session is a secured connection: what net.Conn promises, over the frames. Both
// directions may be used at once, each by several goroutines, one after another.
//
// A read that fails because of a deadline loses nothing and can be repeated. A
// write that fails for whatever reason may have sent a part of a message, so that
// all later ones fail too.
type session struct {
	net.Conn // below Noise
	local    peer.ID
	remote   remote
	state    network.ConnectionState
	in       reader
	out      writer
}

var _ sec.SecureConn = (*session)(nil)

func newSession(insecure net.Conn, local peer.ID) *session {
	s := &session{Conn: insecure, local: local}
	s.in.conn, s.in.buffer = insecure, s.in.small[:]
	s.out.conn = insecure
	return s
}

// begin ends the handshake.
func (s *session) begin(r remote, outgoing, incoming *noise.CipherState) {
	s.remote, s.out.cipher, s.in.cipher = r, outgoing, incoming
}

func (s *session) Read(p []byte) (int, error)  { return s.in.read(p) }
func (s *session) Write(p []byte) (int, error) { return s.out.write(p) }

func (s *session) LocalPeer() peer.ID                 { return s.local }
func (s *session) RemotePeer() peer.ID                { return s.remote.id }
func (s *session) RemotePublicKey() crypto.PubKey     { return s.remote.key }
func (s *session) ConnState() network.ConnectionState { return s.state }
