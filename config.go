package parley

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/parley-p2p/parley/allowlist"
)

// Config is how a Handler behaves; zero means the default written at the field,
// and nothing may be negative. The fields come in this order: the node, timeouts,
// connections and strangers, limits of one peer, limits in total. What one peer may
// do can be set for each in the allow list; see allowlist.Limits.
type Config struct {
	// AllowList says who may connect and be connected to. Nil admits nobody.
	AllowList *allowlist.List
	// Dir holds the journal, and allowlist.log with every change of the allow list.
	// It is created with mode 0700; messages lie in it unencrypted. Empty keeps the
	// journal in memory, where a crash loses it, and changes go to Logger alone.
	Dir string
	// ExplicitCommit: a reply or failure is given again after a crash until
	// Commit; otherwise asking for the next event commits the one before.
	ExplicitCommit bool
	// ExplicitTake: events come without their Body, which Handler.Body reads, and a
	// request counts as taken by the application, which its dialer is told, only by
	// Handler.Take. For programs that pass events on to others.
	ExplicitTake bool
	// Logger takes what the handler logs; never a payload or a key.
	// Default slog.Default().
	Logger *slog.Logger

	// Timeouts.

	// IdleTimeout is how long a connection that this node dialled stays after
	// its last exchange has ended. Default 0: it is closed at once. Where exchanges
	// follow one another it should outlast the pauses: connecting costs both sides a
	// handshake, and the peer's limits hold it to MaxArrivalsPerSecondPerIP.
	IdleTimeout time.Duration
	// DisconnectionTimeout closes a connection on which nothing makes progress;
	// what is open on it resumes on another. Default 30 s.
	DisconnectionTimeout time.Duration
	// AckTimeout is how long an acknowledgement is waited for before the
	// message is resumed. Default 10 s.
	AckTimeout time.Duration
	// RetryMax bounds the growing delay between attempts after a failed dial or
	// a negative acknowledgement. Default 30 s.
	RetryMax time.Duration
	// PollMax bounds the growing delay between attempts to fetch a late reply
	// from a peer that can't be reached. Default 5 min.
	PollMax time.Duration
	// DialTimeout is how long one address of a peer is tried; all of them together
	// at most six times that. Default 10 s.
	DialTimeout time.Duration
	// HandshakeTimeout is how long whoever dialled may take to prove a key.
	// Default 5 s.
	HandshakeTimeout time.Duration
	// FrameTimeout is how long a frame that has begun, or each further 64 KiB of
	// its payload, may take to be read, and 64 KiB to be written. Default 30 s.
	FrameTimeout time.Duration
	// KeepAlive is how long a connection may be silent before it is probed; one
	// whose other end is gone is found within 2.5 times that. Default 10 s.
	KeepAlive time.Duration
	// CloseTimeout is how long a connection that is closed in order waits for the
	// peer to read what was sent. Default 2 s.
	CloseTimeout time.Duration
	// KeepOutMax bounds how long a peer that broke the protocol is kept out: a
	// second at first, and twice as long each time, until a day has passed
	// without. Default 1 h.
	KeepOutMax time.Duration

	// Connections and strangers.

	// ListedAddressesOnly refuses a connection before its handshake unless the
	// allow list names the IP that it comes from: by an address, a host name or a
	// pin. It is for groups whose members don't move. Default false.
	ListedAddressesOnly bool
	// StockNoise has handshakes made by go-libp2p's own Noise instead of ours, which
	// costs half as much. On the wire both are the same.
	StockNoise bool
	// MaxConnections bounds the connections that peers have dialled,
	// MaxConnectionsPerPeer those with one peer in each direction, and
	// MaxConnectionsPerIP those from one IPv4 address or IPv6 /64. More are refused.
	// Defaults 512, 4 and 32.
	MaxConnections, MaxConnectionsPerPeer, MaxConnectionsPerIP int
	// MaxPendingHandshakes bounds the connections that haven't proved a key. More are
	// refused, or take the room of the IP that has most. Each place from which listed
	// peers come has ReservedHandshakes besides, so that strangers can't lock it out.
	// Defaults 64 and 8.
	MaxPendingHandshakes, ReservedHandshakes int
	// MaxHandshakesPerSecond bounds the handshakes begun with unfamiliar places
	// together, and at once twice as many: each is computing that anybody can
	// cause. More are refused. Default 100.
	MaxHandshakesPerSecond int
	// MaxArrivalsPerSecondPerIP bounds the connections taken from one IPv4 address
	// or IPv6 /64; 32 may come at once. From a place where listed peers come from
	// 60 times as many, of which one that brings no listed peer counts as ten.
	// Default 5.
	MaxArrivalsPerSecondPerIP int
	// MaxStreamsPerConnection bounds the streams that a peer may have open on a
	// connection, one for each exchange under way; more are reset. This node opens
	// half as many. Default 256.
	MaxStreamsPerConnection int
	// MaxWindowMemoryPerPeer and MaxWindowMemory bound the bytes that one peer, and
	// all, can make this node buffer before it has read them. Whoever opens a stream
	// beyond them loses the connection, and resumes. Defaults: as much as two connections full of streams take, 256 MiB unless
	// MaxStreamsPerConnection is set; and eight times that.
	MaxWindowMemoryPerPeer, MaxWindowMemory int64

	// Limits of one peer. Those of the peer's own in the allow list go before them.

	// ExchangesPerSecond bounds the new requests taken from a peer, and
	// BytesPerSecond their payloads; after a pause ten seconds' worth may come at
	// once, and never less than one message of MaxMessageSize. Beyond them the peer
	// is told to try again later, and when. Defaults 500 and 64 MiB.
	ExchangesPerSecond int
	BytesPerSecond     int64
	// FramesPerSecond bounds the frames of any kind that are read from a peer, 16
	// KiB of a payload counting as one and a stream that it opens as eight; after a
	// pause ten seconds' worth may come at once. Beyond it they wait unread, and none
	// is lost. Default 10,000.
	FramesPerSecond int
	// MaxOpenPerPeer bounds a peer's requests that are stored here and not ended.
	// Beyond it the peer is told to try again later. Default 4,096.
	MaxOpenPerPeer int
	// MaxStoredPerPeer bounds the bytes kept of a peer's requests and, counted
	// apart, of its replies; beyond it likewise. Default 1 GiB.
	MaxStoredPerPeer int64
	// MaxQueuedPerPeer bounds the requests made here of a peer that haven't ended,
	// or whose end isn't committed; one more is ErrQueueFull. The protocol allows
	// 65,536 open ones. Default 16,384.
	MaxQueuedPerPeer int

	// Limits in total.

	// MaxMessageSize bounds a request's and a reply's bytes. One of the application's
	// that is larger is ErrTooLarge, one of a peer's is rejected. Default 64 MiB.
	MaxMessageSize int64
	// MaxOpen, MaxStored and MaxQueued are the same as of one peer, for all
	// together, though every peer always has room for one message. MaxStored also
	// bounds, counted apart, the bytes of the requests made here.
	// Defaults 65,536, 8 GiB and 131,072.
	MaxOpen   int
	MaxStored int64
	MaxQueued int
	// PayloadMemory bounds the payload bytes held in memory besides those on
	// their way to the application. Default 64 MiB.
	PayloadMemory int64
	// History is how many ended exchanges are remembered, without payloads, of those
	// made here and as many of those made by peers; HistoryAge is for how long.
	// Defaults 10,000 and 7 days.
	History    int
	HistoryAge time.Duration
}

