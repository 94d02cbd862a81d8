package p2p

import (
	"context"
	"sync"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// maxNotices bounds the notices that wait for the mediator. Each is of another
// kind or peer; beyond them all further ones of a kind become one without a peer.
const maxNotices = 256

// notices hands what an operator should know to the mediator. Whoever posts
// never waits: while the mediator is busy, notices of one kind and peer are put
// together and counted.
type notices struct {
	out chan fsm.Notice

	mu      sync.Mutex
	waiting []fsm.Notice // oldest first: at most maxNotices, and one of each kind
	wake    chan struct{}
}

func newNotices() *notices {
	return &notices{out: make(chan fsm.Notice), wake: make(chan struct{}, 1)}
}

// post adds a notice, which counts once or as often as it says. The detail and
// address kept are the newest.
func (n *notices) post(notice fsm.Notice) {
	notice.Count, notice.Time = max(1, notice.Count), time.Now()
	n.mu.Lock()
	n.add(notice)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notices) add(notice fsm.Notice) {
	crowded := len(n.waiting) >= maxNotices
	for i := range n.waiting {
		w := &n.waiting[i]
		if w.Kind == notice.Kind && (w.Peer == notice.Peer || crowded && w.Peer == "") {
			notice.Peer, notice.Count = w.Peer, w.Count+notice.Count
			*w = notice
			return
		}
	}
	if crowded {
		// At most one for each kind goes beyond the limit.
		notice.Peer, notice.Address = "", ""
	}
	n.waiting = append(n.waiting, notice)
}

// deliver runs until ctx ends.
func (n *notices) deliver(ctx context.Context) {
	for {
		notice, ok := n.take()
		if !ok {
			select {
			case <-n.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case n.out <- notice:
		case <-ctx.Done():
			return
		}
	}
}

func (n *notices) take() (fsm.Notice, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == 0 {
		return fsm.Notice{}, false
	}
	notice := n.waiting[0]
	n.waiting = append(n.waiting[:0], n.waiting[1:]...)
	return notice, true
}
