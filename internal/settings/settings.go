// Package settings is what a node is run with: the file parley.toml in its
// directory, the environment and the command line, of which the later goes before
// the earlier. It is read strictly: a name that isn't known is refused with its line,
// since a limit that is silently passed over is none.
package settings

import (
	"errors"
	"time"

	"github.com/parley-p2p/parley"
)

// File is the name of the settings in a node's directory. The others are what the
// node keeps beside it.
const (
	File      = "parley.toml"
	Key       = "parley.key"
	AllowList = "peers.toml"
	Journal   = "journal"
)

// Settings are those of a node. The tag doc is what the file says of each; default is
// what holds where nothing is set, with none the library's own (see parley.Config).
type Settings struct {
	Listen   string   `toml:"listen" doc:"where peers reach this node: host:port or a multiaddr; empty: it only dials" default:"0.0.0.0:4001"`
	API      API      `toml:"api"`
	Log      Log      `toml:"log"`
	Timeouts Timeouts `toml:"timeouts"`
	Gate     Gate     `toml:"gate"`
	Limits   Limits   `toml:"limits"`
	// Programs answer requests; they are set in the file alone.
	Programs []Program `toml:"program"`
}

// Program is a table [[program]]: see package programs. What isn't set has its default.
type Program struct {
	Lane        string   `toml:"lane"`
	Command     any      `toml:"command"` // a path, or a list of a path and arguments
	Concurrency int      `toml:"concurrency"`
	TimeLimit   Duration `toml:"time_limit"`
	Attempts    int      `toml:"attempts"`
	RetryMin    Duration `toml:"retry_min"`
	RetryMax    Duration `toml:"retry_max"`
}

// API is where programs of the node's owner reach it.
type API struct {
	Socket string `toml:"socket" doc:"a unix socket that only the node's user can reach, in this directory unless it is an absolute path" default:"parley.sock"`
	TCP    string `toml:"tcp" doc:"a loopback address besides, for those who send a token: the files admin.token and readonly.token here" default:""`
}

// Log is what the node says of itself.
type Log struct {
	Level  string `toml:"level" doc:"debug, info, warn or error" default:"info"`
	Format string `toml:"format" doc:"text or json" default:"text"`
}

// Timeouts are those of parley.Config.
type Timeouts struct {
	Idle       Duration `toml:"idle" doc:"how long a connection stays after its last exchange" default:"30s"`
	Disconnect Duration `toml:"disconnect" doc:"a connection without progress is closed" default:"30s"`
	Ack        Duration `toml:"ack" doc:"an acknowledgement is waited for" default:"10s"`
	RetryMax   Duration `toml:"retry_max" doc:"bounds the growing delay between attempts" default:"30s"`
	PollMax    Duration `toml:"poll_max" doc:"likewise, to fetch a late reply" default:"5m"`
	Dial       Duration `toml:"dial" doc:"one address of a peer is tried" default:"10s"`
	Handshake  Duration `toml:"handshake" doc:"a key is proved" default:"5s"`
	Frame      Duration `toml:"frame" doc:"a frame, or 64 KiB of it, is read or written" default:"30s"`
	KeepAlive  Duration `toml:"keep_alive" doc:"a silent connection is probed" default:"10s"`
	Close      Duration `toml:"close" doc:"a connection that is closed waits for its peer" default:"2s"`
	KeepOutMax Duration `toml:"keep_out_max" doc:"a peer that broke the protocol is kept out, at most" default:"1h"`
}

// Gate is how strangers are met, and connections counted.
type Gate struct {
	ListedAddressesOnly  bool `toml:"listed_addresses_only" doc:"refuse connections from where no listed peer is" default:"false"`
	StockNoise           bool `toml:"stock_noise" doc:"handshakes by go-libp2p's own Noise" default:"false"`
	Connections          int  `toml:"connections" doc:"dialled by peers, in total" default:"512"`
	ConnectionsPerPeer   int  `toml:"connections_per_peer" doc:"in each direction" default:"4"`
	ConnectionsPerIP     int  `toml:"connections_per_ip" doc:"from one IPv4 address or IPv6 /64" default:"32"`
	PendingHandshakes    int  `toml:"pending_handshakes" doc:"connections that haven't proved a key" default:"64"`
	HandshakesPerSecond  int  `toml:"handshakes_per_second" doc:"with unfamiliar places together" default:"100"`
	ArrivalsPerSecondIP  int  `toml:"arrivals_per_second_per_ip" doc:"connections taken from one place" default:"5"`
	StreamsPerConnection int  `toml:"streams_per_connection" doc:"exchanges under way on a connection" default:"256"`
}

