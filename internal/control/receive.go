package control

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

const (
	defaultEvents = 100
	// maxEvents bounds the events of one answer. More come with the next.
	maxEvents = 1000
	// maxBodies bounds the bodies in one answer, in bytes, unless one alone has more.
	maxBodies = 4 << 20
)

// Receive implements the call.
func (n *Node) Receive(ctx context.Context, r *v1.ReceiveRequest) (*v1.ReceiveResponse, error) {
	length, err := waiting(r.Wait, 0)
	if err != nil {
		return nil, err
	}
	most := defaultEvents
	if r.Max > maxEvents {
		return nil, invalid(fmt.Errorf("max: %d, want at most %d", r.Max, maxEvents))
	} else if r.Max > 0 {
		most = int(r.Max)
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	f := filter{after: r.After, lanePrefix: r.LanePrefix, withoutNotices: r.WithoutNotices}
	response := &v1.ReceiveResponse{Last: r.After}
	for {
		events, looked, more := n.inbox.take(f, most)
		gone := len(events) > 0
		for size := 0; len(events) > 0; events = events[1:] {
			if size += n.sizeOf(events[0]); size > maxBodies && len(response.Events) > 0 && !r.WithoutBody {
				return response, nil
			}
			e, err := n.give(events[0], !r.WithoutBody, true)
			if err != nil {
				return nil, err
			}
			response.Last = events[0].place
			if e != nil {
				response.Events = append(response.Events, e)
			}
		}
		f.after = looked
		if len(response.Events) > 0 {
			return response, nil
		}
		if gone {
			continue // what was there somebody is done with; there may be more after it
		}
		select {
		case <-more:
		case <-ctx.Done():
			return response, nil
		}
	}
}

// Follow implements the call.
func (n *Node) Follow(ctx context.Context, r *v1.FollowRequest, to *connect.ServerStream[v1.Event]) error {
	f := filter{after: r.After, lanePrefix: r.LanePrefix, withoutNotices: r.WithoutNotices, watching: r.Watching}
	return n.follow(ctx, f, !r.WithoutBody, to.Send)
}

// follow gives events until the context ends, or they can't be given.
func (n *Node) follow(ctx context.Context, f filter, withBody bool, give func(*v1.Event) error) error {
	for {
		events, looked, more := n.inbox.take(f, 1)
		f.after = looked
		if len(events) == 0 {
			select {
			case <-more:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		e, err := n.give(events[0], withBody, !f.watching)
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		if err := give(e); err != nil {
			return err
		}
	}
}

// give makes the event that a client is given, which counts as taking a request unless
// it only watches. Nil: somebody was done with it meanwhile.
func (n *Node) give(h held, withBody, taking bool) (*v1.Event, error) {
	e, err := n.event(h, withBody)
	if connect.CodeOf(err) == connect.CodeNotFound && err != nil {
		return nil, nil
	}
	if err == nil && taking && h.Kind == parley.RequestReceived {
		err = failure(n.handler.Take(h.ID))
	}
	return e, err
}
