package noise

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
)

// ID is what Noise is called in the negotiation of a security protocol.
const ID = protocol.ID("/noise")

// Config is how a Transport behaves.
type Config struct {
	// Key is the identity: Ed25519 or secp256k1. Required.
	Key crypto.PrivKey
	// Muxers are offered to peers, the preferred one first. Empty: the muxer is
	// negotiated after the handshake.
	Muxers []protocol.ID
	// Remember says of a peer that has proved its identity whether it is worth
	// remembering, which makes its next handshake cheaper. Called by many
	// goroutines at once. Nil: of none.
	Remember func(peer.ID) bool
}

// Transport secures connections. It is safe for concurrent use.
type Transport struct {
	config  Config
	id      peer.ID
	public  crypto.PubKey
	static  *ecdh.PrivateKey
	payload []byte // of every handshake of ours
	known   *known
}

var _ sec.SecureTransport = (*Transport)(nil)

// New makes a Transport, its static key and the signature of that.
func New(c Config) (*Transport, error) {
	if c.Key == nil || !accepted(c.Key.Type()) {
		return nil, fmt.Errorf("Noise: %w", ErrKeyKind)
	}
	id, err := peer.IDFromPrivateKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("Noise: identity: %w", err)
	}
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("Noise: make the static key: %w", err)
	}
	payload, err := newPayload(c.Key, static.PublicKey().Bytes(), c.Muxers)
	if err != nil {
		return nil, err
	}
	return &Transport{
		config: c, id: id, public: c.Key.GetPublic(),
		static: static, payload: payload, known: newKnown(),
	}, nil
}

// ID is what this protocol is called in the negotiation.
func (t *Transport) ID() protocol.ID { return ID }

// SecureInbound secures a connection that the peer has dialled. If expected isn't
// empty, another peer is refused with sec.ErrPeerIDMismatch. The connection is
// closed on every error.
func (t *Transport) SecureInbound(ctx context.Context, insecure net.Conn, expected peer.ID) (sec.SecureConn, error) {
	return t.secure(ctx, insecure, expected, expected != "", t.respond)
}

// SecureOutbound secures a connection to the peer that was dialled; another one is
// refused with sec.ErrPeerIDMismatch. The connection is closed on every error.
func (t *Transport) SecureOutbound(ctx context.Context, insecure net.Conn, expected peer.ID) (sec.SecureConn, error) {
	return t.secure(ctx, insecure, expected, true, t.initiate)
}

// secure runs one side of the handshake until it or the context ends.
func (t *Transport) secure(ctx context.Context, insecure net.Conn, expected peer.ID, check bool, run func(*session, expectation) error) (sec.SecureConn, error) {
	s := newSession(insecure, t.id)
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // one for each socket
		defer close(closed)
		insecure.Close()
	})
	err := run(s, expectation{expected, check})
	if !stop() {
		<-closed
		return nil, ctx.Err()
	}
	if err != nil {
		insecure.Close()
		return nil, fmt.Errorf("Noise handshake: %w", err)
	}
	return s, nil
}