const (
	// retryMin is the first delay between attempts, which then grows.
	retryMin = 100 * time.Millisecond
	// maxKey bounds an idempotency key in bytes; a longer one is refused.
	maxKey = 128
	// maxInlineBatch bounds the payload bytes of one Send that are written together
	// with their records; what is beyond is written before them, by the caller.
	maxInlineBatch = 1 << 20
)

// withDefaults fills in what is zero, and refuses what can't work.
func (c Config) withDefaults() (Config, error) {
	if c.AllowList == nil {
		list, err := allowlist.New()
		if err != nil {
			return c, err
		}
		c.AllowList = list
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	err := errors.Join(
		fill("IdleTimeout", &c.IdleTimeout, 0),
		fill("DisconnectionTimeout", &c.DisconnectionTimeout, 30*time.Second),
		fill("AckTimeout", &c.AckTimeout, 10*time.Second),
		fill("RetryMax", &c.RetryMax, 30*time.Second),
		fill("PollMax", &c.PollMax, 5*time.Minute),
		fill("DialTimeout", &c.DialTimeout, 10*time.Second),
		fill("HandshakeTimeout", &c.HandshakeTimeout, 5*time.Second),
		fill("FrameTimeout", &c.FrameTimeout, 30*time.Second),
		fill("KeepAlive", &c.KeepAlive, 10*time.Second),
		fill("CloseTimeout", &c.CloseTimeout, 2*time.Second),
		fill("KeepOutMax", &c.KeepOutMax, time.Hour),

		fill("MaxConnections", &c.MaxConnections, 512),
		fill("MaxConnectionsPerPeer", &c.MaxConnectionsPerPeer, 4),
		fill("MaxConnectionsPerIP", &c.MaxConnectionsPerIP, 32),
		fill("MaxPendingHandshakes", &c.MaxPendingHandshakes, 64),
		fill("ReservedHandshakes", &c.ReservedHandshakes, 8),
		fill("MaxHandshakesPerSecond", &c.MaxHandshakesPerSecond, 100),
		fill("MaxArrivalsPerSecondPerIP", &c.MaxArrivalsPerSecondPerIP, 5),
		fill("MaxStreamsPerConnection", &c.MaxStreamsPerConnection, 256),
		fill("MaxWindowMemoryPerPeer", &c.MaxWindowMemoryPerPeer, 0), // of which the P2P protocol knows the default
		fill("MaxWindowMemory", &c.MaxWindowMemory, 0),

		fill("ExchangesPerSecond", &c.ExchangesPerSecond, 500),
		fill("BytesPerSecond", &c.BytesPerSecond, 64<<20),
		fill("FramesPerSecond", &c.FramesPerSecond, 10_000),
		fill("MaxOpenPerPeer", &c.MaxOpenPerPeer, 4<<10),
		fill("MaxStoredPerPeer", &c.MaxStoredPerPeer, 1<<30),
		fill("MaxQueuedPerPeer", &c.MaxQueuedPerPeer, 16<<10),

		fill("MaxMessageSize", &c.MaxMessageSize, 64<<20),
		fill("MaxOpen", &c.MaxOpen, 64<<10),
		fill("MaxStored", &c.MaxStored, 8<<30),
		fill("MaxQueued", &c.MaxQueued, 128<<10),
		fill("PayloadMemory", &c.PayloadMemory, 64<<20),
		fill("History", &c.History, 10_000),
		fill("HistoryAge", &c.HistoryAge, 7*24*time.Hour),
	)
	return c, err
}

// fill puts a field's default where it is zero, and refuses less.
func fill[T int | int64 | time.Duration](name string, field *T, otherwise T) error {
	if *field < 0 {
		return fmt.Errorf("Config.%s is %v: want more, or 0 for its default", name, *field)
	}
	*field = cmp.Or(*field, otherwise)
	return nil
}
