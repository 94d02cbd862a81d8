package parley_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/attack"
)

// exchanging are the alerts that come while a peer that is off the list, or kept
// out, goes on dialling.
var exchanging = []parley.Kind{parley.StrangerRefused, parley.PeerSuspended}

// untilRefused waits until a peer was refused for this reason.
func (n *node) untilRefused(peer *node, reason error) (why parley.Refusal) {
	n.t.Helper()
	n.until("the peer is refused", func() bool {
		var found bool
		why, found = n.WhyRefused(peer.PeerID())
		return found && errors.Is(why.Reason, reason)
	})
	if why.Peer != peer.PeerID() || why.Count == 0 || why.First.After(why.Last) || why.Address == "" || why.Reason.Error() == "" {
		n.t.Fatalf("it was refused by %+v", why)
	}
	return why
}

// limit has a node list a peer with limits of its own.
func (n *node) limit(peer identity.Key, limits allowlist.Limits) {
	n.t.Helper()
	if err := n.config.AllowList.Add(allowlist.Member{ID: peer.PeerID(), Limits: limits}); err != nil {
		n.t.Fatal(err)
	}
}

// statusOf is how things stand with a peer.
func (n *node) statusOf(peer *node) parley.PeerStatus {
	n.t.Helper()
	all := n.Peers()
	i := slices.IndexFunc(all, func(s parley.PeerStatus) bool { return s.Peer == peer.PeerID() })
	if i < 0 {
		n.t.Fatalf("nothing is known of %v", peer.PeerID())
	}
	return all[i]
}

// Bob's operator takes Alice off the list amid exchanges of both directions, one
// of them with a large request that is half-way. When Remove returns nothing goes
// between the two any more; when she is back all of it goes on and ends.
func TestRemovedPeerIsSuspendedInBothDirections(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	asked := alice.ask(bob, "of Alice")
	bob.wantBody(parley.RequestReceived, "of Alice")
	answered := bob.ask(alice, "of Bob")
	alice.wantBody(parley.RequestReceived, "of Bob")
	body := make([]byte, 32<<20)
	rand.NewChaCha8([32]byte{}).Read(body)
	large := alice.send(parley.Message{Peer: bob.PeerID(), Address: bob.address, Lane: "large", Body: body})
	bob.until("the large request is on its way", func() bool { _, err := bob.Exchange(large); return err == nil })

	if !bob.config.AllowList.Remove(alice.PeerID()) {
		t.Fatal("she wasn't on the list")
	}
	if _, err := bob.Request(alice.PeerID(), alice.address, nil); !errors.Is(err, parley.ErrNotListed) {
		t.Fatalf("a request to a peer off the list gives %v", err)
	}
	arrived := bob.wantAmid(parley.PeerSuspended, parley.StrangerRefused, parley.RequestReceived)
	if arrived.Peer != alice.PeerID() {
		t.Fatalf("%+v came", arrived)
	}
	requests := bob.Stats().Requests
	if s := bob.statusOf(alice); s.Listed || bob.exchange(answered).State != "suspended" {
		t.Fatalf("she stands as %+v, what was asked of her is %s", s, bob.exchange(answered).State)
	}
	bob.reply(asked, "to Alice") // waits for her
	alice.reply(answered, "to Bob")
	if r := bob.untilRefused(alice, parley.ErrNotListed); r.Layer != "list" {
		t.Fatalf("she was refused by %+v", r)
	}
	if now := bob.Stats().Requests; now != requests {
		t.Fatalf("%d requests of hers were stored since", now-requests)
	}
	if x := alice.exchange(asked); x.Ended != (time.Time{}) {
		t.Fatalf("the reply reached her: %+v", x)
	}

	if err := bob.config.AllowList.Add(allowlist.Member{ID: alice.PeerID()}); err != nil {
		t.Fatal(err)
	}
	alice.wantBody(parley.ReplyReceived, "to Alice")
	hash := sha256.Sum256(body)
	for replied, received := false, false; !replied || !received; {
		switch e := bob.next(); {
		case e.Kind == parley.ReplyReceived && e.ID == answered && string(e.Body) == "to Bob":
			replied = true
		case e.Kind == parley.RequestReceived && e.ID == large && sha256.Sum256(e.Body) == hash:
			received = true
		case !slices.Contains(exchanging, e.Kind):
			t.Fatalf("%v of %v came", e.Kind, e.ID)
		}
	}
	bob.reply(large, "whole")
	alice.wantBody(parley.ReplyReceived, "whole")
}

