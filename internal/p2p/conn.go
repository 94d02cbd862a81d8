package p2p

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// rememberedStreams bounds the ended streams of this node that a connection
// remembers by number. The machine may go on sending on one until it has taken
// its Closed, and that must not open the stream anew.
const rememberedStreams = 1024

// connection is a connection from Connected to Disconnected. One goroutine
// accepts its streams and outlives all others that serve it.
type connection struct {
	p       *Protocol
	number  fsm.Conn
	id      peer.ID
	member  identity.ID // the same, as the allow list knows it
	muxed   transport.CapableConn
	address string
	at      netip.Addr // of address
	dialed  bool
	budget  *budget // of the peer

	hello   chan struct{} // taken by the stream that reads a HELLO
	over    chan struct{} // closed when the connection is gone, before its streams end
	running sync.WaitGroup

	mu      sync.Mutex
	gone    bool                   // nothing more starts
	streams map[fsm.Stream]*stream // one for each stream
	opened  int                    // of streams, those of this node
	highest fsm.Stream
	ended   []fsm.Stream // a ring of this node's last ended streams, at most rememberedStreams
	oldest  int          // in ended

	closing bool        // a graceful disconnection is under way
	ending  atomic.Bool // this node is closing the connection, for the reason in cause: its streams bring nothing more; set under mu
	cause   error       // nil when it was asked to
	clean   bool
}

// serve runs a connection that has proved an admitted key, unless the protocol
// was closed meanwhile. atEnd, if not nil, is called when it is over.
func (p *Protocol) serve(muxed transport.CapableConn, address string, dialed bool, atEnd func()) {
	member, err := listed(muxed.RemotePeer())
	var at netip.Addr
	if m, err := ma.NewMultiaddr(address); err == nil {
		at = ipOf(m)
	}
	c := &connection{
		p:       p,
		id:      muxed.RemotePeer(),
		member:  member,
		muxed:   muxed,
		address: address,
		at:      at,
		dialed:  dialed,
		hello:   make(chan struct{}, 1),
		over:    make(chan struct{}),
		streams: make(map[fsm.Stream]*stream),
	}
	end := func() {
		if atEnd != nil {
			atEnd()
		}
	}
	if err != nil || !p.start(c, func() { c.run(); end() }) {
		muxed.Close()
		end()
	}
}

// run reports Connected, accepts streams until the connection ends and reports
// Disconnected when all else of it has been reported.
func (c *connection) run() {
	c.p.report(c.id, fsm.Connected{Conn: c.number, Peer: peerOf(c.id), Dialed: c.dialed, Address: c.address})
	// The list may have changed since the handshake.
	if err := c.p.gate.admitAt(c.id, c.at); err != nil {
		c.close(err)
	}
	err := c.accept()
	c.noteMemory(err)

	c.mu.Lock()
	c.gone = true
	d := fsm.Disconnected{Conn: c.number, Clean: c.clean, Err: c.cause}
	if !c.ending.Load() && !(len(c.streams) == 0 && endOfConnection(err)) {
		d.Err = fmt.Errorf("connection with %s lost: %w", c.address, err)
	}
	c.mu.Unlock()
	close(c.over)
	c.muxed.Close()
	c.running.Wait()
	c.p.forget(c)
	c.p.log.Debug("disconnected", "peer", c.id, "address", c.address, "clean", d.Clean, "error", d.Err)
	c.p.report(c.id, d)
}

// noteMemory tells of a window that the resource manager didn't grant.
func (c *connection) noteMemory(err error) {
	if errors.Is(err, network.ErrResourceLimitExceeded) {
		c.p.notices.post(fsm.Notice{
			Kind: fsm.ConnectionLimit, Peer: peerOf(c.id), Address: c.address,
			Detail: "MaxWindowMemoryPerPeer or MaxWindowMemory: " + err.Error(),
		})
	}
}

// endOfConnection tells an end by the other side from a failure. libp2p closes
// with a reset so that no socket lingers.
func endOfConnection(err error) bool {
	var byPeer *network.ConnError
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &byPeer) && byPeer.Remote
}

