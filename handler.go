package parley

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/audit"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/p2p"
)

// Handler holds this node's exchanges with its peers. Its methods may be called
// by many goroutines at once, but events have one consumer.
type Handler struct {
	config  Config
	self    identity.ID
	allow   *allowlist.List
	journal *journal.Journal
	network *p2p.Protocol
	loop    *mediator.Loop
	log     *slog.Logger

	calls     chan struct{} // a token for each call that waits for its answer
	syncs     atomic.Uint64
	receiving atomic.Bool           // events have one consumer
	serving   atomic.Bool           // which is Serve
	last      fsm.Name              // the reply or failure given last, not committed
	unread    map[fsm.Name]struct{} // requests that were over before they were read: at most mediator.DeliveryRoom, and as many of MaxOpen
	early     early
	waiting   waiting // requests that Serve took and has not begun
	aside     aside   // what Serve came across and didn't take, and trouble with the allow list

	unfollow func()        // the allow list
	audit    *audit.Log    // of its changes; nil without a Dir
	started  chan struct{} // closed when the loop runs, or will never
	using    sync.RWMutex  // held to read by calls that use the journal
	closing  sync.Once
	closed   error
}

// New makes the node that key identifies and starts it: it opens the journal,
// goes on with what is open in it, listens on address, and dials whom it must.
// An address is a multiaddr such as /ip4/0.0.0.0/tcp/4001 or host:port, port 0
// takes a free one; with an empty one the node only dials.
//
// Errors match ErrLocked, ErrOwner, ErrDamaged, or say what is wrong with the
// configuration, the directory, the log of the allow list or the address.
func New(address string, key identity.Key, config Config) (*Handler, error) {
	if key.IsZero() {
		return nil, errors.New("private key is missing: see identity.LoadOrGenerate")
	}
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handler{
		config: config, self: key.PeerID(), allow: config.AllowList, log: config.Logger,
		calls:  make(chan struct{}, mediator.CallRoom),
		unread: map[fsm.Name]struct{}{}, started: make(chan struct{}),
		aside: aside{came: make(chan struct{}, 1)},
	}
	h.sayLoudly()
	if h.journal, err = journal.Open(config.Dir, journal.Options{
		Owner: h.self.String(), CacheBytes: config.PayloadMemory, Logger: h.log,
	}); err != nil {
		return nil, openError(err)
	}
	machine, err := h.recover()
	if err != nil {
		return nil, errors.Join(err, h.journal.Close())
	}
	if h.network, err = h.listen(address, key); err != nil {
		return nil, errors.Join(err, h.journal.Close())
	}
	h.unfollow = h.followAllowList() // before the list is read: no change is missed
	if err := h.openAudit(); err != nil {
		h.unfollow()
		close(h.started) // for a change that waits
		return nil, errors.Join(err, h.network.Close(), h.journal.Close())
	}
	h.loop = mediator.NewLoop(mediator.NewTurn(machine, log{h.journal, &h.syncs}),
		h.network.Sender(), h.network.Receiver(), h.network.Priority(), h.admitted()...)
	go h.loop.Run() // one for each handler
	close(h.started)
	h.tellSuspended()
	return h, nil
}

// recover replays the journal into a machine and sweeps what a crash left over.
func (h *Handler) recover() (*fsm.Machine, error) {
	restorer := fsm.Restore(fsm.Config{
		Self:   peerOf(h.self),
		Jitter: rand.Float64,

		IdleTimeout:          h.config.IdleTimeout,
		DisconnectionTimeout: h.config.DisconnectionTimeout,
		AckTimeout:           h.config.AckTimeout,
		RetryMin:             retryMin,
		RetryMax:             h.config.RetryMax,
		PollMax:              h.config.PollMax,
		KeepOutMax:           h.config.KeepOutMax,
		ExchangesPerSecond:   h.config.ExchangesPerSecond,
		BytesPerSecond:       h.config.BytesPerSecond,
		MaxMessageSize:       h.config.MaxMessageSize,
		MaxQueuedPerPeer:     h.config.MaxQueuedPerPeer,
		MaxQueued:            h.config.MaxQueued,
		MaxOpenPerPeer:       h.config.MaxOpenPerPeer,
		MaxOpen:              h.config.MaxOpen,
		MaxStoredPerPeer:     h.config.MaxStoredPerPeer,
		MaxStored:            h.config.MaxStored,
		MaxStreams:           max(1, h.config.MaxStreamsPerConnection/2), // a stream that was reset here may live there a little longer
		History:              h.config.History,
		HistoryAge:           h.config.HistoryAge,
	})
	if err := h.journal.Replay(restorer.Record); err != nil {
		return nil, openError(fmt.Errorf("%s: %w", h.config.Dir, err))
	}
	machine := restorer.Done(time.Now().Round(0)) // as the loop gives it
	named, err := restorer.Numbers(h.journal.Payloads)
	if err != nil {
		return nil, openError(err)
	}
	if _, err := h.journal.Sweep(named); err != nil {
		return nil, openError(err)
	}
	return machine, nil
}

