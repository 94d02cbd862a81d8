package p2p

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

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
		if err != nil {
			return fmt.Errorf("listen on %s: %w", m, err)
		}
		gated := p.stack.upgrader.GateMaListener(&gatedListener{sockets, p.gate, p.log})
		p.listeners = append(p.listeners, p.stack.upgrader.UpgradeGatedMaListener(p.stack.transport, gated))
	}
	return nil
}

// gatedListener makes of each accepted connection a socket that the gate counts.
type gatedListener struct {
	manet.Listener
	gate *gate
	log  *slog.Logger
}

// Accept returns the next socket. Errors go on to the upgrader, which waits
// longer and longer while they are temporary (no file descriptor is free).
func (l *gatedListener) Accept() (manet.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			l.log.Warn("cannot accept a connection", "listener", l.Multiaddr(), "error", err)
		}
		return nil, err
	}
	return &socket{Conn: c, gate: l.gate, ip: prefixOf(c.RemoteMultiaddr())}, nil
}

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
