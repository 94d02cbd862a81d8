package control

import (
	"context"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// ListDeadLetters implements the call.
func (n *Node) ListDeadLetters(context.Context, *v1.ListDeadLettersRequest) (*v1.ListDeadLettersResponse, error) {
	response := &v1.ListDeadLettersResponse{}
	for _, l := range n.options.Programs.DeadLetters() {
		response.DeadLetters = append(response.DeadLetters, &v1.DeadLetter{
			Id: l.ID.String(), Peer: l.Peer.String(), Name: n.name(l.Peer), Lane: readable(l.Lane), Program: l.Program,
			Attempts: count(l.Attempts), Died: moment(l.Died), Reason: readable(l.Reason),
		})
	}
	return response, nil
}

// RetryDeadLetter implements the call.
func (n *Node) RetryDeadLetter(_ context.Context, r *v1.RetryDeadLetterRequest) (*v1.RetryDeadLetterResponse, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	return &v1.RetryDeadLetterResponse{Id: id.String()}, failure(n.options.Programs.Retry(id, n.inbox.drop))
}