func (h *Handler) listen(address string, key identity.Key) (*p2p.Protocol, error) {
	var addresses []string
	if address != "" {
		addresses = []string{address}
	}
	return p2p.Listen(p2p.Config{
		Key: key, Listen: addresses, Allow: h.allow, Payloads: payloads{h.journal, h.log}, Logger: h.log,

		MaxMessageSize:   h.config.MaxMessageSize,
		DialTimeout:      h.config.DialTimeout,
		HandshakeTimeout: h.config.HandshakeTimeout,
		FrameTimeout:     h.config.FrameTimeout,
		KeepAlive:        h.config.KeepAlive,
		CloseTimeout:     h.config.CloseTimeout,

		ListedAddressesOnly:       h.config.ListedAddressesOnly,
		StockNoise:                h.config.StockNoise,
		MaxConnections:            h.config.MaxConnections,
		MaxConnectionsPerPeer:     h.config.MaxConnectionsPerPeer,
		MaxConnectionsPerIP:       h.config.MaxConnectionsPerIP,
		MaxPendingHandshakes:      h.config.MaxPendingHandshakes,
		ReservedHandshakes:        h.config.ReservedHandshakes,
		MaxHandshakesPerSecond:    h.config.MaxHandshakesPerSecond,
		MaxArrivalsPerSecondPerIP: h.config.MaxArrivalsPerSecondPerIP,
		MaxStreamsPerConnection:   h.config.MaxStreamsPerConnection,
		MaxWindowMemoryPerPeer:    h.config.MaxWindowMemoryPerPeer,
		MaxWindowMemory:           h.config.MaxWindowMemory,
		FramesPerSecond:           h.config.FramesPerSecond,
	})
}

// sayLoudly warns of what is fit for experiments only.
func (h *Handler) sayLoudly() {
	if h.config.Dir == "" {
		h.log.Warn("the journal is in memory: a crash loses every exchange; set Config.Dir")
	}
	if h.allow.IsEveryone() {
		h.log.Warn("THE ALLOW LIST ADMITS EVERYONE: any peer may connect and be served")
	}
}

// tellSuspended tells of the peers that were taken off the allow list while this
// node was down, with exchanges open.
func (h *Handler) tellSuspended() {
	for _, p := range h.Peers() {
		if !p.Listed && p.Made+p.Asked > 0 {
			h.aside.put(apart{Event: eventOfNotice(fsm.Notice{
				Kind: fsm.PeerSuspended, Peer: peerOf(p.Peer), Detail: "off the allow list with exchanges open", Time: time.Now(),
			})})
		}
	}
}

// PeerID is this node's identity.
func (h *Handler) PeerID() identity.ID { return h.self }

// Addresses is where the node listens, as multiaddrs.
func (h *Handler) Addresses() []string { return h.network.Addresses() }

// Close stops the node. What is open goes on when it is made again on the same
// directory. Nothing is committed by it. It may be called more than once.
func (h *Handler) Close() error {
	h.closing.Do(func() {
		h.unfollow()
		h.loop.Stop()
		err := h.network.Close()
		h.using.Lock()
		defer h.using.Unlock()
		h.closed = errors.Join(err, h.closeAudit(), h.journal.Close())
	})
	return h.closed
}

// use keeps the journal open until release is called. Error: ErrClosed.
func (h *Handler) use() (release func(), err error) {
	h.using.RLock()
	if h.isClosed() {
		h.using.RUnlock()
		return nil, ErrClosed
	}
	return h.using.RUnlock, nil
}

func (h *Handler) isClosed() bool {
	select {
	case <-h.loop.Stopped():
		return true
	default:
		return false
	}
}
