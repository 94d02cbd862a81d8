package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// exchange reads an exchange's ID: whole, or as much of its digits as tells it from
// all others that are open, or of which the inbox tells.
func (n *Node) exchange(text string) (parley.ID, error) {
	if strings.Contains(text, "/") {
		id, err := parley.ParseID(text)
		if err != nil {
			return parley.ID{}, invalid(fmt.Errorf("id: %w", err))
		}
		return id, nil
	}
	if text == "" {
		return parley.ID{}, invalid(errors.New("id: is missing: give an exchange's ID, or the beginning of its digits"))
	}
	text = strings.ToLower(text)
	var found []parley.ID // as many as exchanges are open (Config.MaxOpen, MaxQueued), at most
	for _, x := range n.handler.Exchanges() {
		if begins(x.ID, text) {
			found = append(found, x.ID)
		}
	}
	if len(found) == 0 { // but those that were given up
		found = n.inbox.beginning(text)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return parley.ID{}, failure(fmt.Errorf("id: no open exchange begins with %q: %w", text, parley.ErrUnknown))
	default:
		return parley.ID{}, invalid(fmt.Errorf("id: %d open exchanges begin with %q: write more of it", len(found), text))
	}
}

// begins reports whether an exchange's digits begin so.
func begins(id parley.ID, digits string) bool {
	_, tag, _ := strings.Cut(id.String(), "/")
	return strings.HasPrefix(tag, digits)
}

// ListExchanges implements the call.
func (n *Node) ListExchanges(_ context.Context, r *v1.ListExchangesRequest) (*v1.ListExchangesResponse, error) {
	response := &v1.ListExchangesResponse{}
	for _, x := range n.handler.Exchanges() {
		if r.Peer != "" {
			peer, err := n.find(r.Peer)
			if err != nil {
				return nil, invalid(fmt.Errorf("peer: %w", err))
			}
			if peer != x.Peer {
				continue
			}
		}
		if strings.HasPrefix(x.Lane, r.LanePrefix) {
			response.Exchanges = append(response.Exchanges, n.exchangeOf(x))
		}
	}
	return response, nil
}

// GetExchange implements the call.
func (n *Node) GetExchange(_ context.Context, r *v1.GetExchangeRequest) (*v1.Exchange, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	x, err := n.handler.Exchange(id)
	if err != nil {
		return nil, failure(err)
	}
	return n.exchangeOf(x), nil
}

// Forget implements the call.
func (n *Node) Forget(_ context.Context, r *v1.ForgetRequest) (*v1.ForgetResponse, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	return &v1.ForgetResponse{Id: id.String()}, failure(n.handler.Forget(id))
}

func (n *Node) exchangeOf(x parley.Exchange) *v1.Exchange {
	return &v1.Exchange{
		Id: x.ID.String(), Peer: x.Peer.String(), Name: n.name(x.Peer), MadeHere: x.Dialer, State: x.State, Lane: readable(x.Lane), Key: readable(x.Key),
		Made: moment(x.Made), Ended: moment(x.Ended), Deadline: moment(x.Deadline),
		RequestSize: size(x.RequestSize), ReplySize: size(x.ReplySize), Reason: readable(x.Reason),
		Acknowledged: x.Acknowledged, Taken: x.Taken, PossiblySeen: x.PossiblySeen,
		Failures: count(x.Failures), Retry: moment(x.Retry), Waiting: explain(x),
	}
}

// explain says what an exchange waits for.
func explain(x parley.Exchange) string {
	switch {
	case !x.Ended.IsZero() && x.Dialer:
		return "it has ended: " + x.State
	case !x.Ended.IsZero():
		return "it has ended here: " + x.State + ", and its dialer is being told"
	case !x.Dialer && (x.State == "replying" || x.State == "refused"):
		return "its dialer, which hasn't confirmed the answer"
	case !x.Dialer && x.Taken:
		return "an answer of this node's application, which has it"
	case !x.Dialer:
		return "this node's application, which hasn't taken it"
	case x.State == "halted":
		return "this node's operator: the peer is halted, and status says why"
	case x.State == "suspended":
		return "its peer's return to the allow list"
	case x.Acknowledged && x.Taken:
		return "an answer of the peer's application, which has it"
	case x.Acknowledged:
		return "the peer's application: its node has it, and its application hasn't taken it"
	case x.PutOff:
		return fmt.Sprintf("the peer's node: it has put the request off %d times, for want of room or by a limit that its own status names", x.Failures)
	case x.Failures > 0:
		return fmt.Sprintf("the peer's node: %d attempts have failed", x.Failures)
	case x.State == "queued":
		return "its turn: the exchange before it in its lane hasn't ended"
	default:
		return "the peer's node"
	}
}
