package allowlist

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/identity"
)

// maxAddress bounds the texts looked at as an address, in bytes: a host name has at
// most 253 characters, a peer ID at most 128. A longer one is refused.
const maxAddress = 512

// ParseAddress reads the address of a peer and returns it as a multiaddr in its
// usual spelling. It takes
//
//	/ip4/10.0.0.7/tcp/4001               a multiaddr: ip4, ip6, dns, dns4 or dns6, then tcp,
//	/ip4/10.0.0.7/tcp/4001/p2p/12D3KooW… and the peer's ID, if one likes
//	10.0.0.7:4001                        host and port
//	[2001:db8::7]:4001
//	alice.example.org:4001
//
// with ports from 1 to 65535. Every error matches [ErrAddress]. Names aren't
// looked up here.
func ParseAddress(text string) (string, error) {
	parsed, err := parse(text)
	if err != nil {
		return "", fmt.Errorf("address %q: %w; %w", text, err, ErrAddress)
	}
	return parsed.String(), nil
}

// ParseAddressOf is [ParseAddress] for an address at which a certain peer is to
// be dialled. A trailing /p2p part must name that peer and is taken off.
func ParseAddressOf(peer identity.ID, text string) (string, error) {
	parsed, err := parse(text)
	if err == nil && !parsed.peer.IsZero() && parsed.peer != peer {
		err = fmt.Errorf("it names another peer than %v", peer)
	}
	if err == nil && parsed.unspecified() {
		err = fmt.Errorf("one can listen on %s but not dial it", parsed.host)
	}
	if err != nil {
		return "", fmt.Errorf("address %q: %w; %w", text, err, ErrAddress)
	}
	parsed.peer = identity.ID{}
	return parsed.String(), nil
}

// endpoint is an address taken apart.
type endpoint struct {
	protocol string // ip4, ip6, dns, dns4, dns6
	host     string
	port     uint16
	peer     identity.ID // zero: none named
}

// String is the multiaddr.
func (e endpoint) String() string {
	text := fmt.Sprintf("/%s/%s/tcp/%d", e.protocol, e.host, e.port)
	if !e.peer.IsZero() {
		text += "/p2p/" + e.peer.String()
	}
	return text
}

func (e endpoint) unspecified() bool {
	address, err := netip.ParseAddr(e.host)
	return err == nil && address.IsUnspecified()
}

func parse(text string) (endpoint, error) {
	switch {
	case text == "":
		return endpoint{}, fmt.Errorf("it is empty")
	case len(text) > maxAddress:
		return endpoint{}, fmt.Errorf("it is longer than %d bytes", maxAddress)
	case text[0] == '/':
		return parseMultiaddr(text)
	}
	return parseHostPort(text)
}

func parseMultiaddr(text string) (endpoint, error) {
	address, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return endpoint{}, fmt.Errorf("it is not a multiaddr (%w)", err)
	}
	if len(address) < 2 || address[1].Code() != multiaddr.P_TCP {
		return endpoint{}, fmt.Errorf("a host and /tcp/PORT are expected, connections are TCP only")
	}
	var parsed endpoint
	switch address[0].Code() {
	case multiaddr.P_IP4, multiaddr.P_IP6:
		parsed, err = literal(address[0].Value())
	case multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6:
		parsed, err = named(address[0].Protocol().Name, address[0].Value())
	default:
		err = fmt.Errorf("/%s is no host, expected ip4, ip6, dns, dns4 or dns6", address[0].Protocol().Name)
	}
	if err != nil {
		return endpoint{}, err
	}
	if parsed.port, err = parsePort(address[1].Value()); err != nil {
		return endpoint{}, err
	}
	switch rest := address[2:]; {
	case len(rest) == 0:
		return parsed, nil
	case len(rest) == 1 && rest[0].Code() == multiaddr.P_P2P:
		parsed.peer, err = identity.ParseID(rest[0].Value())
		return parsed, err
	default:
		return endpoint{}, fmt.Errorf("%s is more than a host, /tcp/PORT and /p2p/PEER", rest)
	}
}

func parseHostPort(text string) (endpoint, error) {
	host, port, err := net.SplitHostPort(text)
	switch {
	case err != nil && strings.Count(text, ":") > 1:
		return endpoint{}, fmt.Errorf("write an IPv6 address and its port as [2001:db8::7]:4001")
	case err != nil:
		return endpoint{}, fmt.Errorf("the port is missing")
	}
	var parsed endpoint
	if _, literalErr := netip.ParseAddr(host); literalErr == nil {
		parsed, err = literal(host)
	} else {
		parsed, err = named("dns", host)
	}
	if err != nil {
		return endpoint{}, err
	}
	parsed.port, err = parsePort(port)
	return parsed, err
}

// literal takes an IP address. One without a zone: a zone means something on
// one machine only.
func literal(text string) (endpoint, error) {
	address, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return endpoint{}, fmt.Errorf("%q is not an IP address", text)
	case address.Zone() != "":
		return endpoint{}, fmt.Errorf("an IPv6 zone has a meaning on one machine only")
	}
	// An IPv4 address in an IPv6 one reaches the same socket: one spelling.
	address = address.Unmap()
	if address.Is4() {
		return endpoint{protocol: "ip4", host: address.String()}, nil
	}
	return endpoint{protocol: "ip6", host: address.String()}, nil
}

// named takes a host name: letters, digits, '-' and '_' in labels of at most 63
// bytes, at most 253 in all (RFC 1035; RFC 2181 allows the underscore). Its last
// label isn't a number, or it would be a mistyped IP address (RFC 3696).
func named(protocol, name string) (endpoint, error) {
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	wrong := fmt.Errorf("%q is not a host name", name)
	if len(host) > 253 {
		return endpoint{}, wrong
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return endpoint{}, wrong
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return endpoint{}, fmt.Errorf("%q is neither an IP address nor a host name", name)
	}
	return endpoint{protocol: protocol, host: host}, nil
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("port %q is not a number from 1 to 65535", text)
	}
	return uint16(port), nil
}
