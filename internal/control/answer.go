package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

const (
	// maxAnswers bounds the answers of one call. One with more is refused.
	maxAnswers = 1000
	// maxAtOnce bounds the exchanges of one call that are ended at the same time: they
	// share syncs, and leave room for the handler's other calls. Further ones wait.
	maxAtOnce = 64
)

// Reply implements the call.
func (n *Node) Reply(_ context.Context, r *v1.ReplyRequest) (*v1.ReplyResponse, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	return &v1.ReplyResponse{Id: id.String()}, n.answered(id, n.handler.Reply(id, r.Body))
}

// Reject implements the call.
func (n *Node) Reject(_ context.Context, r *v1.RejectRequest) (*v1.RejectResponse, error) {
	id, err := n.exchange(r.Id)
	if err != nil {
		return nil, err
	}
	return &v1.RejectResponse{Id: id.String()}, n.answered(id, n.handler.Reject(id, r.Reason))
}

// Answer implements the call.
func (n *Node) Answer(ctx context.Context, r *v1.AnswerRequest) (*v1.AnswerResponse, error) {
	if len(r.Answers) == 0 || len(r.Answers) > maxAnswers {
		return nil, invalid(fmt.Errorf("answers: %d of them, want 1 to %d", len(r.Answers), maxAnswers))
	}
	response := &v1.AnswerResponse{}
	for i, err := range together(len(r.Answers), func(i int) error { return n.answer(ctx, r.Answers[i]) }) {
		if err != nil {
			response.Failures = append(response.Failures, &v1.AnswerFailure{Id: r.Answers[i].Id, Code: connect.CodeOf(err).String(), Message: err.Error()})
		}
	}
	return response, nil
}

func (n *Node) answer(ctx context.Context, a *v1.OneAnswer) (err error) {
	switch {
	case a.Reason == "":
		_, err = n.Reply(ctx, &v1.ReplyRequest{Id: a.Id, Body: a.Body})
	case len(a.Body) > 0:
		err = invalid(errors.New("a body and a reason: it is a reply or a rejection, not both"))
	default:
		_, err = n.Reject(ctx, &v1.RejectRequest{Id: a.Id, Reason: a.Reason})
	}
	return err
}

// answered takes a request that was answered out of the inbox; also one that had
// been answered before, or that is no more.
func (n *Node) answered(id parley.ID, err error) error {
	switch {
	case err == nil:
		n.options.Programs.Drop(id) // first: it is no dead letter any more, nor becomes one
		n.inbox.done(id)
	case errors.Is(err, parley.ErrAnswered): // before: nothing of it is on its way
		n.options.Programs.Drop(id)
		n.inbox.drop(id)
	}
	return failure(err)
}

// Commit implements the call.
func (n *Node) Commit(_ context.Context, r *v1.CommitRequest) (*v1.CommitResponse, error) {
	ids := make([]parley.ID, len(r.Ids))
	response := &v1.CommitResponse{}
	for i, text := range r.Ids {
		var err error
		if ids[i], err = n.exchange(text); err != nil {
			return nil, fmt.Errorf("ids[%d]: %w", i, err)
		}
		response.Ids = append(response.Ids, ids[i].String())
	}
	failed := together(len(ids), func(i int) error {
		err := n.handler.Commit(ids[i])
		if err == nil {
			n.inbox.done(ids[i])
		}
		return failure(err)
	})
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return response, nil
}

// together does so many things, maxAtOnce of them at the same time, and returns how each
// went.
func together(count int, do func(i int) error) []error {
	failed := make([]error, count)
	var group sync.WaitGroup
	turn := make(chan struct{}, maxAtOnce) // at most maxAtOnce wait in it
	for i := range count {
		turn <- struct{}{}
		group.Go(func() { // at most maxAtOnce
			defer func() { <-turn }()
			failed[i] = do(i)
		})
	}
	group.Wait()
	return failed
}
