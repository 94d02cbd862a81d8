package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	goyamux "github.com/libp2p/go-yamux/v5"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// The steps of a probe, in their order.
const (
	StepAllowed = "allowed" // this node may dial the peer at all
	StepResolve = "resolve" // it has addresses, and their names stand for something
	StepConnect = "connect" // something listens there
	StepKey     = "key"     // which proves the peer's key
	StepListed  = "listed"  // and takes this node for one of its own
	StepAnswer  = "answer"  // and answers
)

// ErrNotTaken is how a probe says that the peer closed a connection once this node
// had proved its key: it isn't on the peer's allow list, or is pinned elsewhere, kept
// out, or has too many connections. The peer knows which, and tells only its operator.
var ErrNotTaken = errors.New("the peer proved its key and closed the connection")

// ErrProtocol is how a probe says that the peer speaks another version of the protocol.
var ErrProtocol = errors.New("the peer speaks no version of the protocol that this node does")

// ErrSilent is how a probe says that the peer keeps a connection and says nothing on
// it: its node hangs, or its machine does.
var ErrSilent = errors.New("the peer keeps the connection and says nothing")

// Step is one step of a probe.
type Step struct {
	Name   string
	Detail string // an address
	Took   time.Duration
	Err    error // why the probe went no further
}

// Probe tries what an exchange with a peer needs, on a connection of its own that the
// machine never hears of: it is dialled, its key is proved, and a stream is opened on
// which the peer agrees to the protocol, and that ends before a frame is sent. Where
// no address of the peer is known, a stream on a connection that the peer has dialled
// has to do. The steps are those that were taken; only the last can have failed.
func (p *Protocol) Probe(ctx context.Context, who fsm.Peer) []Step {
	ctx, cancel := context.WithTimeout(ctx, maxTimeouts*p.config.DialTimeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() // one for each call
	b := &probe{p: p, ctx: ctx, id: idOf(who)}
	b.run()
	return b.steps
}

// probe is one under way.
type probe struct {
	p     *Protocol
	ctx   context.Context
	id    peer.ID
	steps []Step // one of each name at most, for each call
}

// step takes a step, and reports whether it went well.
func (b *probe) step(name, detail string, took func() error) bool {
	began := time.Now()
	err := took()
	b.steps = append(b.steps, Step{Name: name, Detail: detail, Took: time.Since(began), Err: err})
	return err == nil
}

func (b *probe) run() {
	var member identity.ID
	if !b.step(StepAllowed, "", func() (err error) {
		if member, err = listed(b.id); err != nil {
			return err
		}
		return b.p.gate.startDial(b.id)
	}) {
		return
	}
	defer b.p.gate.endDial(b.id)
	addresses := b.p.config.Allow.Addresses(member)
	if len(addresses) == 0 {
		b.existing()
		return
	}
	var at []ma.Multiaddr
	if !b.step(StepResolve, "", func() (err error) {
		at, err = b.resolve(member, addresses[:min(len(addresses), maxAddresses)])
		return err
	}) {
		return
	}
	b.furthest(at)
}

// resolve is what the addresses stand for; an error only where none of them stands
// for anything.
func (b *probe) resolve(member identity.ID, addresses []string) ([]ma.Multiaddr, error) {
	var found []ma.Multiaddr
	var errs []error
	for _, address := range addresses {
		resolved, err := b.p.resolve(b.ctx, member, address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
		}
		for _, m := range resolved {
			if b.p.config.Allow.AdmitsFrom(member, ipOf(m)) {
				found = append(found, m)
			} else {
				errs = append(errs, fmt.Errorf("%s: %w", m, ErrPinned))
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

// furthest tries the addresses until one brings an answer, and keeps the steps at the
// one that got furthest.
func (b *probe) furthest(at []ma.Multiaddr) {
	before := b.steps
	var best []Step
	for _, m := range at {
		b.steps = nil
		b.try(m)
		if steps := b.steps; len(steps) > len(best) {
			best = steps
		}
		if best[len(best)-1].Err == nil || b.ctx.Err() != nil {
			break
		}
	}
	b.steps = slices.Concat(before, best)
}

// try takes the steps that are about one address.
func (b *probe) try(at ma.Multiaddr) {
	ctx, cancel := context.WithTimeout(b.ctx, b.p.config.DialTimeout)
	defer cancel()
	var s *socket
	if !b.step(StepConnect, at.String(), func() (err error) {
		s, err = b.p.dialSocket(ctx, b.id, at)
		return err
	}) {
		return
	}
	var c transport.CapableConn
	if !b.step(StepKey, at.String(), func() (err error) {
		c, err = b.secure(ctx, s, at)
		return err
	}) {
		return
	}
	defer c.Close() // there is nothing on it to lose
	b.answers(ctx, c, at.String())
}

// secure has both sides prove their keys.
func (b *probe) secure(ctx context.Context, s *socket, at ma.Multiaddr) (transport.CapableConn, error) {
	scope, err := b.p.stack.resources.OpenConnection(network.DirOutbound, true, at)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := scope.SetPeer(b.id); err != nil {
		scope.Done()
		return nil, errors.Join(err, s.Close())
	}
	c, err := b.p.stack.upgrader.Upgrade(ctx, b.p.stack.transport, s, network.DirOutbound, b.id, scope)
	var mismatch sec.ErrPeerIDMismatch
	if errors.As(err, &mismatch) {
		return nil, fmt.Errorf("%w: it is of %s", ErrIdentityMismatch, mismatch.Actual)
	}
	return c, err
}

// existing is the rest of a probe of a peer that can't be dialled.
func (b *probe) existing() {
	for _, c := range b.p.all() {
		if c.id == b.id && !c.ending.Load() {
			b.steps = append(b.steps, Step{Name: StepKey, Detail: c.address})
			b.answers(b.ctx, c.muxed, c.address)
			return
		}
	}
	b.step(StepResolve, "", func() error { return ErrNoAddress })
}

// answers sees whether the peer keeps a connection, and how long a round trip takes.
func (b *probe) answers(ctx context.Context, c transport.CapableConn, at string) {
	var opened error
	if !b.step(StepListed, at, func() error {
		opened = b.agree(ctx, c)
		if opened == nil || errors.Is(opened, ErrSilent) || errors.Is(opened, ErrProtocol) { // it keeps the connection open, at least
			return nil
		}
		return fmt.Errorf("%w (%w)", ErrNotTaken, opened)
	}) {
		return
	}
	b.step(StepAnswer, at, func() error {
		if opened != nil {
			return opened
		}
		return b.agree(ctx, c) // once more, now that all is set up
	})
}

// agree opens a stream, has the peer agree to the protocol, and ends it in order: the
// peer has ended its side too.
func (b *probe) agree(ctx context.Context, c transport.CapableConn) error {
	err := b.roundTrip(ctx, c)
	if err != nil && (timedOut(err) || errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		return fmt.Errorf("%w (%w)", ErrSilent, err)
	}
	return err
}

func (b *probe) roundTrip(ctx context.Context, c transport.CapableConn) error {
	s, err := c.OpenStream(ctx)
	if err != nil {
		return err
	}
	end, _ := ctx.Deadline()
	if err := s.SetDeadline(end); err != nil {
		return errors.Join(err, s.Reset())
	}
	// One for each call; whoever waits on the stream is told by its error.
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	if err := multistream.SelectProtoOrFail(exchangeProtocol, s); err != nil {
		if errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}) {
			err = ErrProtocol
		}
		return errors.Join(err, s.Reset())
	}
	if err := s.CloseWrite(); err != nil {
		return errors.Join(err, s.Reset())
	}
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		return errors.Join(errors.New("the peer doesn't end the stream in order"), err, s.Reset())
	}
	return s.Close()
}

// timedOut reports whether a time was over: that of the probe, or of yamux, which finds
// by itself that the other side is gone.
func timedOut(err error) bool {
	for _, over := range []error{
		context.DeadlineExceeded, os.ErrDeadlineExceeded,
		goyamux.ErrTimeout, goyamux.ErrKeepAliveTimeout, goyamux.ErrConnectionWriteTimeout,
	} {
		if errors.Is(err, over) {
			return true
		}
	}
	return false
}
