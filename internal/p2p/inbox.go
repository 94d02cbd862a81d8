package p2p

import (
	"context"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
)

// maxReady bounds the inputs that are ready for the mediator. Whoever reports
// beyond it waits for its peer's turn. So an input finds at most this many of
// others ahead of it, and one more of each peer that waits too. Their payloads are at
// most 4 MiB, or 16 MiB should all be of HELLO. With half as many a turn gathers
// less, and 64 exchanges at once cost a fifth more syncs.
const maxReady = 64

// inbox brings to the mediator what happened, taking from the peers in turn: one
// with a thousand streams has its inputs taken as often as one with a single
// stream, and holds up only itself.
//
//	streams, connections ── put ──▶ queue of their peer ──┐ feed,
//	streams, connections ── put ──▶ queue of their peer ──┼─ in turn ──▶ ready ──▶ mediator
//	              a dial ── put ──▶ queue of its peer ────┘
//
// Whoever puts an input waits until it is ready. So what one goroutine puts comes
// out in its order, and what waits is bounded by the connections and streams there
// are: one input of each connection and, of each stream, a frame and a word that
// bytes move. While nobody waits, an input is ready at once and without a change of
// goroutines.
type inbox struct {
	ready chan fsm.Input // to the mediator
	allow *allowlist.List

	mu     sync.Mutex
	queues map[peer.ID]*queue // of the peers for which something waits: one for each connection or dial at most
	turns  []*queue           // the same, in the order of their turns: likewise, for each connection or dial
	hand   *waiting           // taken from its queue, and neither ready nor over yet
	wake   chan struct{}
}

// queue is what waits of one peer, oldest first.
type queue struct {
	of     peer.ID
	inputs []*waiting // one or two for each stream, and one for each connection and dial
}

// report is an input on its way.
type report struct {
	of peer.ID
	in fsm.Input
	// from is set when a stream of the connection brings the input: then nothing
	// comes of it once the connection is being closed or the peer off the allow list.
	from *connection
	gone <-chan struct{} // closed when the machine doesn't want it any more; nil: never
}

// waiting is a report that waits for its peer's turn.
type waiting struct {
	report
	cancelled bool          // under inbox.mu
	cancel    chan struct{} // closed with it: nothing comes of it, unless it is ready
	over      chan struct{} // closed when the input is ready, or never will be
	passed    bool          // which of them; set before over is closed
}

func newInbox(allow *allowlist.List) *inbox {
	return &inbox{
		ready:  make(chan fsm.Input, maxReady),
		allow:  allow,
		queues: make(map[peer.ID]*queue),
		wake:   make(chan struct{}, 1),
	}
}

// put waits until an input is ready, and reports whether it is: not when ctx ends
// before, or nobody wants it any more.
func (b *inbox) put(ctx context.Context, r report) bool {
	b.mu.Lock()
	if b.unwanted(r) {
		b.mu.Unlock()
		return false
	}
	if b.hand == nil && len(b.turns) == 0 {
		select {
		case b.ready <- r.in:
			b.mu.Unlock()
			return true
		default:
		}
	}
	w := &waiting{report: r, cancel: make(chan struct{}), over: make(chan struct{})}
	b.add(w)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	select {
	case <-w.over:
		return w.passed
	case <-r.gone:
	case <-ctx.Done():
	}
	b.withdraw(r.of, func(other *waiting) bool { return other == w })
	return w.passed
}

func (b *inbox) add(w *waiting) {
	q := b.queues[w.of]
	if q == nil {
		q = &queue{of: w.of}
		b.queues[w.of] = q
		b.turns = append(b.turns, q)
	}
	q.inputs = append(q.inputs, w)
}

// feed makes inputs ready, one peer's after the other's, until ctx ends.
func (b *inbox) feed(ctx context.Context) {
	for {
		w := b.next()
		if w == nil {
			select {
			case <-b.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case b.ready <- w.in:
			w.passed = true
		case <-w.cancel:
		case <-ctx.Done():
		}
		close(w.over)
	}
}

// next takes the input whose turn it is in hand; nil if none waits.
func (b *inbox) next() *waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hand = nil
	if len(b.turns) == 0 {
		return nil
	}
	q := b.turns[0]
	b.hand = q.inputs[0]
	q.inputs[0], b.turns[0] = nil, nil
	q.inputs, b.turns = q.inputs[1:], b.turns[1:]
	if len(q.inputs) > 0 {
		b.turns = append(b.turns, q)
	} else {
		delete(b.queues, q.of)
	}
	return b.hand
}

// expel drops what the streams of a peer have brought and is not ready: of the
// connections that are being closed, and of all if the peer is off the allow list.
// When it returns nothing more of them becomes ready.
func (b *inbox) expel(of peer.ID) {
	b.withdraw(of, func(w *waiting) bool { return b.unwanted(w.report) })
}

// unwanted says whether a stream brings an input that nothing may come of any more.
func (b *inbox) unwanted(r report) bool {
	return r.from != nil && (r.from.ending.Load() || !b.allow.Admits(r.from.member))
}

// withdraw ends the wait of a peer's inputs that are chosen, and waits for the one
// in hand, which may become ready in this moment.
func (b *inbox) withdraw(of peer.ID, chosen func(*waiting) bool) {
	b.mu.Lock()
	if q := b.queues[of]; q != nil {
		q.inputs = slices.DeleteFunc(q.inputs, func(w *waiting) bool {
			if chosen(w) {
				close(w.over)
				return true
			}
			return false
		})
		if len(q.inputs) == 0 {
			delete(b.queues, of)
			b.turns = slices.DeleteFunc(b.turns, func(other *queue) bool { return other == q })
		}
	}
	hand := b.hand
	if hand == nil || hand.of != of || !chosen(hand) {
		b.mu.Unlock()
		return
	}
	if !hand.cancelled {
		hand.cancelled = true
		close(hand.cancel)
	}
	b.mu.Unlock()
	<-hand.over
}
