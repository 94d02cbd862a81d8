package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/intake"
	"github.com/parley-p2p/parley/internal/programs"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// Node serves a handler's local API. Its methods may be called by many goroutines at
// once.
type Node struct {
	handler *parley.Handler
	options Options
	started time.Time
	inbox   *inbox
	bodies  *intake.Bodies
}

// Options are what a Node needs besides the handler.
type Options struct {
	AllowList *allowlist.List
	// AllowListFile is where changes of the allow list are written.
	AllowListFile string
	// Directory is the node's, to be told to whoever asks.
	Directory string
	Version   string
	// Run is the number of this run of the node, greater than those before.
	Run uint64
	// MaxMessageSize is the handler's, in bytes.
	MaxMessageSize int64
	// Programs answer requests in place of clients, which are given their dead letters
	// alone. Nil: none do.
	Programs *programs.Runner
	// Logger is told of the events that have priority. Nil: nobody is.
	Logger *slog.Logger
}

// New makes the API of a handler, which was made with ExplicitCommit and
// ExplicitTake, and whose events nobody else receives.
func New(h *parley.Handler, o Options) *Node {
	if o.Programs == nil {
		o.Programs = &programs.Runner{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Node{handler: h, options: o, started: time.Now(), inbox: newInbox(o.Run), bodies: intake.NewBodies(largestCall(o.MaxMessageSize))}
}

// Run fills the inbox until the context or the handler ends; what it returns then
// is nil.
func (n *Node) Run(ctx context.Context) error {
	for {
		e, err := n.handler.Receive(ctx)
		switch {
		case errors.Is(err, parley.ErrClosed) || ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if e.Kind == parley.RequestReceived && n.options.Programs.Offer(e) || e.Kind == parley.RequestAbandoned && n.options.Programs.Drop(e.ID) {
			continue // clients never hear of it
		}
		if e.Kind.Priority() { // of what repeats itself there is a sum, once a minute
			n.options.Logger.Warn(e.Kind.String(), "peer", n.name(e.Peer), "id", e.Peer, "count", e.Count, "error", e.Err)
		}
		n.inbox.put(e)
	}
}

// Give gives clients a request that the programs have failed to answer.
func (n *Node) Give(e parley.Event) { n.inbox.put(e) }

// maxWaiting bounds the exchanges that a status tells of.
const maxWaiting = 100

// Status implements the call.
func (n *Node) Status(context.Context, *v1.StatusRequest) (*v1.StatusResponse, error) {
	inbox, last := n.inbox.standing()
	s := &v1.StatusResponse{
		PeerId: n.handler.PeerID().String(), Addresses: n.handler.Addresses(), Version: n.options.Version,
		Started: moment(n.started), Directory: n.options.Directory, Inbox: count(inbox), Last: last,
	}
	if err := n.handler.Healthy(); err != nil {
		s.Trouble = err.Error()
		return s, nil // the rest would have to be asked of what hangs
	}
	s.Peers, s.Counters = n.peers(), counters(n.handler.Stats())
	for _, e := range n.handler.Exchanges() {
		if e.Dialer {
			s.ExchangesMade++
		} else {
			s.ExchangesAsked++
		}
		if e.Ended.IsZero() && len(s.Waiting) < maxWaiting {
			s.Waiting = append(s.Waiting, n.exchangeOf(e))
		}
	}
	if err := cmp.Or(n.handler.Room(), n.options.AllowList.Trouble()); err != nil {
		s.Trouble = err.Error()
	}
	return s, nil
}

func counters(s parley.Stats) *v1.Counters {
	return &v1.Counters{
		Requests: s.Requests, Replies: s.Replies, Answered: s.Answered, Rejected: s.Rejected, Expired: s.Expired, Cancelled: s.Cancelled,
		Resends: s.Resends, Dials: s.Dials, Redials: s.Redials, Nacks: s.Nacks, NacksSent: s.NacksSent, Timeouts: s.Timeouts,
		Violations: s.Violations, Syncs: s.Syncs,
	}
}
