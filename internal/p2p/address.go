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

// maxResolved bounds how many addresses of one name are tried.
const maxResolved = 8

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
func resolve(ctx context.Context, id identity.ID, address string) ([]ma.Multiaddr, error) {
	text, err := allowlist.ParseAddressOf(id, address)
	if err != nil {
		return nil, err
	}
	m, err := ma.NewMultiaddr(text)
	if err != nil {
		return nil, err
	}
	var network string
	switch m[0].Code() {
	case ma.P_DNS:
		network = "ip"
	case ma.P_DNS4:
		network = "ip4"
	case ma.P_DNS6:
		network = "ip6"
	default:
		return []ma.Multiaddr{m}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, network, m[0].Value())
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", m[0].Value(), err)
	}
	var found []ma.Multiaddr
	for _, ip := range ips[:min(len(ips), maxResolved)] {
		kind := "/ip4/"
		if ip = ip.Unmap().WithZone(""); ip.Is6() {
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

// prefixOf is the place that connections are counted by: an IPv4 address or an
// IPv6 /64, of which one machine may have all.
func prefixOf(address ma.Multiaddr) netip.Prefix {
	ip, err := manet.ToIP(address)
	if err != nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(ip)
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
