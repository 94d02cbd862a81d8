package p2p

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
)

// Protocol is a node's side of the network. Its methods may be called by many
// goroutines at once.
type Protocol struct {
	config    Config
	log       *slog.Logger
	self      peer.ID
	gate      *gate
	notices   *notices
	stack     *stack
	protocols *multistream.MultistreamMuxer[protocol.ID]
	listeners []transport.Listener // one for each listen address
	sockets   dialer

	sender  chan []fsm.Action
	inbox   *inbox
	inHand  chan struct{} // taken by payloads in hand, at most maxInHand
	dialing chan struct{} // taken by dials, at most maxDials

	ctx         context.Context
	stop        context.CancelFunc
	unsubscribe func() // from the allow list
	running     sync.WaitGroup
	inbound     atomic.Uint64 // streams opened by peers so far

	mu          sync.Mutex
	closed      bool
	connections map[fsm.Conn]*connection // one for each connection
	budgets     map[peer.ID]*budget      // one for each connection at most, and maxBudgets
	last        fsm.Conn
	touched     []*stream // of dispatch: has frames to be flushed; one for each stream at most
}

// dialer makes TCP connections: a [net.Dialer].
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Listen starts the protocol: it listens where it is told to, and dials.
func Listen(config Config) (*Protocol, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	self, err := peer.IDFromPrivateKey(config.Key.Libp2p())
	if err != nil {
		return nil, fmt.Errorf("derive the peer ID: %w", err)
	}
	p := &Protocol{
		config:      config,
		log:         config.Logger,
		self:        self,
		notices:     newNotices(),
		protocols:   multistream.NewMultistreamMuxer[protocol.ID](),
		sender:      make(chan []fsm.Action),
		inbox:       newInbox(config.Allow),
		inHand:      make(chan struct{}, maxInHand),
		dialing:     make(chan struct{}, maxDials),
		sockets:     &net.Dialer{},
		connections: make(map[fsm.Conn]*connection),
		budgets:     make(map[peer.ID]*budget),
	}
	p.protocols.AddHandler(exchangeProtocol, nil)
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.gate = newGate(config, self, p.notices)
	if p.stack, err = newStack(config, p.gate); err != nil {
		return nil, err
	}
	if err := p.listen(); err != nil {
		p.Close()
		return nil, err
	}
	p.unsubscribe = config.Allow.OnChange(p.listChanged)
	p.gate.learn()
	p.running.Go(func() { p.notices.deliver(p.ctx) }) // this and the next three: one for each handler
	p.running.Go(func() { p.inbox.feed(p.ctx) })      // one for each handler
	p.running.Go(func() { p.gate.names.keep(p.ctx) }) // one for each handler
	p.running.Go(p.dispatch)                          // one for each handler
	for _, l := range p.listeners {
		p.running.Go(func() { p.accept(l) }) // one for each listen address
	}
	return p, nil
}

// Sender takes the machine's actions, a turn's at a time and in their order.
// It is always taken from promptly, whatever peers do, until Close.
func (p *Protocol) Sender() chan<- []fsm.Action { return p.sender }

// Receiver gives what happened, of all peers in turn. Streams wait while nobody
// takes from it.
func (p *Protocol) Receiver() <-chan fsm.Input { return p.inbox.ready }

// Priority gives what an operator should know, put together and counted while
// nobody takes from it.
func (p *Protocol) Priority() <-chan fsm.Notice { return p.notices.out }

// Addresses is where this node listens, as multiaddrs.
func (p *Protocol) Addresses() []string {
	var addresses []string
	for _, l := range p.listeners {
		addresses = append(addresses, l.Multiaddr().String())
	}
	return addresses
}

// listChanged disconnects who was taken off the allow list, or pinned to another
// address than where it is. When it returns, so when the change of the list does,
// nothing more is read from the peer's sockets and nothing written to them, and no
// frame that came on them becomes ready for the mediator.
func (p *Protocol) listChanged(change allowlist.Change) {
	p.gate.learn()
	for _, m := range change.Removed {
		if !p.config.Allow.Admits(m.ID) {
			p.cutOff(idOf(fsm.Peer(m.ID.Bytes())))
		}
	}
	for _, m := range change.Changed {
		p.cutOff(idOf(fsm.Peer(m.ID.Bytes())))
	}
}

