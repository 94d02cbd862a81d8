package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

const (
	// maxDials bounds the dials that are under way at once; others wait their turn.
	maxDials = 256
	// maxAddresses bounds how many addresses of a peer one dial tries.
	maxAddresses = 16
	// maxTimeouts bounds how long one dial takes once its turn has come, in
	// DialTimeouts, however many addresses there are and whatever their names stand for.
	maxTimeouts = 6
)

// dial carries out a Dial: Connected or DialFailed comes of it.
func (p *Protocol) dial(d fsm.Dial) {
	id := idOf(d.Peer)
	if err := p.gate.startDial(id); err != nil {
		p.report(id, fsm.DialFailed{Peer: d.Peer, Err: err})
		return
	}
	c, address, err := p.connectInTurn(id, d.Addresses)
	if err != nil {
		if refused := p.gate.admit(id); refused != nil {
			err = refused // while it was dialled
		}
		p.gate.endDial(id)
		p.report(id, fsm.DialFailed{Peer: d.Peer, Err: err})
		return
	}
	p.serve(c, address, true, func() { p.gate.endDial(id) })
}

// connectInTurn connects as soon as there is room for one dial more.
func (p *Protocol) connectInTurn(id peer.ID, addresses []string) (transport.CapableConn, string, error) {
	select {
	case p.dialing <- struct{}{}:
		defer func() { <-p.dialing }()
	case <-p.ctx.Done():
		return nil, "", ErrClosed
	}
	if err := p.gate.admit(id); err != nil {
		return nil, "", err // while it waited
	}
	return p.connect(id, addresses)
}

// connect tries the addresses in turn, each for at most DialTimeout and its share
// of the time that is left, until one proves the peer's key: those that don't
// answer leave time for the others. All their errors come back together.
func (p *Protocol) connect(id peer.ID, addresses []string) (transport.CapableConn, string, error) {
	member, err := listed(id)
	if err != nil {
		return nil, "", err
	}
	addresses = slices.Clone(addresses)
	for _, a := range p.config.Allow.Addresses(member) {
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, "", ErrNoAddress
	}
	if len(addresses) > maxAddresses {
		addresses = addresses[:maxAddresses]
	}
	end := time.Now().Add(maxTimeouts * p.config.DialTimeout)
	var errs []error
	for i, address := range addresses {
		share := time.Until(end) / time.Duration(len(addresses)-i)
		c, at, err := p.connectAt(id, member, address, share)
		if err == nil {
			return c, at, nil
		}
		if p.ctx.Err() != nil {
			return nil, "", ErrClosed
		}
		errs = append(errs, err)
	}
	return nil, "", errors.Join(errs...)
}

// connectAt tries what one address stands for, within its share of time.
func (p *Protocol) connectAt(id peer.ID, member identity.ID, address string, share time.Duration) (transport.CapableConn, string, error) {
	ctx, cancel := context.WithTimeout(p.ctx, share)
	defer cancel()
	resolved, err := p.resolve(ctx, member, address)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", address, err)
	}
	var errs []error
	for _, m := range resolved {
		if !p.config.Allow.AdmitsFrom(member, ipOf(m)) {
			errs = append(errs, fmt.Errorf("%s: %w", m, ErrPinned))
			continue
		}
		c, err := p.connectTo(ctx, id, m)
		if err == nil {
			return c, m.String(), nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", errors.Join(errs...)
}

func (p *Protocol) resolve(ctx context.Context, member identity.ID, address string) ([]ma.Multiaddr, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.DialTimeout)
	defer cancel()
	return resolve(ctx, p.config.Resolver, member, address)
}

// connectTo dials one address. Noise ends the handshake when another key is
// proved, so that such a connection never carries a payload.
func (p *Protocol) connectTo(ctx context.Context, id peer.ID, address ma.Multiaddr) (transport.CapableConn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.DialTimeout)
	defer cancel()
	c, err := p.upgradeTo(ctx, id, address)
	var mismatch sec.ErrPeerIDMismatch
	if errors.As(err, &mismatch) {
		p.notices.post(fsm.Notice{
			Kind: fsm.IdentityMismatch, Peer: peerOf(id), Address: address.String(),
			Detail: fmt.Sprintf("the address proved to be of %s", mismatch.Actual),
		})
		return nil, fmt.Errorf("%w: it is of %s", ErrIdentityMismatch, mismatch.Actual)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// upgradeTo is the dial of libp2p's TCP transport, on a socket that the gate knows
// from its beginning and can close: whoever is taken off the list is cut off in the
// middle of a handshake too.
func (p *Protocol) upgradeTo(ctx context.Context, id peer.ID, address ma.Multiaddr) (transport.CapableConn, error) {
	scope, err := p.stack.resources.OpenConnection(network.DirOutbound, true, address)
	if err != nil {
		return nil, err
	}
	s, err := p.dialSocket(ctx, id, address)
	if err == nil {
		err = scope.SetPeer(id)
	}
	if err != nil {
		if s != nil {
			s.Close()
		}
		scope.Done()
		return nil, err
	}
	return p.stack.upgrader.Upgrade(ctx, p.stack.transport, s, network.DirOutbound, id, scope)
}

// dialSocket makes the TCP connection, from a port of its own.
func (p *Protocol) dialSocket(ctx context.Context, id peer.ID, address ma.Multiaddr) (*socket, error) {
	kind, at, err := manet.DialArgs(address)
	if err != nil {
		return nil, err
	}
	c, err := p.sockets.DialContext(ctx, kind, at)
	if err != nil {
		return nil, err
	}
	wrapped, err := manet.WrapNetConn(c)
	if err != nil {
		_ = abort(c)
		return nil, err
	}
	return p.gate.dialled(id, wrapped)
}
