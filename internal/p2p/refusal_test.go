package p2p

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// knock dials a node that refuses it, and waits until it has.
func (r *rawPeer) knock(n *node) {
	r.t.Helper()
	address, err := ma.NewMultiaddr(n.Addresses()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := r.transport.Dial(context.Background(), address, n.self)
	if err != nil {
		return // the refusal was as quick as that
	}
	defer c.Close()
	if s, err := c.AcceptStream(); err == nil {
		r.t.Errorf("let in: %v", s)
	}
}

func TestRefusalsCanBeAsked(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	for layer, test := range map[string]struct {
		prepare func(n *node, r *rawPeer)
		reason  error
		notice  fsm.NoticeKind
	}{
		LayerList: {func(*node, *rawPeer) {}, fsm.ErrNotListed, fsm.StrangerRefused},
		LayerPin: {func(n *node, r *rawPeer) {
			if err := n.list.Add(allowlist.Member{ID: r.key.PeerID(), From: elsewhere}); err != nil {
				t.Fatal(err)
			}
		}, ErrPinned, fsm.StrangerRefused},
		LayerKeptOut: {func(n *node, r *rawPeer) {
			if err := n.list.Add(allowlist.Member{ID: r.key.PeerID()}); err != nil {
				t.Fatal(err)
			}
			n.do(fsm.Shun{Peer: r.peer(), Until: time.Now().Add(time.Hour)})
			n.do()
		}, ErrShunned, fsm.StrangerRefused},
		LayerLimit: {func(n *node, r *rawPeer) { r.dial(n) }, ErrConnectionLimit, fsm.ConnectionLimit},
	} {
		t.Run(layer, func(t *testing.T) {
			n, r := newNode(t, func(c *Config) { c.MaxConnectionsPerPeer = 1 }), newRawPeer(t)
			if _, refused := n.Refusal(r.peer()); refused {
				t.Error("refused before it came")
			}
			test.prepare(n, r)
			r.knock(n)
			n.wantNotice(test.notice)
			r.knock(n)
			n.wantNotice(test.notice)
			got, refused := n.Refusal(r.peer())
			if !refused || got.Layer != layer || !errors.Is(got.Reason, test.reason) || got.Count != 2 ||
				got.Peer != r.peer() || got.Address == "" || got.Last.Before(got.First) {
				t.Errorf("refused as %+v", got)
			}
			if all := n.Refusals(); len(all) != 1 || all[0] != got {
				t.Errorf("all refusals: %+v", all)
			}
		})
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	g, now := testGate(t)
	g.config.ListedAddressesOnly = true
	for i := range maxRefusals + 10 {
		*now = now.Add(time.Second)
		g.enter(from(i))
	}
	g.enter(from(10))
	g.enter(from(maxRefusals + 100))
	p := &Protocol{gate: g}
	got := p.Refusals()
	if len(got) != maxRefusals || got[0].Address != addressOf(from(maxRefusals+100)) ||
		got[1].Address != addressOf(from(10)) || got[len(got)-1].Address != addressOf(from(12)) {
		t.Errorf("%d refusals, from %v, %v to %v", len(got), got[0], got[1], got[len(got)-1])
	}
}

func TestStrangersDisplaceNoRefusalOfAListedPeer(t *testing.T) {
	g, now := testGate(t)
	p := &Protocol{gate: g}
	member, was := newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID()
	refuse := func(id fsm.Peer, layer string, reason error) {
		*now = now.Add(time.Second)
		g.refusals.peer(idOf(id), from(1), layer, reason, *now)
	}
	listed, removed := fsm.Peer(member.Bytes()), fsm.Peer(was.Bytes())
	refuse(listed, LayerList, fsm.ErrNotListed) // it wasn't, before
	refuse(listed, LayerPin, ErrPinned)
	refuse(removed, LayerPin, ErrPinned) // it was, before
	refuse(removed, LayerList, fsm.ErrNotListed)
	if got, _ := p.Refusal(removed); got.Layer != LayerList || len(p.Refusals()) != 2 {
		t.Errorf("two peers, and the last is refused as %+v: %+v", got, p.Refusals())
	}
	for i := range 2 * maxRefusals {
		g.refusals.peer(peer.ID(strconv.Itoa(i)), from(1), []string{LayerList, LayerKey}[i%2], fsm.ErrNotListed, *now)
	}
	if got, found := p.Refusal(listed); !found || got.Layer != LayerPin || got.Count != 1 {
		t.Errorf("why a listed peer was refused is forgotten: %+v", got)
	}
	if _, found := p.Refusal(removed); found || len(p.Refusals()) != maxRefusals+1 {
		t.Errorf("%d refusals", len(p.Refusals()))
	}
}

// A handshake that isn't finished, wherever it stops, ends in time and is told.
func TestHandshakesThatStopEnd(t *testing.T) {
	const tooLong = 300 * time.Millisecond
	for name, says := range map[string]string{
		"at once":                    "",
		"within the first message":   "\x13/multi",
		"behind the first message":   "\x13/multistream/1.0.0\n",
		"behind the choice of Noise": "\x13/multistream/1.0.0\n\x07/noise\n",
		"within Noise":               "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20abc",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(c *Config) { c.HandshakeTimeout = tooLong })
			c, err := net.Dial("tcp", n.listeners[0].Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, says) // fails where the connection is ended already
			c.SetDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the connection isn't ended: %v", err)
			}
			n.wantRefusalAt(LayerHandshake, errUnprovedInTime)
		})
	}
	t.Run("with garbage", func(t *testing.T) {
		n := newNode(t)
		c, err := net.Dial("tcp", n.listeners[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\n"+strings.Repeat("Accept: *\r\n", 20)) // fails where the connection is ended already
		io.Copy(io.Discard, c)
		n.wantRefusalAt(LayerHandshake, errUnproved)
	})
}

// Multistream answers whatever is proposed, and would do so all the time.
func TestProposalsWithoutEndEndTheConnection(t *testing.T) {
	n := newNode(t) // whose HandshakeTimeout is longer than this test
	c, err := net.Dial("tcp", n.listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience / 2))
	const proposal, answer = "\x03/a\n", "\x03na\n"
	go func() {
		io.WriteString(c, "\x13/multistream/1.0.0\n")
		for { // until the connection is ended
			if _, err := io.WriteString(c, proposal); err != nil {
				return
			}
		}
	}()
	answered, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection isn't ended")
	}
	if most := int64(maxUnproved/len(proposal)*len(answer) + 20); answered > most {
		t.Errorf("answered with %d bytes, more than %d", answered, most)
	}
	n.wantRefusalAt(LayerHandshake, errTooMuchUnproved)
}

// wantRefusalAt waits until the only refusal is this one.
func (n *node) wantRefusalAt(layer string, reason error) {
	n.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		all := n.Refusals()
		if len(all) == 1 && all[0].Layer == layer && errors.Is(all[0].Reason, reason) && errors.Is(reason, ErrHandshake) && all[0].Peer == "" {
			return
		}
		if len(all) > 1 || time.Now().After(end) {
			n.t.Fatalf("refusals: %+v", all)
		}
	}
}

func TestAPeerIsLetInFromWhereItIsPinned(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.admit(b)
	if err := b.list.Add(allowlist.Member{ID: a.key.PeerID(), From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}); err != nil {
		t.Fatal(err)
	}
	connect(a, b)
	// Its limits have changed, and nothing that it is connected by.
	if err := b.list.Add(allowlist.Member{ID: a.key.PeerID(), Limits: allowlist.Limits{MaxStreams: 7}}); err != nil {
		t.Fatal(err)
	}
	b.quiet()
	if len(b.all()) != 1 {
		t.Error("it was disconnected")
	}
}