// cutOff closes what a peer isn't admitted for any more.
func (p *Protocol) cutOff(id peer.ID) {
	for _, c := range p.all() {
		if c.id == id {
			if err := p.gate.admitAt(id, c.at); err != nil {
				c.close(err)
			}
		}
	}
	p.gate.sever(id) // what isn't a connection yet
	p.inbox.expel(id)
}

// DisconnectPeer closes all connections with a peer at once.
func (p *Protocol) DisconnectPeer(peer fsm.Peer) { p.disconnect(peer, nil) }

// shun keeps a peer out until then, and closes all connections with it.
func (p *Protocol) shun(peer fsm.Peer, until time.Time) {
	p.gate.shun(idOf(peer), until)
	if !until.IsZero() {
		p.disconnect(peer, ErrShunned)
		p.gate.sever(idOf(peer)) // what isn't a connection yet
	}
}

func (p *Protocol) disconnect(peer fsm.Peer, cause error) {
	for _, c := range p.all() {
		if c.id == idOf(peer) {
			c.close(cause)
		}
	}
}

// Close ends all connections at once and waits until every goroutine is over.
// A second call does nothing.
func (p *Protocol) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return nil
	}
	p.stop()
	if p.unsubscribe != nil {
		p.unsubscribe()
	}
	for _, l := range p.listeners {
		l.Close()
	}
	for _, c := range p.all() {
		c.close(ErrClosed)
	}
	p.running.Wait()
	return p.stack.resources.Close()
}

// dispatch carries out actions until Close. It never waits for a peer.
func (p *Protocol) dispatch() {
	for {
		select {
		case actions := <-p.sender:
			p.act(actions)
		case <-p.ctx.Done():
			return
		}
	}
}

// act starts what each action asks for. Frames queued on one stream one after
// the other are written together.
func (p *Protocol) act(actions []fsm.Action) {
	for _, action := range actions {
		switch a := action.(type) {
		case fsm.Send:
			p.send(a)
			continue
		case fsm.Dial:
			p.running.Go(func() { p.dial(a) }) // one for each dial
			continue
		}
		p.flush()
		switch a := action.(type) {
		case fsm.Accept:
			if s := p.stream(a.Conn, a.Stream); s != nil {
				s.accept()
			}
		case fsm.Reset:
			if s := p.stream(a.Conn, a.Stream); s != nil {
				s.drop()
			}
		case fsm.Shun:
			p.shun(a.Peer, a.Until)
		case fsm.Disconnect:
			c := p.connection(a.Conn)
			switch {
			case c == nil:
			case a.Graceful:
				c.closeGracefully()
			default:
				c.close(nil)
			}
		}
	}
	p.flush()
}

// send queues a frame on its stream. What is meant for a connection or stream
// that has ended is dropped: the machine is about to hear of that.
func (p *Protocol) send(a fsm.Send) {
	c := p.connection(a.Conn)
	if c == nil {
		return
	}
	if !p.config.Allow.Admits(c.member) {
		c.close(fsm.ErrNotListed)
		return
	}
	if s := c.stream(a.Stream); s != nil {
		s.enqueue(a)
		if !slices.Contains(p.touched, s) {
			p.touched = append(p.touched, s)
		}
	}
}

func (p *Protocol) flush() {
	for i, s := range p.touched {
		s.flush()
		p.touched[i] = nil
	}
	p.touched = p.touched[:0]
}

// report hands an input that concerns a peer to the mediator and waits until it
// is ready, until Close.
func (p *Protocol) report(of peer.ID, in fsm.Input) {
	p.inbox.put(p.ctx, report{of: of, in: in})
}

// start numbers a connection and runs it; not after Close.
func (p *Protocol) start(c *connection, run func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.last++
	c.number = p.last
	p.connections[c.number] = c
	c.budget = p.budgetOf(c)
	p.running.Go(run) // one for each connection
	return true
}

func (p *Protocol) forget(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.connections, c.number)
	c.budget.connections--
}

func (p *Protocol) all() []*connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*connection, 0, len(p.connections))
	for _, c := range p.connections {
		all = append(all, c)
	}
	return all
}

func (p *Protocol) connection(number fsm.Conn) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections[number]
}

func (p *Protocol) stream(conn fsm.Conn, number fsm.Stream) *stream {
	if c := p.connection(conn); c != nil {
		return c.existing(number)
	}
	return nil
}

// nextInbound numbers a stream that a peer opened: odd, from 1.
func (p *Protocol) nextInbound() fsm.Stream {
	return fsm.Stream(2*p.inbound.Add(1) - 1)
}
