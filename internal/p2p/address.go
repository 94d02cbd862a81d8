package p2p

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// A peer has three names here: the state machine's, libp2p's and that of the
// allow list. Their bytes are the same.
func peerOf(id peer.ID) fsm.Peer { return fsm.Peer(id) }
func idOf(p fsm.Peer) peer.ID    { return peer.ID(p) }

// listed is the allow list's name of a peer. An error means a key of a kind
// that isn't accepted: checking a large RSA key costs much, and other
// implementations don't read ECDSA keys.
func listed(id peer.ID) (identity.ID, error) { return identity.FromBytes([]byte(id)) }

// listenAddress reads where to listen: /ip4 or /ip6 and /tcp, or host:port with
// an IP address, where an empty host is every IPv4 address of this machine.
func listenAddress(address string) (ma.Multiaddr, error) {
	if !strings.HasPrefix(address, "/") {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: %w", address, err)
		}
		if host == "" {
			host = "0.0.0.0"
		}
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: give an IP address of this machine, not a name", address)
		}
		address = "/ip4/" + ip.String() + "/tcp/" + port
		if ip.Is6() {
			address = "/ip6/" + ip.String() + "/tcp/" + port
		}
	}
	m, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if len(m) != 2 || !manet.IsThinWaist(m) || m[1].Code() != ma.P_TCP {
		return nil, fmt.Errorf("listen address %q: write it as /ip4/0.0.0.0/tcp/4001 or 0.0.0.0:4001", address)
	}
	return m, nil
}

// resolve reads where to dial a peer and looks up the name in it, if it is one.
func resolve(ctx context.Context, resolver Resolver, id identity.ID, address string) ([]ma.Multiaddr, error) {
	text, err := allowlist.ParseAddressOf(id, address)
	if err != nil {
		return nil, err
	}
	m, err := ma.NewMultiaddr(text)
	if err != nil {
		return nil, err
	}
	name, isName := nameIn(m)
	if !isName {
		return []ma.Multiaddr{m}, nil
	}
	ips, err := lookUp(ctx, resolver, name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name.host, err)
	}
	var found []ma.Multiaddr
	for _, ip := range ips {
		kind := "/ip4/"
		if ip.Is6() {
			kind = "/ip6/"
		}
		resolved, err := ma.NewMultiaddr(kind + ip.String() + "/tcp/" + m[1].Value())
		if err != nil {
			return nil, err
		}
		found = append(found, resolved)
	}
	return found, nil
}

// nameIn is the host name in an address, if there is one.
func nameIn(address ma.Multiaddr) (hostName, bool) {
	switch address[0].Code() {
	case ma.P_DNS:
		return hostName{"ip", address[0].Value()}, true
	case ma.P_DNS4:
		return hostName{"ip4", address[0].Value()}, true
	case ma.P_DNS6:
		return hostName{"ip6", address[0].Value()}, true
	}
	return hostName{}, false
}

// ipOf is the IP address in an address; the zero Addr if there is none.
func ipOf(address ma.Multiaddr) netip.Addr {
	ip, err := manet.ToIP(address)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// placeOf is the place that connections are counted by: an IPv4 address or an
// IPv6 /64, of which one machine may have all.
func placeOf(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip = ip.Unmap(); ip.Is6() {
		bits = 64
	}
	place, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return place
}

// addressOf writes where a connection comes from as a multiaddr.
func addressOf(from netip.AddrPort) string {
	kind := "/ip4/"
	if from.Addr().Is6() {
		kind = "/ip6/"
	}
	return fmt.Sprintf("%s%s/tcp/%d", kind, from.Addr().WithZone(""), from.Port())
}