// accept serves the streams that the peer opens.
func (c *connection) accept() error {
	for {
		muxed, err := c.muxed.AcceptStream()
		if err != nil {
			return err
		}
		c.mu.Lock()
		if len(c.streams)-c.opened >= c.p.config.MaxStreamsPerConnection {
			c.mu.Unlock()
			muxed.Reset()
			c.p.notices.post(fsm.Notice{
				Kind: fsm.ConnectionLimit, Peer: peerOf(c.id), Address: c.address,
				Detail: fmt.Sprintf("MaxStreamsPerConnection: %d streams", c.p.config.MaxStreamsPerConnection),
			})
			continue
		}
		if !c.budget.openStream(time.Now()) {
			c.mu.Unlock()
			muxed.Reset()
			continue
		}
		s := newStream(c, c.p.nextInbound())
		s.muxed, s.duplex, s.serving = muxed, muxed, true
		c.streams[s.number] = s
		c.mu.Unlock()
		c.start(s.serveInbound)
	}
}

// start runs f in a goroutine that the connection's end waits for; not when
// the end has come already.
func (c *connection) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.running.Go(f) // at most three for each stream and one for each connection
	return true
}

// stream finds the stream to send on, and makes one that this node opens and
// hasn't yet. It is nil for one that has ended.
func (c *connection) stream(number fsm.Stream) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[number]; s != nil {
		return s
	}
	theirs := number%2 == 1
	if theirs || c.gone || c.closing || number <= c.highest && slices.Contains(c.ended, number) {
		return nil
	}
	c.highest = max(c.highest, number)
	s := newStream(c, number)
	s.mine = true
	c.streams[number] = s
	c.opened++
	s.crowded = c.opened > c.p.config.MaxStreamsPerConnection
	return s
}

func (c *connection) existing(number fsm.Stream) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[number]
}

// remove forgets a stream that has ended.
func (c *connection) remove(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s.number)
	if !s.mine {
		c.budget.closeStream()
		return
	}
	c.opened--
	if len(c.ended) < rememberedStreams {
		c.ended = append(c.ended, s.number)
		return
	}
	c.ended[c.oldest] = s.number
	c.oldest = (c.oldest + 1) % rememberedStreams
}

// leaving says whether the end of the connection stands for that of its streams.
func (c *connection) leaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone || c.closing || c.ending.Load()
}

// violate ends all connections with a peer that broke the protocol on this one,
// and keeps the peer out until the machine has said for how long.
func (c *connection) violate(rule string) {
	c.p.gate.shunProvisionally(c.id)
	c.close(&ViolationError{Rule: rule})
	c.p.disconnect(peerOf(c.id), ErrShunned) // the others
	c.p.gate.sever(c.id)                     // what isn't a connection yet
	c.p.report(c.id, fsm.Violated{Conn: c.number, Rule: rule})
}

// close ends the connection at once. The first cause counts. From here on no
// stream reads further, and what one has read is dropped.
func (c *connection) close(cause error) {
	c.mu.Lock()
	if !c.ending.Load() {
		c.cause = cause
		c.ending.Store(true)
	}
	c.mu.Unlock()
	c.muxed.Close()
}

// closeGracefully ends this node's side of every stream behind what is queued
// on it, waits until the peer has read all of that and ended its own side, and
// then closes: closing at once would lose the last acknowledgement.
func (c *connection) closeGracefully() {
	c.mu.Lock()
	if c.closing || c.gone {
		c.mu.Unlock()
		return
	}
	c.closing = true
	streams := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		streams = append(streams, s)
	}
	c.mu.Unlock()

	for _, s := range streams {
		s.endWriting()
	}
	c.start(func() { c.awaitEnd(streams) })
}

func (c *connection) awaitEnd(streams []*stream) {
	timeout := time.NewTimer(c.p.config.CloseTimeout)
	defer timeout.Stop()
	clean := true
	for _, s := range streams {
		select {
		case <-s.ended:
			clean = clean && s.orderly
		case <-timeout.C:
			c.close(nil)
			return
		case <-c.over:
			return
		}
	}
	c.mu.Lock()
	if !c.ending.Load() {
		c.clean = clean
	}
	c.mu.Unlock()
	c.close(nil)
}