// Limits are those of one peer, which the allow list can set for each, and in total.
type Limits struct {
	MessageSize        int64    `toml:"message_size" doc:"bytes of a request or reply" default:"67108864"`
	ExchangesPerSecond int      `toml:"exchanges_per_second" doc:"new requests of a peer" default:"500"`
	BytesPerSecond     int64    `toml:"bytes_per_second" doc:"of its payloads" default:"67108864"`
	FramesPerSecond    int      `toml:"frames_per_second" doc:"read from a peer" default:"10000"`
	OpenPerPeer        int      `toml:"open_per_peer" doc:"a peer's requests stored here and not ended" default:"4096"`
	StoredPerPeer      int64    `toml:"stored_per_peer" doc:"bytes of them" default:"1073741824"`
	QueuedPerPeer      int      `toml:"queued_per_peer" doc:"requests made here of a peer, not ended or not committed" default:"16384"`
	Open               int      `toml:"open" doc:"of all peers together" default:"65536"`
	Stored             int64    `toml:"stored" doc:"bytes, of all together" default:"8589934592"`
	Queued             int      `toml:"queued" doc:"of all together" default:"131072"`
	PayloadMemory      int64    `toml:"payload_memory" doc:"bytes of payloads held in memory" default:"67108864"`
	History            int      `toml:"history" doc:"ended exchanges that are remembered, without payloads" default:"10000"`
	HistoryAge         Duration `toml:"history_age" doc:"and for how long" default:"168h"`
}

// Duration is written as 30s, 5m or 1h.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// withoutUnit finds a bare number, which the decoder takes for nanoseconds.
func (d Duration) withoutUnit() bool { return d > 0 && time.Duration(d) < time.Millisecond }

var errUnit = errors.New("write a duration with its unit, as in 30s")

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Config is the settings as the handler takes them.
func (s Settings) Config() parley.Config {
	t, g, l := s.Timeouts, s.Gate, s.Limits
	return parley.Config{
		ExplicitCommit: true, ExplicitTake: true,

		IdleTimeout: time.Duration(t.Idle), DisconnectionTimeout: time.Duration(t.Disconnect), AckTimeout: time.Duration(t.Ack),
		RetryMax: time.Duration(t.RetryMax), PollMax: time.Duration(t.PollMax), DialTimeout: time.Duration(t.Dial),
		HandshakeTimeout: time.Duration(t.Handshake), FrameTimeout: time.Duration(t.Frame), KeepAlive: time.Duration(t.KeepAlive),
		CloseTimeout: time.Duration(t.Close), KeepOutMax: time.Duration(t.KeepOutMax),

		ListedAddressesOnly: g.ListedAddressesOnly, StockNoise: g.StockNoise, MaxConnections: g.Connections,
		MaxConnectionsPerPeer: g.ConnectionsPerPeer, MaxConnectionsPerIP: g.ConnectionsPerIP, MaxPendingHandshakes: g.PendingHandshakes,
		MaxHandshakesPerSecond: g.HandshakesPerSecond, MaxArrivalsPerSecondPerIP: g.ArrivalsPerSecondIP, MaxStreamsPerConnection: g.StreamsPerConnection,

		MaxMessageSize: l.MessageSize, ExchangesPerSecond: l.ExchangesPerSecond, BytesPerSecond: l.BytesPerSecond, FramesPerSecond: l.FramesPerSecond,
		MaxOpenPerPeer: l.OpenPerPeer, MaxStoredPerPeer: l.StoredPerPeer, MaxQueuedPerPeer: l.QueuedPerPeer,
		MaxOpen: l.Open, MaxStored: l.Stored, MaxQueued: l.Queued, PayloadMemory: l.PayloadMemory, History: l.History, HistoryAge: time.Duration(l.HistoryAge),
	}
}
