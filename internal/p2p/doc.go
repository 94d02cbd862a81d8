// Package p2p is the P2P protocol: all of libp2p behind three channels. It
// knows connections, streams and frames; what a frame means is the business of
// the state machine, whose actions it carries out and whose inputs it reports.
//
//	mediator   Sender ──▶ dispatch             Receiver      Priority
//	                        │                      ▲             ▲
//	           dial ◀───────┤ Dial              inbox          notices
//	             │          │                      ▲             ▲
//	             ▼          ▼ Send                 │             │
//	         connection ── stream ── write      stream ── read   │
//	             ▲                   │             ▲             │
//	             │                   ▼             │             │
//	  accept ────┘              yamux, Noise, TCP: libp2p ── gate┘
//
// # Goroutines
//
// One dispatches actions and never waits for a peer. Each listener has one that
// accepts connections, each dial one until it has ended, each connection one
// that accepts its streams, and each stream one that reads it. A stream has a
// second one while there is something to write, and what is queued meanwhile
// goes out in one write. A stream reports a frame before it reads the next, so
// that a mediator which takes nothing holds up at most one frame of each stream,
// and TCP the rest. [Protocol.Close] leaves no goroutine.
//
// # libp2p
//
// What is used lies below libp2p's host and below its swarm: the TCP transport,
// the upgrader, Noise with yamux agreed upon within its handshake, and
// multistream on each stream. Nothing else is linked in. Without Identify and
// the swarm's bookkeeping a connection is made 1.5 times as fast. Dials use a
// port of their own: from the listening port, two nodes that dial each other at
// once would get in each other's way.
//
// # Streams
//
// The first frames of a stream that this node opens travel in one write with the
// question for the protocol, and its answer with the first frame back. A payload
// of up to [wire.MaxInline] bytes is read with its frame. A larger one is
// offered to the machine first, and nothing is allocated for it before it is
// accepted; then it is hashed and stored in pieces of 64 KiB. While one is being
// written the stream is read, so that the peer can refuse it.
//
// A connection that is closed gracefully has each of its streams ended behind
// what is queued, and is closed when the peer has ended them too. Closing at
// once loses what the peer hasn't read: libp2p closes sockets with a reset.
//
// # Limits
//
// Whatever peers do stays below these, and is told by the notice or input named.
// docs/limits.md has the values, and what is remembered of peers and places.
//
//	bound                         where                      what tells of it
//	ListedAddressesOnly           gate, before Noise         StrangerRefused, Refusals
//	MaxConnections, …PerIP        gate, before Noise         ConnectionLimit, Refusals
//	MaxPendingHandshakes and      gate, before Noise         ConnectionLimit, Refusals
//	ReservedHandshakes
//	MaxArrivalsPerSecondPerIP     gate, before Noise         ConnectionLimit, Refusals
//	MaxHandshakesPerSecond        gate, before Noise         ConnectionLimit, Refusals
//	HandshakeTimeout              upgrader                   Refusals
//	maxUnproved bytes             sockets                    Refusals
//	the allow list and its pins   gate, frames and sends     StrangerRefused, DialFailed, Refusals
//	MaxConnectionsPerPeer         gate, after Noise          ConnectionLimit, DialFailed, Refusals
//	maxTimeouts of one dial       dial                       DialFailed
//	maxAddresses of one dial      dial                       —
//	MaxStreamsPerConnection       accept of streams          ConnectionLimit; Closed
//	a peer's MaxStreams           accept of streams          PeerLimited
//	MaxWindowMemory, …PerPeer     libp2p's resource manager  ConnectionLimit; Closed
//	FramesPerSecond               reading                    PeerLimited; streams wait
//	maxQueued frames of a stream  Send                       Closed
//	FrameTimeout                  reading and writing        MessageDropped; Closed
//	MaxMessageSize                Accept                     MessageDropped; Closed
//	one HELLO of a connection     reading                    streams wait
//	maxReady inputs, and one      inbox                      streams wait
//	more of each stream
//	maxNotices                    Priority                   put together and counted
//	maxNames                      gate                       the log
//
// Where MaxConnections or MaxPendingHandshakes is reached, connections that haven't
// proved a key make room: those of the place that has most, for places with fewer.
//
// Refusals by address are told at the first and then every ten seconds, with their
// number; a limit of a peer's own when it is reached, and again after a minute
// without.
//
// FramesPerSecond holds for all connections of a peer, and a new connection brings
// no new burst. Beyond it reading of the peer's streams waits: their windows fill,
// and the peer waits too. The connection lives on meanwhile, since keepalives are
// yamux's and not paced, and no deadline runs.
//
// Each stream costs a goroutine, a readBuffer, and as much as its window lets the
// peer send ahead, which grows while less than half of the peer's window memory is
// in use.
//
// libp2p's own resource manager bounds the memory of windows and nothing else, on
// purpose. Its limits on connections and streams, some of which are on by default,
// reset without a reason that could be told, and count 64 streams where an exchange
// needs one; the gate and the connections count the same and name what was hit. Its
// metrics are off, which cost 5% of an exchange.
package p2p
