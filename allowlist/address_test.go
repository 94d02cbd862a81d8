package allowlist_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/allowlist"
)

func TestParseAddressConverts(t *testing.T) {
	peer := peerID(t, 1)
	for _, test := range []struct{ text, want string }{
		{"/ip4/10.0.0.7/tcp/4001", "/ip4/10.0.0.7/tcp/4001"},
		{"/ip6/2001:DB8::7/tcp/1", "/ip6/2001:db8::7/tcp/1"},
		{"/ip6/::ffff:10.0.0.7/tcp/65535", "/ip4/10.0.0.7/tcp/65535"},
		{"/dns/Alice.Example.org./tcp/4001", "/dns/alice.example.org/tcp/4001"},
		{"/dns4/alice/tcp/4001", "/dns4/alice/tcp/4001"},
		{"/dns6/alice/tcp/4001/", "/dns6/alice/tcp/4001"},
		{"/dns/alice/tcp/4001/p2p/" + peer.String(), "/dns/alice/tcp/4001/p2p/" + peer.String()},
		{"/dns/alice/tcp/4001/ipfs/" + peer.String(), "/dns/alice/tcp/4001/p2p/" + peer.String()},
		{"/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/4001"},
		{"10.0.0.7:4001", "/ip4/10.0.0.7/tcp/4001"},
		{"[2001:db8::7]:4001", "/ip6/2001:db8::7/tcp/4001"},
		{"[::ffff:10.0.0.7]:4001", "/ip4/10.0.0.7/tcp/4001"},
		{"localhost:04001", "/dns/localhost/tcp/4001"},
		{"my_host.example.org:4001", "/dns/my_host.example.org/tcp/4001"},
		{"xn--bcher-kva.example:4001", "/dns/xn--bcher-kva.example/tcp/4001"},
	} {
		if got, err := allowlist.ParseAddress(test.text); err != nil || got != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, test := range []struct{ text, says string }{
		{"", "empty"},
		{strings.Repeat("a", 600) + ":4001", "longer"},
		{"alice.example.org", "port is missing"},
		{":4001", "not a host name"},
		{"alice:0", "from 1 to 65535"},
		{"alice:65536", "from 1 to 65535"},
		{"alice:-1", "from 1 to 65535"},
		{"alice:http", "from 1 to 65535"},
		{"/dns/alice/tcp/0", "from 1 to 65535"},
		{"2001:db8::7:4001", "[2001:db8::7]:4001"},
		{"[fe80::1%eth0]:4001", "zone"},
		{"/ip6zone/eth0/ip6/fe80::1/tcp/4001", "TCP only"},
		{"10.0.0.777:4001", "neither an IP address"},
		{"/dns/10.0.0.777/tcp/4001", "neither an IP address"},
		{"-alice:4001", "not a host name"},
		{"alice..org:4001", "not a host name"},
		{"bücher.example:4001", "not a host name"},
		{"https://alice:4001", "write an address as"},
		{"alice@10.0.0.7:4001", "not a host name"},
		{strings.Repeat("a", 64) + ":4001", "not a host name"},
		{strings.Repeat("a.", 127) + "a:4001", "not a host name"},
		{"/ip4/10.0.0.777/tcp/4001", "not a multiaddr"},
		{"/ip4/10.0.0.7", "TCP only"},
		{"/ip4/10.0.0.7/udp/4001/quic-v1", "TCP only"},
		{"/ip4/10.0.0.7/tcp/4001/ws", "more than"},
		{"/unix/tmp/socket", "TCP only"},
		{"/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234/tcp/1", "expected ip4"},
		{"/dns/alice/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "Ed25519"},
	} {
		got, err := allowlist.ParseAddress(test.text)
		if !errors.Is(err, allowlist.ErrAddress) || got != "" {
			t.Errorf("%s: got %s, %v", test.text, got, err)
			continue
		}
		for _, says := range []string{test.says, "/ip4/10.0.0.7/tcp/4001"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %q doesn't say %q", test.text, err, says)
			}
		}
	}
}

func TestParseAddressOfTakesThePeerOff(t *testing.T) {
	alice, bob := peerID(t, 1), peerID(t, 2)
	for _, text := range []string{"alice:4001", "/dns/alice/tcp/4001", "/dns/alice/tcp/4001/p2p/" + alice.String()} {
		if got, err := allowlist.ParseAddressOf(alice, text); err != nil || got != "/dns/alice/tcp/4001" {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if _, err := allowlist.ParseAddressOf(bob, "/dns/alice/tcp/4001/p2p/"+alice.String()); !errors.Is(err, allowlist.ErrAddress) {
		t.Errorf("alice's address for bob: %v", err)
	}
	for _, text := range []string{"0.0.0.0:4001", "/ip6/::/tcp/4001"} {
		if _, err := allowlist.ParseAddressOf(alice, text); !errors.Is(err, allowlist.ErrAddress) {
			t.Errorf("%s can't be dialled: %v", text, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("/ip4/10.0.0.7/tcp/4001")
	f.Add("/dns6/alice/tcp/4001/p2p/" + peerID(f, 1).String())
	f.Add("[2001:db8::7]:4001")
	f.Add("alice.example.org:4001")
	f.Fuzz(func(t *testing.T, text string) {
		address, err := allowlist.ParseAddress(text)
		if err != nil {
			if !errors.Is(err, allowlist.ErrAddress) {
				t.Fatalf("an error without a type: %v", err)
			}
			return
		}
		if again, err := allowlist.ParseAddress(address); err != nil || again != address {
			t.Fatalf("%q became %q, then %q, %v", text, address, again, err)
		}
	})
}
