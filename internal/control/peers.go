package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// find reads a peer: its name on the allow list, its ID, or the beginning of one
// that is listed.
func (n *Node) find(text string) (identity.ID, error) {
	if text == "" {
		return identity.ID{}, errors.New("is missing: give a peer's name or its ID")
	}
	member, err := n.options.AllowList.Find(text)
	if err == nil {
		return member.ID, nil
	}
	if id, parsed := identity.ParseID(text); parsed == nil {
		return id, nil
	}
	if errors.Is(err, allowlist.ErrUnknown) {
		err = fmt.Errorf("%q is %w: parley peers ls shows who is", text, allowlist.ErrUnknown)
	}
	return identity.ID{}, err
}

// name is what the allow list calls a peer; empty where it has no name for it.
func (n *Node) name(id identity.ID) string {
	member, _ := n.options.AllowList.Member(id)
	return member.Name
}

// ListPeers implements the call.
func (n *Node) ListPeers(context.Context, *v1.ListPeersRequest) (*v1.ListPeersResponse, error) {
	return &v1.ListPeersResponse{Peers: n.peers()}, nil
}

func (n *Node) peers() []*v1.Peer {
	var all []*v1.Peer
	for _, s := range n.handler.Peers() {
		p := n.member(s.Peer)
		p.Listed, p.Connections, p.Dialing, p.Failures, p.Redial = s.Listed, count(s.Connections), s.Dialing, count(s.Failures), moment(s.Redial)
		p.Made, p.Asked, p.KeptOutUntil, p.Broke, p.Limited, p.Address = count(s.Made), count(s.Asked), moment(s.KeptOutUntil), s.Broke, s.Limited, s.Address
		if s.Halt != nil {
			p.Halt = s.Halt.Error()
		}
		all = append(all, p)
	}
	return all
}

// member is what the allow list says of a peer.
func (n *Node) member(id identity.ID) *v1.Peer {
	member, listed := n.options.AllowList.Member(id)
	p := &v1.Peer{Id: id.String(), Name: member.Name, Listed: listed, Addresses: member.Addresses}
	for _, pin := range member.From {
		p.From = append(p.From, pin.String())
	}
	return p
}

// AddPeer implements the call.
func (n *Node) AddPeer(_ context.Context, r *v1.AddPeerRequest) (*v1.AddPeerResponse, error) {
	id, err := identity.ParseID(r.Id)
	if err != nil {
		return nil, invalid(fmt.Errorf("id: %w", err))
	}
	member := allowlist.Member{ID: id, Name: r.Name, Addresses: r.Addresses}
	if before, listed := n.options.AllowList.Member(id); listed {
		member.Limits = before.Limits
	}
	for i, text := range r.From {
		pin, err := allowlist.ParsePin(text)
		if err != nil {
			return nil, invalid(fmt.Errorf("from[%d]: %w", i, err))
		}
		member.From = append(member.From, pin)
	}
	if id == n.handler.PeerID() {
		return nil, invalid(errors.New("id: that is this node's own: give the peer's, which `parley id` prints there"))
	}
	if err := n.options.AllowList.Add(member); err != nil {
		return nil, invalid(err)
	}
	if err := n.options.AllowList.Save(n.options.AllowListFile); err != nil {
		return nil, failure(fmt.Errorf("%s is listed until the next start, and not in the file: %w", member, err))
	}
	return &v1.AddPeerResponse{Peer: n.member(id)}, nil
}

// RemovePeer implements the call.
func (n *Node) RemovePeer(_ context.Context, r *v1.RemovePeerRequest) (*v1.RemovePeerResponse, error) {
	id, err := n.find(r.Peer)
	if err != nil {
		return nil, invalid(fmt.Errorf("peer: %w", err))
	}
	as := n.member(id)
	if !n.options.AllowList.Remove(id) {
		return nil, failure(fmt.Errorf("%s: %w", id, parley.ErrNotListed))
	}
	if err := n.options.AllowList.Save(n.options.AllowListFile); err != nil {
		return nil, failure(fmt.Errorf("%s is off the list until the next start, and still in the file: %w", id, err))
	}
	return &v1.RemovePeerResponse{Peer: as}, nil
}

// ListPending implements the call.
func (n *Node) ListPending(context.Context, *v1.ListPendingRequest) (*v1.ListPendingResponse, error) {
	response := &v1.ListPendingResponse{}
	for _, r := range n.handler.Refused() {
		if r.Peer.IsZero() || n.options.AllowList.Admits(r.Peer) || !errors.Is(r.Reason, parley.ErrNotListed) {
			continue
		}
		response.Pending = append(response.Pending, &v1.Pending{
			Id: r.Peer.String(), Address: r.Address, First: moment(r.First), Last: moment(r.Last), Count: count(r.Count), Reason: readable(r.Reason.Error()),
		})
	}
	return response, nil
}

// RenewEpoch implements the call.
func (n *Node) RenewEpoch(_ context.Context, r *v1.RenewEpochRequest) (*v1.RenewEpochResponse, error) {
	peer, err := n.find(r.Peer)
	if err != nil {
		return nil, invalid(fmt.Errorf("peer: %w", err))
	}
	return &v1.RenewEpochResponse{Peer: peer.String()}, failure(n.handler.Renew(peer))
}

// Pardon implements the call.
func (n *Node) Pardon(_ context.Context, r *v1.PardonRequest) (*v1.PardonResponse, error) {
	peer, err := n.find(r.Peer)
	if err != nil {
		return nil, invalid(fmt.Errorf("peer: %w", err))
	}
	return &v1.PardonResponse{Peer: peer.String()}, failure(n.handler.Pardon(peer))
}
