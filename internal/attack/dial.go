package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	goyamux "github.com/libp2p/go-yamux/v5"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/identity"
)

// Target is the node that is attacked.
type Target struct {
	Address string      // a multiaddr or host:port
	Peer    identity.ID // whom the address should prove to be
}

// setUp bounds the time that connecting and the handshake may take, besides the
// caller's context.
const setUp = 30 * time.Second

// Dial connects to a node and proves to hold the key. It comes from the source
// address from, one of this machine's (on Linux any of 127.0.0.0/8 is); the zero
// address leaves it to the system. Whether the node admits the key isn't known
// when it returns: only an answer says so.
func Dial(ctx context.Context, target Target, key identity.Key, from netip.Addr) (*Peer, error) {
	c, err := connect(ctx, target.Address, from)
	if err != nil {
		return nil, err
	}
	return newPeer(ctx, c, target.Peer, key, new(counter))
}

// connect opens a socket. It is closed without lingering, so that a hundred
// thousand of them don't use up the ports of a source address.
func connect(ctx context.Context, address string, from netip.Addr) (*net.TCPConn, error) {
	network, host := "tcp", address
	if m, err := ma.NewMultiaddr(address); err == nil {
		if network, host, err = manet.DialArgs(m); err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
	}
	dialer := net.Dialer{Timeout: setUp, KeepAlive: -1}
	if from.IsValid() {
		dialer.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	c, err := dialer.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	socket := c.(*net.TCPConn)
	if err := socket.SetLinger(0); err != nil {
		socket.Close()
		return nil, err
	}
	return socket, nil
}

var muxers = []tptu.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}

// secure is the Noise handshake, as the side that dialled if to names a peer.
// It closes the socket if it fails.
func secure(ctx context.Context, c net.Conn, to identity.ID, key identity.Key) (sec.SecureConn, error) {
	end := time.Now().Add(setUp)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	secured, err := shake(ctx, c, end, to, key)
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}

func shake(ctx context.Context, c net.Conn, end time.Time, to identity.ID, key identity.Key) (sec.SecureConn, error) {
	if err := c.SetDeadline(end); err != nil {
		return nil, err
	}
	t, err := noise.New(noise.ID, key.Libp2p(), muxers)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	if to.IsZero() {
		if err := answer(c, noise.ID); err != nil {
			return nil, err
		}
		return t.SecureInbound(ctx, c, "")
	}
	if err := multistream.SelectProtoOrFail(protocol.ID(noise.ID), c); err != nil {
		return nil, err
	}
	return t.SecureOutbound(ctx, c, peer.ID(to.Bytes()))
}

// answer agrees to one protocol, and to no other.
func answer(rw io.ReadWriteCloser, id protocol.ID) error {
	muxer := multistream.NewMultistreamMuxer[protocol.ID]()
	muxer.AddHandler(id, nil)
	_, _, err := muxer.Negotiate(rw)
	return err
}

// multiplex makes streams of a secured connection.
func multiplex(c sec.SecureConn, dialed bool) (*goyamux.Session, error) {
	config := goyamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.MeasureRTTInterval = time.Hour
	config.LogOutput = io.Discard
	config.ReadBufSize = 0 // Noise has its own
	config.MaxIncomingStreams = 1 << 16
	config.AcceptBacklog = 1 << 16
	agreed := c.ConnState().StreamMultiplexer == yamux.ID
	if dialed {
		if !agreed {
			if err := multistream.SelectProtoOrFail(protocol.ID(yamux.ID), c); err != nil {
				return nil, err
			}
		}
		return goyamux.Client(c, config, nil)
	}
	if !agreed {
		if err := answer(c, yamux.ID); err != nil {
			return nil, err
		}
	}
	return goyamux.Server(c, config, nil)
}
