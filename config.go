package parley

import (
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

	// MaxMessageSize bounds a request's and a reply's bytes. Default 64 MiB.
	MaxMessageSize int64
	// MaxQueuedPerPeer and MaxQueued bound the requests made here and not ended.
	// Defaults 16,384 and 131,072.
	MaxQueuedPerPeer, MaxQueued int
	// MaxOpenPerPeer and MaxOpen bound peers' requests that are stored here and
	// not ended. Defaults 4,096 and 65,536.
	MaxOpenPerPeer, MaxOpen int
	// MaxStoredPerPeer and MaxStored bound the bytes kept of peers' requests
	// and, counted apart, of peers' replies. Defaults 1 GiB and 8 GiB.
	MaxStoredPerPeer, MaxStored int64
	// PayloadMemory bounds the payload bytes held in memory besides those on
	// their way to the application. Default 64 MiB.
	PayloadMemory int64
	// History is how many ended exchanges are remembered, without payloads, and
	// HistoryAge for how long. Defaults 10,000 and 7 days.
	History    int
	HistoryAge time.Duration
}
