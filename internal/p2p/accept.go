package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// listen opens the listeners of the configuration, all or none.
func (p *Protocol) listen() error {
	for _, address := range p.config.Listen {
		m, err := listenAddress(address)
		if err != nil {
			return err
		}
		sockets, err := listenTCP(m)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("listen on %s: %w: stop what listens there, or choose another port (0 takes a free one)", m, err)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return fmt.Errorf("listen on %s: %w: the address is not one of this machine", m, err)
		case err != nil:
			return fmt.Errorf("listen on %s: %w", m, err)
		}
		l, err := p.upgrade(sockets)
		if err != nil {
			sockets.Close()
			return fmt.Errorf("listen on %s: %w", m, err)
		}
		p.listeners = append(p.listeners, l)
	}
	return nil
}

// listenTCP listens without the keepalives of TCP: a connection has yamux's, and
// one that is refused is spared the system calls.
func listenTCP(address ma.Multiaddr) (net.Listener, error) {
	network, at, err := manet.DialArgs(address)
	if err != nil {
		return nil, err
	}
	config := net.ListenConfig{KeepAlive: -1}
	return config.Listen(context.Background(), network, at)
}

// upgrade makes connections of sockets: counted by the gate, encrypted and with
// streams.
func (p *Protocol) upgrade(sockets net.Listener) (transport.Listener, error) {
	address, err := manet.FromNetAddr(sockets.Addr())
	if err != nil {
		return nil, err
	}
	gated := p.stack.upgrader.GateMaListener(&gatedListener{sockets, address, p.gate, p.log})
	return p.stack.upgrader.UpgradeGatedMaListener(p.stack.transport, gated), nil
}

// gatedListener accepts the connections that the gate lets in by their address.
type gatedListener struct {
	net.Listener
	address ma.Multiaddr
	gate    *gate
	log     *slog.Logger
}

// Multiaddr is where it listens.
func (l *gatedListener) Multiaddr() ma.Multiaddr { return l.address }

// Accept returns the next socket that is let in. The others are closed here, before
// anything is made for them, with a reset: an orderly end would keep this node's
// side of each for a minute (TIME-WAIT, RFC 9293).
//
// Errors go on to the upgrader, which gives the listener up for ever at one that
// isn't temporary, and otherwise tries again, at first after 1 ms and at last every
// second. Only the end of the listener is no temporary one: memory and descriptors
// are freed, networks come up again, and a peer may be gone before it is accepted
// (accept(2), "Error handling").
func (l *gatedListener) Accept() (manet.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.log.Warn("cannot accept a connection", "listener", l.address, "error", err)
				err = temporary{err}
			}
			return nil, err
		}
		if s := l.gate.enter(addrPortOf(c.RemoteAddr())); s == nil {
			_ = abort(c) // nothing was to be said on it
		} else if err = s.open(c); err != nil {
			_ = abort(c)
			l.gate.leave(s)
			l.log.Warn("cannot tell where a connection comes from", "listener", l.address, "error", err)
		} else {
			return s, nil
		}
	}
}

// addrPortOf is the address of a socket's end, as a value.
func addrPortOf(address net.Addr) netip.AddrPort {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	from := tcp.AddrPort()
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
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
