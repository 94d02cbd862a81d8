package allowlist

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ParsePin reads a place that a peer is pinned to: an IP address, which becomes
// a prefix of full length, or a prefix such as 10.0.0.0/24. An IPv4 address in
// an IPv6 one is taken for the former. A zone is refused: it means something on
// one machine only. So are bits behind the prefix, as in 10.0.0.7/24, since one
// can't tell which of the two was meant. Every error matches [ErrPin].
func ParsePin(text string) (netip.Prefix, error) {
	pin, err := parsePin(text)
	if err == nil {
		return checkPin(pin)
	}
	return netip.Prefix{}, fmt.Errorf("pin %q: %w; %w", text, err, ErrPin)
}

func parsePin(text string) (netip.Prefix, error) {
	if strings.Contains(text, "%") {
		return netip.Prefix{}, fmt.Errorf("an IPv6 zone has a meaning on one machine only")
	}
	if strings.Contains(text, "/") {
		pin, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("it is not an IP address, a slash and a length in bits")
		}
		return pin, nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("it is not an IP address")
	}
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}

// checkPin returns the usual spelling of a pin.
func checkPin(pin netip.Prefix) (netip.Prefix, error) {
	const mapped = 96 // bits before an IPv4 address that stands in an IPv6 one
	if pin.Addr().Is4In6() && pin.Bits() >= mapped {
		pin = netip.PrefixFrom(pin.Addr().Unmap(), pin.Bits()-mapped)
	}
	switch {
	case !pin.IsValid():
		return netip.Prefix{}, fmt.Errorf("pin %v: it is not an IP address with a length in bits; %w", pin, ErrPin)
	case pin != pin.Masked():
		return netip.Prefix{}, fmt.Errorf("pin %v: write %v for the whole network or %v for the one address; %w", pin, pin.Masked(), pin.Addr(), ErrPin)
	}
	return pin, nil
}

// pinText writes a pin as people do.
func pinText(pin netip.Prefix) string {
	if pin.IsSingleIP() {
		return pin.Addr().String()
	}
	return pin.String()
}

// pinned reports whether one who has these pins may be at this address.
func pinned(pins []netip.Prefix, ip netip.Addr) bool {
	if len(pins) == 0 {
		return true
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(pins, func(pin netip.Prefix) bool { return pin.Contains(ip) })
}
