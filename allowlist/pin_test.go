package allowlist_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

func pins(texts ...string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range texts {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	return prefixes
}

func TestParsePinConverts(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"10.0.0.7", "10.0.0.7/32"},
		{"10.0.0.0/24", "10.0.0.0/24"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"2001:DB8::7", "2001:db8::7/128"},
		{"2001:db8::/48", "2001:db8::/48"},
		{"::ffff:10.0.0.7", "10.0.0.7/32"},
		{"::ffff:10.0.0.0/120", "10.0.0.0/24"},
		{"::ffff:0:0/96", "0.0.0.0/0"},
	} {
		if got, err := allowlist.ParsePin(test.text); err != nil || got.String() != test.want {
			t.Errorf("%s: got %v, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestParsePinRefuses(t *testing.T) {
	for _, test := range []struct{ text, says string }{
		{"", "not an IP address"},
		{"alice.example.org", "not an IP address"},
		{"10.0.0.7:4001", "not an IP address"},
		{"10.0.0.0/33", "length in bits"},
		{"10.0.0.0/", "length in bits"},
		{"10.0.0.0/024", "length in bits"},
		{"fe80::1%eth0", "zone"},
		{"fe80::%eth0/64", "zone"},
		{"10.0.0.7/24", "write 10.0.0.0/24 for the whole network or 10.0.0.7 for the one address"},
		{"::ffff:10.0.0.7/120", "write 10.0.0.0/24"},
		{"::ffff:10.0.0.0/90", "write ::ffc0:0:0/90"},
	} {
		got, err := allowlist.ParsePin(test.text)
		if !errors.Is(err, allowlist.ErrPin) || got != (netip.Prefix{}) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v", test.text, got, err)
		}
	}
}

func TestPinnedPeerIsAdmittedFromItsPlacesAlone(t *testing.T) {
	alice, bob, stranger := peerID(t, 1), peerID(t, 2), peerID(t, 3)
	members := []allowlist.Member{{ID: alice, From: pins("10.0.0.7/32", "::ffff:192.168.0.0/112", "2001:db8::/48", "fe80::1/128")}, {ID: bob}}
	everyone := allowlist.Everyone()
	if err := everyone.Replace(members); err != nil {
		t.Fatal(err)
	}
	for _, list := range []*allowlist.List{newList(t, members...), everyone} {
		for _, test := range []struct {
			id   identity.ID
			ip   string
			want bool
		}{
			{alice, "10.0.0.7", true},
			{alice, "::ffff:10.0.0.7", true},
			{alice, "10.0.0.8", false},
			{alice, "192.168.77.1", true},
			{alice, "2001:db8:0:77::1", true},
			{alice, "2001:db8:1::1", false},
			{alice, "fe80::1%eth0", true},
			{alice, "::1", false},
			{bob, "10.0.0.8", true},
			{stranger, "10.0.0.8", true}, // Admits is asked about him
		} {
			if got := list.AdmitsFrom(test.id, netip.MustParseAddr(test.ip)); got != test.want {
				t.Errorf("%v from %s: %v", test.id, test.ip, got)
			}
		}
		if list.AdmitsFrom(alice, netip.Addr{}) {
			t.Error("no address is no place of alice")
		}
	}
}