// The list may be changed wherever an application runs, and whenever: in a Serve
// handler, in the loop that takes events, and while the node closes or starts.
func TestListIsChangedFromEverywhere(t *testing.T) {
	nodes := group(t, 3, impatient)
	alice, bob, carol := nodes[0], nodes[1], nodes[2]
	list := bob.config.AllowList
	carol.ask(bob, "from the loop")
	bob.want(parley.RequestReceived)
	if !list.Remove(carol.PeerID()) {
		t.Fatal("she wasn't on the list")
	}
	bob.wantAmid(parley.PeerSuspended, parley.StrangerRefused)

	serve(t, bob, func(_ context.Context, r *parley.Request) ([]byte, error) {
		if r.Peer != alice.PeerID() {
			return nil, nil
		}
		return []byte("done"), list.Add(allowlist.Member{ID: carol.PeerID()})
	})
	if reply, err := alice.Call(t.Context(), bob.PeerID(), bob.address, nil); err != nil || string(reply) != "done" {
		t.Fatalf("%q, %v", reply, err)
	}
	if !bob.statusOf(carol).Listed {
		t.Fatal("she isn't on the list")
	}

	var changing sync.WaitGroup
	started := make(chan struct{})
	changing.Go(func() {
		for stopped := false; !stopped; {
			list.Remove(alice.PeerID())
			if err := list.Add(allowlist.Member{ID: alice.PeerID()}); err != nil {
				t.Error(err)
			}
			select {
			case <-started:
				stopped = true
			default:
			}
		}
	})
	for range 10 {
		bob = bob.restart()
	}
	close(started)
	changing.Wait()
	bob.until("she is listed", func() bool { return bob.statusOf(alice).Listed })
}

// A peer that is pinned to an address is let in from there alone, and dialled
// nowhere else; a change of the pins takes effect at once.
func TestPinnedPeer(t *testing.T) {
	alice, bob := pair(t, impatient)
	exchangeOnce(alice, bob, "from anywhere")
	pin := func(prefix string) {
		t.Helper()
		from := []netip.Prefix{netip.MustParsePrefix(prefix)}
		if err := bob.config.AllowList.Add(allowlist.Member{ID: alice.PeerID(), From: from}); err != nil {
			t.Fatal(err)
		}
	}
	pin("192.0.2.7/32")
	asked, answered := alice.ask(bob, "from elsewhere"), bob.ask(alice, "to elsewhere")
	if r := bob.untilRefused(alice, parley.ErrPinned); r.Layer != "pin" {
		t.Fatalf("she was refused by %+v", r)
	}
	bob.until("he has not dialled her there", func() bool { return bob.exchange(answered).Failures > 0 || bob.statusOf(alice).Failures > 0 })
	if alice.Stats().Requests != 0 || bob.Stats().Requests != 1 {
		t.Fatal("something went through")
	}
	pin("127.0.0.0/8")
	if e := bob.wantAmid(parley.RequestReceived, exchanging...); e.ID != asked {
		t.Fatalf("%+v came", e)
	}
	alice.wantBody(parley.RequestReceived, "to elsewhere")
}

// With ListedAddressesOnly a listed key isn't enough: nothing is spent on whoever
// comes from an address that the list doesn't name.
func TestListedAddressesOnly(t *testing.T) {
	alice, bob := pair(t, impatient)
	bob.stop()
	bob.config.ListedAddressesOnly = true
	bob = bob.again()
	id := alice.ask(bob, "hello")
	bob.until("she is refused by her address", func() bool {
		for _, r := range bob.Refused() {
			if r.Peer.IsZero() && r.Layer == "address" && errors.Is(r.Reason, parley.ErrNotListed) && strings.Contains(r.Address, "127.0.0.1") {
				return true
			}
		}
		return false
	})
	if r, found := bob.WhyRefused(alice.PeerID()); found {
		t.Fatalf("her key was looked at: %+v", r)
	}
	if e := bob.want(parley.StrangerRefused); !e.Peer.IsZero() {
		t.Fatalf("%+v came", e)
	}
	if err := bob.config.AllowList.Add(allowlist.Member{ID: alice.PeerID(), Addresses: []string{alice.address}}); err != nil {
		t.Fatal(err)
	}
	if e := bob.wantAmid(parley.RequestReceived, exchanging...); e.ID != id {
		t.Fatalf("%+v came", e)
	}
}

