package attack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/parley-p2p/parley/identity"
)

// Attacker is who attacks whom. Its fields are set before an attack begins; one
// attacker runs one attack.
type Attacker struct {
	Target Target
	Key    identity.Key  // zero: a new key for each connection
	From   []netip.Addr  // source addresses, taken in turn; none: the system's choice
	Times  int           // how often it does what it does; 0: until the context ends
	Pause  time.Duration // between two times
	// Listener is where the node dials; for attacks that are asked something.
	// It is closed when they end.
	Listener net.Listener

	count counter
	turns atomic.Int64
	tries atomic.Int64
}

// Report is what was done so far, and what came back.
func (a *Attacker) Report() Report { return a.count.report() }

// Kind is what the node owes to whom shows a behaviour.
type Kind uint8

const (
	Stranger  Kind = iota + 1 // isn't listed: gets nothing
	Violation                 // listed and breaks the protocol: is disconnected and named
	Nuisance                  // listed and keeps to the protocol, barely: is bounded and not blamed
)

// Attack is a behaviour by its name.
type Attack struct {
	Name string
	Kind Kind
	Run  func(context.Context, *Attacker) error
}

// Attacks is every behaviour there is.
var Attacks = []Attack{
	{"silent sockets", Stranger, SilentSockets},
	{"garbage handshake", Stranger, GarbageHandshake},
	{"half handshakes", Stranger, HalfHandshakes},
	{"unlisted flood", Stranger, UnlistedFlood},

	{"garbage frames", Violation, GarbageFrames},
	{"oversize length", Violation, OversizeLength},
	{"long header", Violation, LongHeader},
	{"wrong hash", Violation, WrongHash},
	{"sequence jump", Violation, SequenceJump},
	{"ack unasked", Violation, AckUnasked},
	{"too much without hello", Violation, TooMuchWithoutHello},

	{"request flood", Nuisance, RequestFlood},
	{"resume flood", Nuisance, ResumeFlood},
	{"hello flood", Nuisance, HelloFlood},
	{"frame flood", Nuisance, FrameFlood},
	{"stream flood", Nuisance, StreamFlood},
	{"epoch jumps", Nuisance, EpochJumps},
	{"replays", Nuisance, Replays},
	{"reused tags", Nuisance, ReusedTags},
	{"cancel every other", Nuisance, CancelEveryOther},
	{"reply unasked", Nuisance, ReplyUnasked},
	{"never reads", Nuisance, NeverReads},

	{"ack without reply", Nuisance, AckWithoutReply},
	{"nack for ever", Nuisance, NackForever},
	{"huge replies", Nuisance, HugeReplies},
	{"silent listener", Nuisance, SilentListener},
	{"wrong key", Nuisance, WrongKey},
}

// next reports whether to do it once more, and waits in between.
func (a *Attacker) next(ctx context.Context) bool {
	n := a.turns.Add(1)
	if a.Times > 0 && n > int64(a.Times) {
		return false
	}
	if n > 1 {
		wait(ctx, a.Pause)
	}
	return ctx.Err() == nil
}

// done reports whether it was done often enough.
func (a *Attacker) done() bool { return a.Times > 0 && a.turns.Load() >= int64(a.Times) }

// wait waits, unless the context ends first.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// socket opens a TCP connection from the next source address. It is nil, and
// counted, where the node or its system refused it.
func (a *Attacker) socket(ctx context.Context) (*net.TCPConn, error) {
	var from netip.Addr
	if len(a.From) > 0 {
		from = a.From[int(a.tries.Add(1)-1)%len(a.From)]
	}
	c, err := connect(ctx, a.Target.Address, from)
	a.count.add(func(r *Report) {
		r.Attempts++
		if err != nil {
			r.Refused++
		}
	})
	if err != nil && !refusal(err) && ctx.Err() == nil {
		return nil, err
	}
	return c, nil
}

// refusal tells what the other side did from this side's own failure.
func refusal(err error) bool {
	var timeout net.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &timeout) && timeout.Timeout()
}

// key is who it is on the next connection.
func (a *Attacker) key() (identity.Key, error) {
	if !a.Key.IsZero() {
		return a.Key, nil
	}
	return identity.Generate(identity.Ed25519)
}

// dial connects. The peer is nil where the node hung up first.
func (a *Attacker) dial(ctx context.Context) (*Peer, error) {
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	c, err := a.socket(ctx)
	if c == nil {
		return nil, err
	}
	p, err := newPeer(ctx, c, a.Target.Peer, key, &a.count)
	if err != nil {
		a.count.add(func(r *Report) { r.Refused++ })
		return nil, nil
	}
	return p, nil
}

// connections runs f on one connection after another, once on each. f returns
// when it has done what it does, or failed to.
func (a *Attacker) connections(ctx context.Context, f func(context.Context, *Peer)) error {
	for a.next(ctx) {
		if err := a.connection(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// reconnecting runs f on one connection after another; it is f that counts the
// times.
func (a *Attacker) reconnecting(ctx context.Context, f func(context.Context, *Peer)) error {
	for ctx.Err() == nil && !a.done() {
		if err := a.connection(ctx, f); err != nil {
			return err
		}
		wait(ctx, redial)
	}
	return nil
}

// redial is how long to wait between connections that are kept while they last.
const redial = 10 * time.Millisecond

// connection runs f on a connection, if there is to be one. It ends with the
// context at the latest, and is counted as lost if the node ended it.
func (a *Attacker) connection(ctx context.Context, f func(context.Context, *Peer)) error {
	p, err := a.dial(ctx)
	if p == nil {
		return err
	}
	end := context.AfterFunc(ctx, func() { p.Close() })
	f(ctx, p)
	if end() && p.session.IsClosed() {
		a.count.add(func(r *Report) { r.Lost++ })
	}
	return p.Close()
}

// untilLost waits until the other side has ended the connection, and no longer
// than it should take one to find out.
func untilLost(ctx context.Context, p *Peer) {
	select {
	case <-p.Lost():
	case <-ctx.Done():
	case <-time.After(setUp):
	}
}
