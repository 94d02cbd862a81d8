package p2p

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"
)

// listen opens the listeners of the configuration, all or none.
func (p *Protocol) listen() error {
	for _, address := range p.config.Listen {
		m, err := listenAddress(address)
		if err != nil {
			return err
		}
		sockets, err := manet.Listen(m)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("listen on %s: %w: stop what listens there, or choose another port (0 takes a free one)", m, err)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return fmt.Errorf("listen on %s: %w: the address is not one of this machine", m, err)
		case err != nil:
			return fmt.Errorf("listen on %s: %w", m, err)
		}
		p.listeners = append(p.listeners, p.upgrade(sockets))
	}
	return nil
}

// upgrade makes connections of sockets: counted by the gate, encrypted and with
// streams.
func (p *Protocol) upgrade(sockets manet.Listener) transport.Listener {
	gated := p.stack.upgrader.GateMaListener(&gatedListener{sockets, p.gate, p.log})
	return p.stack.upgrader.UpgradeGatedMaListener(p.stack.transport, gated)
}

// gatedListener makes of each accepted connection a socket that the gate counts.
type gatedListener struct {
	manet.Listener
	gate *gate
	log  *slog.Logger
}

// Accept returns the next socket. Errors go on to the upgrader, which gives the
// listener up for ever at one that isn't temporary, and otherwise tries again,
// at first after 1 ms and at last every second. Only the end of the listener is
// no temporary one: memory and descriptors are freed, networks come up again, and
// a peer may be gone before it is accepted (accept(2), "Error handling").
func (l *gatedListener) Accept() (manet.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			l.log.Warn("cannot accept a connection", "listener", l.Multiaddr(), "error", err)
			err = temporary{err}
		}
		return nil, err
	}
	return &socket{Conn: c, gate: l.gate, ip: placeOf(ipOf(c.RemoteMultiaddr()))}, nil
}

// temporary is an error after which a listener is asked again.
type temporary struct{ error }

func (temporary) Temporary() bool { return true }
func (t temporary) Unwrap() error { return t.error }

// accept takes a listener's connections: peers that have proved an admitted key.
func (p *Protocol) accept(l transport.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if p.ctx.Err() == nil {
				p.log.Error("a listener failed: peers can no longer dial it", "listener", l.Multiaddr(), "error", err)
			}
			return
		}
		p.serve(c, c.RemoteMultiaddr().String(), false, nil)
	}
}
