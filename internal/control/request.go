package control

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

const (
	// maxMessages bounds the messages of one call. One with more is refused.
	maxMessages = 1000
	defaultWait = 30 * time.Second
	// maxWait bounds how long a call waits. One that would wait longer is refused.
	maxWait = 5 * time.Minute
)

// Send implements the call.
func (n *Node) Send(_ context.Context, r *v1.SendRequest) (*v1.SendResponse, error) {
	if len(r.Messages) == 0 || len(r.Messages) > maxMessages {
		return nil, invalid(fmt.Errorf("messages: %d of them, want 1 to %d", len(r.Messages), maxMessages))
	}
	var messages []parley.Message
	for i, m := range r.Messages {
		peer, err := n.find(m.Peer)
		if err != nil {
			return nil, invalid(fmt.Errorf("messages[%d].peer: %w", i, err))
		}
		if !utf8.ValidString(m.Lane) || !utf8.ValidString(m.Key) {
			return nil, invalid(fmt.Errorf("messages[%d]: its lane or its key is not UTF-8", i))
		}
		message := parley.Message{Peer: peer, Address: m.Address, Lane: m.Lane, Key: m.Key, Body: m.Body}
		if m.Deadline != nil {
			message.Deadline = m.Deadline.AsTime()
		}
		messages = append(messages, message)
	}
	ids, err := n.handler.Send(messages...)
	if err != nil {
		return nil, failure(err)
	}
	response := &v1.SendResponse{}
	for _, id := range ids {
		response.Ids = append(response.Ids, id.String())
	}
	return response, nil
}

// Wait implements the call.
func (n *Node) Wait(ctx context.Context, r *v1.WaitRequest) (*v1.Event, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	if id.Dialer != n.handler.PeerID() {
		return nil, invalid(fmt.Errorf("id: %s was made by its peer: it is you who are to answer", id))
	}
	length, err := waiting(r.Wait, defaultWait)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	changed, leave := n.inbox.await(id)
	defer leave()
	for {
		if e, found := n.inbox.find(id); found {
			return n.event(e, !r.WithoutBody)
		}
		x, err := n.handler.Exchange(id)
		if err != nil {
			return nil, failure(err)
		}
		if !x.Ended.IsZero() && n.isDone(id) {
			return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s has ended (%s) and is committed: nothing is left to wait for", id, x.State))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, connect.NewError(connect.CodeCanceled, ctx.Err())
			}
			return nil, connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("%s has not ended and goes on, it waits for %s", id, explain(x)))
		}
	}
}

// isDone reports whether an exchange is neither open nor to be committed.
func (n *Node) isDone(id parley.ID) bool {
	for _, x := range n.handler.Exchanges() {
		if x.ID == id {
			return false
		}
	}
	return true
}

// Cancel implements the call.
func (n *Node) Cancel(_ context.Context, r *v1.CancelRequest) (*v1.CancelResponse, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	return &v1.CancelResponse{Id: id.String()}, failure(n.handler.Cancel(id))
}
