package main

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// running looks at what the running node can tell: its listener, and its peers or one
// of them.
func (e *examination) running(cmd *cobra.Command, n node, args []string) {
	c, err := client(cmd)
	if err != nil {
		return // the settings are ill, which was told
	}
	s, err := c.Status(cmd.Context(), &v1.StatusRequest{})
	e.tell(thisNode, "running", "since "+s.GetStarted().AsTime().Local().Format(time.DateTime), said(err), "start it: parley run --dir "+n.dir)
	if err != nil {
		return
	}
	e.listener(s.Addresses)
	if len(args) == 1 {
		for _, p := range s.Peers {
			if args[0] == p.Id || args[0] == p.Name {
				e.halt(p)
			}
		}
		e.peer(cmd, c, args[0], args[0])
		return
	}
	for _, p := range s.Peers {
		if p.Listed {
			e.halt(p)
			e.peer(cmd, c, p.Id, or(p.Name, tag("/"+p.Id)))
		}
	}
}

// listener dials the node's own addresses.
func (e *examination) listener(addresses []string) {
	if len(addresses) == 0 {
		e.well(thisNode, "listener", "none: this node only dials, as its settings say")
	}
	for _, address := range addresses {
		at, err := ownSocket(address)
		var conn net.Conn
		if err == nil {
			conn, err = net.DialTimeout("tcp", at.String(), 5*time.Second)
		}
		if err == nil {
			err = conn.Close()
		}
		e.tell(thisNode, "listener", address+" takes connections from this machine; parley doctor on a peer's shows whether from there",
			err, "see the node's log; restart it if it has given the listener up")
	}
}

// ownSocket is where this machine reaches its own listener.
func ownSocket(address string) (netip.AddrPort, error) {
	parts := strings.Split(address, "/") // /ip4/ADDRESS/tcp/PORT
	if len(parts) != 5 {
		return netip.AddrPort{}, errors.New("an address of another kind than /ip4/…/tcp/…: " + address)
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(parts[2], parts[4]))
	switch {
	case err != nil:
		return at, err
	case at.Addr() == netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()), nil
	case at.Addr() == netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()), nil
	}
	return at, nil
}

// halt tells of a peer to which nothing goes until the operator says so.
func (e *examination) halt(p *v1.Peer) {
	if p.Halt != "" {
		name := or(p.Name, tag("/"+p.Id))
		e.ill(name, "journal", p.Halt, "make sure that one process and one journal are left; then: parley journal new-epoch "+name)
	}
}

// peer goes the way to a peer.
func (e *examination) peer(cmd *cobra.Command, c api, id, name string) {
	p, err := c.Probe(cmd.Context(), &v1.ProbeRequest{Peer: id})
	if err != nil {
		e.ill(name, "allowed", said(err).Error(), probeAdvice["allowed"])
		return
	}
	for _, s := range p.Steps {
		if s.Failure != "" {
			e.ill(name, s.Name, s.Failure, probeAdvice[s.Name])
			continue
		}
		e.well(name, s.Name, strings.TrimSpace(s.Detail+" "+s.Took.AsDuration().Round(10*time.Microsecond).String()))
	}
}
