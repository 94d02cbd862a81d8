package p2p

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// Config is how a Protocol behaves; zero means the default written at the field.
type Config struct {
	// Key is this node's identity. Required.
	Key identity.Key
	// Listen is where peers may dial: multiaddrs such as /ip4/0.0.0.0/tcp/4001,
	// or host:port. Port 0 takes a free one. Empty: this node only dials.
	Listen []string
	// Allow says who may connect and be connected to, and where. It is asked at
	// every connection and frame. Required.
	Allow *allowlist.List
	// Payloads is where payloads are kept. Required.
	Payloads Payloads
	// Logger takes what is logged; never a payload or a key. Default slog.Default().
	Logger *slog.Logger
	// Resolver looks up the host names of peers. Default net.DefaultResolver.
	Resolver Resolver

	// MaxMessageSize bounds a payload that is accepted, in bytes. Default 64 MiB.
	MaxMessageSize int64

	// DialTimeout is how long one address of a peer is tried: name lookup, TCP
	// and the handshake. All addresses of a peer together are tried for at most
	// six times that, each for its share if there are more. Default 10 s.
	DialTimeout time.Duration
	// HandshakeTimeout is how long a connection that came in may take from when it
	// is accepted until its peer has proved its key and yamux is agreed upon. Then it
	// is closed. Default 5 s.
	HandshakeTimeout time.Duration
	// FrameTimeout is how long a frame that has begun, or each further 64 KiB of
	// its payload, may take to be read, and a write of up to 64 KiB to be
	// written. Waiting between frames has no limit. Default 30 s.
	FrameTimeout time.Duration
	// KeepAlive is how long a connection may be silent before it is probed. A
	// connection whose other end is gone is found within 2.5 times that. Default
	// 10 s.
	KeepAlive time.Duration
	// CloseTimeout is how long a graceful disconnection waits for the peer to
	// read what was sent. Default 2 s.
	CloseTimeout time.Duration

	// MaxConnections bounds the connections that peers have dialled, in
	// handshake or after it. Beyond it those that haven't proved a key make room, as
	// at MaxPendingHandshakes: first those without a slot of a familiar place, and
	// for slots those of the place that has most. Default 512.
	MaxConnections int
	// MaxConnectionsPerPeer bounds the connections with one peer, in each
	// direction. Two serve where both dialled at once; the rest is for those
	// whose end hasn't been noticed. Default 4.
	MaxConnectionsPerPeer int
	// MaxConnectionsPerIP bounds the connections dialled from one IPv4 address
	// or one IPv6 /64. Default 32.
	MaxConnectionsPerIP int
	// ListedAddressesOnly takes connections only from the places that the allow list
	// names, in addresses, what their host names stand for, and pins: whatever comes
	// from elsewhere is refused before its key is looked at. An IPv6 place is a /64.
	ListedAddressesOnly bool
	// MaxPendingHandshakes bounds the connections that haven't proved a key, besides
	// those in slots of a familiar place. Beyond it, the first one of the place that
	// has most makes room for a place that has at least two less; and once half are
	// taken, a place may have four. Default 64.
	MaxPendingHandshakes int
	// ReservedHandshakes is how many connections in handshake each familiar place
	// has slots of its own for. A place, an IPv4 address or an IPv6 /64, is familiar
	// when the allow list names it, or an admitted peer has come from it: each peer's
	// last four places count, until this node stops. Silent sockets from elsewhere
	// can't lock it out. Default 8.
	ReservedHandshakes int
	// MaxHandshakesPerSecond bounds the handshakes of all places together that aren't
	// familiar: each makes this node compute. Twice as many may come at once.
	// Default 100.
	MaxHandshakesPerSecond int
	// MaxArrivalsPerSecondPerIP bounds how fast connections are taken from one place;
	// 32 may come at once. A familiar place may make 60 times as many, of
	// which one that brings no listed peer counts as ten. Default 5.
	MaxArrivalsPerSecondPerIP int
	// FramesPerSecond bounds the frames read from one peer on all its connections,
	// unless the allow list gives it another limit; ten seconds' worth may come at
	// once. Beyond it reading waits, and nothing is lost. The opening of a stream
	// counts as 8 frames, a HELLO as 16 and one more for each 64 bytes of its list, 16
	// KiB of a payload as one. Default 10,000.
	FramesPerSecond int
	// MaxStreamsPerConnection bounds the streams that either side may have open
	// on a connection: one for each exchange that is under way. A stream costs a
	// goroutine, a 4 KiB buffer and a window of 256 KiB that the peer may fill.
	// Default 256.
	MaxStreamsPerConnection int
	// MaxWindowMemoryPerPeer and MaxWindowMemory bound the receive windows
	// granted to one peer and to all, in bytes: what they can make this node
	// buffer. A peer that opens a stream beyond them loses its connection.
	// Defaults: both directions of two connections full of streams, 256 MiB if
	// MaxStreamsPerConnection is the default; and eight times that.
	MaxWindowMemoryPerPeer, MaxWindowMemory int64

	// StockNoise makes handshakes with go-libp2p's own Noise instead of ours,
	// which costs half as much; both speak with each other.
	StockNoise bool
}

