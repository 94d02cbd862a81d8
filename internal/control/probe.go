package control

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// Probe implements the call.
func (n *Node) Probe(ctx context.Context, r *v1.ProbeRequest) (*v1.ProbeResponse, error) {
	peer, err := n.find(r.Peer)
	if err != nil {
		return nil, invalid(fmt.Errorf("peer: %w", err))
	}
	p, err := n.handler.Probe(ctx, peer)
	if err != nil {
		return nil, failure(err)
	}
	response := &v1.ProbeResponse{Peer: peer.String(), Name: n.name(peer), Ok: p.OK()}
	for _, s := range p.Steps {
		step := &v1.ProbeStep{Name: s.Name, Detail: s.Address, Took: durationpb.New(s.Took)}
		if s.Err != nil {
			step.Failure = s.Err.Error()
		}
		response.Steps = append(response.Steps, step)
	}
	return response, nil
}
