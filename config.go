package parley

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/parley-p2p/parley/allowlist"
)

// Config is how a Handler behaves; zero means the default written at the field.
type Config struct {
	// AllowList says who may connect and be connected to. Nil admits nobody.
	AllowList *allowlist.List
	// Dir holds the journal. It is created with mode 0700; messages lie in it
	// unencrypted. Empty keeps the journal in memory: a crash loses it.
	Dir string
	// ExplicitCommit: a reply or failure is given again after a crash until
	// Commit; otherwise asking for the next event commits the one before.
	ExplicitCommit bool
	// Logger takes what the handler logs; never a payload or a key.
	// Default slog.Default().
	Logger *slog.Logger

	// IdleTimeout is how long a connection that this node dialled stays after
	// its last exchange has ended. Default 0: it is closed at once.
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
	// KeepAlive is how long a connection may be silent before it is probed; one
	// whose other end is gone is found within 2.5 times that. Default 10 s.
	KeepAlive time.Duration

	// MaxConnections bounds the connections that peers have dialled,
	// MaxConnectionsPerPeer those with one peer in each direction, and
	// MaxConnectionsPerIP those from one IPv4 address or IPv6 /64.
	// Defaults 512, 4 and 32.
	MaxConnections, MaxConnectionsPerPeer, MaxConnectionsPerIP int

	// MaxMessageSize bounds a request's and a reply's bytes. Default 64 MiB.
	MaxMessageSize int64
	// MaxQueuedPerPeer and MaxQueued bound the requests made here that haven't
	// ended, or whose end isn't committed. The protocol allows 65,536 open ones of
	// a peer. Defaults 16,384 and 131,072.
	MaxQueuedPerPeer, MaxQueued int
	// MaxOpenPerPeer and MaxOpen bound peers' requests that are stored here and
	// not ended. Defaults 4,096 and 65,536.
	MaxOpenPerPeer, MaxOpen int
	// MaxStoredPerPeer and MaxStored bound the bytes kept of peers' requests
	// and, counted apart, of peers' replies; MaxStored also, apart again, those
	// of the requests made here. Defaults 1 GiB and 8 GiB.
	MaxStoredPerPeer, MaxStored int64
	// PayloadMemory bounds the payload bytes held in memory besides those on
	// their way to the application. Default 64 MiB.
	PayloadMemory int64
	// History is how many ended exchanges are remembered, without payloads, of those
	// made here and as many of those made by peers; HistoryAge is for how long. Defaults 10,000 and 7 days.
	History    int
	HistoryAge time.Duration
}

const (
	retryMin   = 100 * time.Millisecond // the first delay between attempts
	maxStreams = 128                    // opened by this node, of one connection
	maxKey     = 128                    // bytes of an idempotency key
	// maxInlineBatch is how many payload bytes of one Send are written together
	// with their records: a larger batch would be slow to commit.
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
		fill("HistoryAge", &c.HistoryAge, 7*24*time.Hour),
		fill("DialTimeout", &c.DialTimeout, 10*time.Second),
		fill("KeepAlive", &c.KeepAlive, 10*time.Second),
		fill("MaxQueuedPerPeer", &c.MaxQueuedPerPeer, 16<<10),
		fill("MaxQueued", &c.MaxQueued, 128<<10),
		fill("MaxOpenPerPeer", &c.MaxOpenPerPeer, 4<<10),
		fill("MaxOpen", &c.MaxOpen, 64<<10),
		fill("History", &c.History, 10_000),
		fill("MaxConnections", &c.MaxConnections, 512),
		fill("MaxConnectionsPerPeer", &c.MaxConnectionsPerPeer, 4),
		fill("MaxConnectionsPerIP", &c.MaxConnectionsPerIP, 32),
		fill("MaxMessageSize", &c.MaxMessageSize, 64<<20),
		fill("MaxStoredPerPeer", &c.MaxStoredPerPeer, 1<<30),
		fill("MaxStored", &c.MaxStored, 8<<30),
		fill("PayloadMemory", &c.PayloadMemory, 64<<20),
	)
	return c, err
}

// fill puts a field's default where it is zero, and refuses less.
func fill[T int | int64 | time.Duration](name string, field *T, zero T) error {
	if *field < 0 {
		return fmt.Errorf("Config.%s is %v: want more, or 0 for the default of %v", name, *field, zero)
	}
	*field = cmp.Or(*field, zero)
	return nil
}