// Payloads keeps payloads under numbers. Its methods are called by many
// goroutines at once and may wait for the disk.
type Payloads interface {
	// NextPayload is a number that was never given before.
	NextPayload() uint64
	// CreatePayload begins to store a payload of size bytes.
	CreatePayload(number uint64, size int64) (PayloadWriter, error)
	// OpenPayload reads a payload that is too large for one piece. ErrGone means
	// that it isn't kept any more, since its exchange ended while it waited to be
	// sent; any other error is told as journal trouble.
	OpenPayload(number uint64) (io.ReadCloser, error)
	// Payload is a payload of at most wire.MaxInline bytes, or an error as those
	// of OpenPayload. The caller doesn't change it.
	Payload(number uint64) ([]byte, error)
	// DropPayload deletes a payload that was stored and that the machine won't
	// hear of.
	DropPayload(number uint64)
}

// PayloadWriter stores one payload. Exactly one of Finish and Abort ends it.
type PayloadWriter interface {
	io.Writer
	Finish() error // as durable as what names the payload will need
	Abort()        // nothing of it is kept
}

// withDefaults fills in what is zero and refuses what can't be meant.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Key.IsZero() {
		errs = append(errs, errors.New("no key"))
	}
	if c.Allow == nil {
		errs = append(errs, errors.New("no allow list"))
	}
	if c.Payloads == nil {
		errs = append(errs, errors.New("no store for payloads"))
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	orDefault(&errs, "MaxMessageSize", &c.MaxMessageSize, 64<<20)
	orDefault(&errs, "DialTimeout", &c.DialTimeout, 10*time.Second)
	orDefault(&errs, "HandshakeTimeout", &c.HandshakeTimeout, 5*time.Second)
	orDefault(&errs, "FrameTimeout", &c.FrameTimeout, 30*time.Second)
	orDefault(&errs, "KeepAlive", &c.KeepAlive, 10*time.Second)
	orDefault(&errs, "CloseTimeout", &c.CloseTimeout, 2*time.Second)
	orDefault(&errs, "MaxConnections", &c.MaxConnections, 512)
	orDefault(&errs, "MaxConnectionsPerPeer", &c.MaxConnectionsPerPeer, 4)
	orDefault(&errs, "MaxConnectionsPerIP", &c.MaxConnectionsPerIP, 32)
	orDefault(&errs, "MaxPendingHandshakes", &c.MaxPendingHandshakes, 64)
	orDefault(&errs, "ReservedHandshakes", &c.ReservedHandshakes, 8)
	orDefault(&errs, "MaxHandshakesPerSecond", &c.MaxHandshakesPerSecond, 100)
	orDefault(&errs, "MaxArrivalsPerSecondPerIP", &c.MaxArrivalsPerSecondPerIP, 5)
	orDefault(&errs, "FramesPerSecond", &c.FramesPerSecond, 10_000)
	orDefault(&errs, "MaxStreamsPerConnection", &c.MaxStreamsPerConnection, 256)
	orDefault(&errs, "MaxWindowMemoryPerPeer", &c.MaxWindowMemoryPerPeer, 4*window*int64(c.MaxStreamsPerConnection))
	orDefault(&errs, "MaxWindowMemory", &c.MaxWindowMemory, 8*c.MaxWindowMemoryPerPeer)
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("p2p configuration: %w", err)
	}
	return c, nil
}

func orDefault[T int | int64 | time.Duration](errs *[]error, name string, value *T, otherwise T) {
	switch {
	case *value == 0:
		*value = otherwise
	case *value < 0:
		*errs = append(*errs, fmt.Errorf("%s is negative", name))
	}
}