// A peer that asks faster than its limits in the allow list allow is told when to
// come again, and does: nothing is lost, the operator hears of it once, and
// nobody else is slowed.
func TestPeerThatAsksTooFast(t *testing.T) {
	nodes := group(t, 3, impatient)
	alice, bob, carol := nodes[0], nodes[1], nodes[2]
	bob.limit(alice.key, allowlist.Limits{ExchangesPerSecond: 1}) // after ten at once
	const count = 13
	messages := make([]parley.Message, count)
	for i := range messages {
		messages[i] = parley.Message{Peer: bob.PeerID(), Address: bob.address, Lane: fmt.Sprint(i)}
		carol.askIn(fmt.Sprint(i), bob, "at ease")
	}
	ids, err := alice.Send(messages...)
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for range 2 * count {
		e := bob.next()
		for ; e.Kind == parley.PeerLimited; e = bob.next() {
			if alerts += e.Count; e.Peer != alice.PeerID() || !strings.Contains(e.Err.Error(), "ExchangesPerSecond: 1 ") {
				t.Fatalf("%v: %v", e.Peer, e.Err)
			}
			if s := bob.statusOf(alice); !strings.Contains(s.Limited, "ExchangesPerSecond: 1 ") {
				t.Errorf("she is limited by %q", s.Limited)
			}
		}
		if e.Kind != parley.RequestReceived {
			t.Fatalf("%v (%v) came", e.Kind, e.Err)
		}
		bob.reply(e.ID, "")
	}
	for range count {
		e := alice.want(parley.ReplyReceived)
		i := slices.Index(ids, e.ID)
		if i < 0 {
			t.Fatalf("%v came twice, or out of nothing", e.ID)
		}
		ids = slices.Delete(ids, i, i+1)
	}
	if alerts != 1 {
		t.Errorf("the operator was told %d times", alerts)
	}
	if nacks := alice.Stats().Nacks; nacks == 0 {
		t.Error("she was never told to come back later")
	}
	if nacks := carol.Stats().Nacks; nacks != 0 {
		t.Errorf("Carol was told to come back later %d times", nacks)
	}
	if s := bob.statusOf(carol); s.Limited != "" {
		t.Errorf("Carol is limited by %q", s.Limited)
	}
}

// A peer that breaks the protocol is kept out, twice as long the second time,
// over restarts too, until its time is up or the operator pardons it.
func TestPeerThatBreaksTheProtocolIsKeptOut(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	alice.stop() // her key is in other hands for a while
	var until time.Time
	for _, keptOut := range []time.Duration{time.Second, 2 * time.Second} {
		bob.until("she is let in", func() bool { return bob.statusOf(alice).KeptOutUntil.IsZero() })
		garbage(t, bob, alice.key)
		e := bob.want(parley.ProtocolViolation)
		var trouble *parley.PeerError
		if e.Peer != alice.PeerID() || e.Until.Sub(e.Time) != keptOut || !errors.As(e.Err, &trouble) || trouble.Err.Error() == "" {
			t.Fatalf("%+v came, want her kept out for %v", e, keptOut)
		}
		until = e.Until
		bob = bob.restart()
		s := bob.statusOf(alice)
		if s.Broke != trouble.Err.Error() || s.KeptOutUntil.Truncate(time.Millisecond) != until.Truncate(time.Millisecond) {
			if time.Now().Before(until) {
				t.Fatalf("after a restart she stands as %+v, want her kept out until %v for %q", s, until, trouble.Err)
			}
		}
	}

	alice = alice.again()
	id := alice.ask(bob, "I am back")
	bob.until("she is refused, or her time is up", func() bool {
		r, found := bob.WhyRefused(alice.PeerID())
		return found && errors.Is(r.Reason, parley.ErrKeptOut) && r.Layer == "kept out" || time.Now().After(until)
	})
	if err := bob.Pardon(alice.PeerID()); err != nil {
		t.Fatal(err)
	}
	if s := bob.statusOf(alice); !s.KeptOutUntil.IsZero() || s.Broke != "" {
		t.Fatalf("after a pardon she stands as %+v", s)
	}
	if e := bob.wantAmid(parley.RequestReceived, exchanging...); e.ID != id {
		t.Fatalf("%+v came", e)
	}
	bob.reply(id, "welcome")
	alice.wantBody(parley.ReplyReceived, "welcome")
	if err := bob.Pardon(newKey(t).PeerID()); err != nil {
		t.Fatalf("pardoning a peer that did nothing gives %v", err)
	}
}

// garbage has whoever holds a key send what is no frame, until it is hung up on.
func garbage(t *testing.T, to *node, key identity.Key) {
	t.Helper()
	a := attack.Attacker{Target: attack.Target{Address: to.address, Peer: to.PeerID()}, Key: key, Times: 1}
	if err := attack.GarbageFrames(t.Context(), &a); err != nil {
		t.Fatal(err)
	}
}
