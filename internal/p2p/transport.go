package p2p

import (
	"fmt"
	"io"
	"math"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	stocknoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	goyamux "github.com/libp2p/go-yamux/v5"

	"github.com/parley-p2p/parley/internal/noise"
)

// exchangeProtocol is the only protocol spoken on a stream.
const exchangeProtocol = protocol.ID("/parley/exchange/1")

const (
	// window bounds what a peer may send ahead on a new stream, in bytes: the smallest
	// that yamux has.
	window = 256 << 10
	// maxWindow bounds a window once it has grown, in bytes, which it does while less than
	// half of MaxWindowMemoryPerPeer is in use: 40 MB/s at 100 ms.
	maxWindow = 4 << 20
)

// stack is libp2p below its host and below its swarm: a TCP transport, an
// upgrader that makes Noise and yamux of a socket, and what windows may cost.
type stack struct {
	transport *tcp.TcpTransport
	upgrader  transport.Upgrader
	resources network.ResourceManager
}

func newStack(c Config, gate *gate) (*stack, error) {
	resources, err := newResources(c)
	if err != nil {
		return nil, err
	}
	muxers := []tptu.StreamMuxer{{ID: yamux.ID, Muxer: newMuxer(c)}}
	secured, err := newNoise(c, muxers)
	if err != nil {
		return nil, fmt.Errorf("set up Noise: %w", err)
	}
	upgrader, err := tptu.New([]sec.SecureTransport{secured}, muxers, nil, resources, gate,
		tptu.WithAcceptTimeout(c.HandshakeTimeout))
	if err != nil {
		return nil, fmt.Errorf("set up the upgrader: %w", err)
	}
	// Dialling from the listening port makes two nodes that dial each other at
	// once share one TCP connection, on which neither handshake succeeds.
	t, err := tcp.NewTCPTransport(upgrader, resources, nil,
		tcp.DisableReuseport(), tcp.WithConnectionTimeout(c.DialTimeout))
	if err != nil {
		return nil, fmt.Errorf("set up TCP: %w", err)
	}
	return &stack{transport: t, upgrader: upgrader, resources: resources}, nil
}

// newNoise is Noise with the muxers known to it, so that yamux is agreed upon
// within the handshake and costs no round trip of its own.
func newNoise(c Config, muxers []tptu.StreamMuxer) (sec.SecureTransport, error) {
	if c.StockNoise {
		return stocknoise.New(stocknoise.ID, c.Key.Libp2p(), muxers)
	}
	offered := make([]protocol.ID, len(muxers))
	for i, muxer := range muxers {
		offered[i] = muxer.ID
	}
	return noise.New(noise.Config{
		Key:    c.Key.Libp2p(),
		Muxers: offered,
		Remember: func(id peer.ID) bool {
			member, err := listed(id)
			return err == nil && c.Allow.Admits(member)
		},
	})
}

// newMuxer is yamux with our limits. A silent connection is probed after
// KeepAlive and given up when the probe, or any write, takes 1.5 times that.
func newMuxer(c Config) *yamux.Transport {
	m := goyamux.DefaultConfig()
	m.KeepAliveInterval = c.KeepAlive
	m.ConnectionWriteTimeout = c.KeepAlive + c.KeepAlive/2
	m.InitialStreamWindowSize = window
	m.MaxStreamWindowSize = maxWindow
	// Ours is the limit that tells; yamux's, a little above it, resets silently
	// what arrives faster than it is accepted.
	m.MaxIncomingStreams = uint32(c.MaxStreamsPerConnection) + 16
	m.AcceptBacklog = c.MaxStreamsPerConnection + 16
	m.ReadBufSize = 0 // Noise has its own
	m.LogOutput = io.Discard
	return (*yamux.Transport)(m)
}

// newResources is libp2p's resource manager, used for the one thing that only
// it can bound: the memory of receive windows. Connections and handshakes are
// counted by the gate, which names the limit that was hit, and streams by their
// connection; its own limits on those, some of them on by default, are off.
func newResources(c Config) (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		System:      rcmgr.ResourceLimits{Memory: rcmgr.LimitVal64(c.MaxWindowMemory)},
		PeerDefault: rcmgr.ResourceLimits{Memory: rcmgr.LimitVal64(c.MaxWindowMemoryPerPeer)},
	}.Build(rcmgr.InfiniteLimits)
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: math.MaxInt}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: math.MaxInt}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}))
	if err != nil {
		return nil, fmt.Errorf("set up the resource manager: %w", err)
	}
	return resources, nil
}
