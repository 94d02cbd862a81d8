package committee

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// What a member of bad will, or another program, may send.
func TestMemberRejectsWhatNoMemberAsks(t *testing.T) {
	g := gather(t, 2, 2, 1, 1)
	g.run()
	honest, liar := g.committee.Members[0], g.committee.Members[1]
	partial := request{Ask: Ask{Partial, Round{0, 1}}, Sighash: make(Bytes, 32), AggregateNonce: make(Bytes, 66)}
	for name, body := range map[string]any{
		"something else":                    "hello",
		"another subject":                   Ask{Subject: "secret key"},
		"a key of a round":                  Ask{Key, Round{0, 1}},
		"a transaction that isn't":          Ask{Nonce, Round{2, 1}},
		"a transaction before the first":    Ask{Nonce, Round{-1, 1}},
		"no attempt":                        Ask{Nonce, Round{0, 0}},
		"too many attempts":                 Ask{Nonce, Round{0, maxAttempts + 1}},
		"a further attempt at what is done": Ask{Nonce, Round{0, 2}},
		"attempts left out":                 Ask{Nonce, Round{1, 3}},
		"a signature of something else":     partial,
	} {
		x := g.inject(t, liar, honest, body)
		g.turn(honest)
		g.turn(honest)
		if !x.rejected || x.rejectionReason == "" {
			t.Errorf("%s: rejected %v, answer %q", name, x.rejected, x.answer)
		}
	}
	before := g.audit()
	if before.Reused != 0 || before.Repeated != 0 || before.Valid != 2 {
		t.Errorf("got %+v, want nothing changed", before)
	}
}

// A handler's allow list may hold more peers than one committee.
func TestMemberRejectsWhoIsNoMember(t *testing.T) {
	g := gather(t, 2, 2, 1, 1)
	g.run()
	before := len(g.disks[g.committee.Members[0]].content)
	stranger, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for n, ask := range []Ask{{Subject: Key}, {Nonce, Round{0, 1}}, {Partial, Round{0, 1}}, {Nonce, Round{0, 2}}} {
		text, err := json.Marshal(ask)
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{Message: parley.Message{Peer: g.committee.Members[0], Body: text}, id: parley.ID{Dialer: stranger.PeerID(), Tag: [16]byte{byte(n)}}}
		g.exchanges = append(g.exchanges, x)
		g.turn(x.Peer)
		if !x.rejected || x.rejectionReason == "" {
			t.Errorf("%s: rejected %v, answer %q", ask, x.rejected, x.answer)
		}
	}
	if after := len(g.disks[g.committee.Members[0]].content); after != before {
		t.Errorf("the state grew from %d to %d bytes", before, after)
	}
}

// inject makes a request that the member wouldn't make.
func (g *gathering) inject(t *testing.T, from, to identity.ID, body any) *exchange {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	message := parley.Message{Peer: to, Lane: "injected", Key: string(text), Body: text}
	if _, err := g.members[from].handler.Send(message); err != nil {
		t.Fatal(err)
	}
	return g.exchanges[len(g.exchanges)-1]
}

func TestMemberNamesWhoAnswersWrongly(t *testing.T) {
	for name, test := range map[string]struct {
		subject Subject
		answer  any
	}{
		"no answer at all":                {Key, "hello"},
		"a key off the curve":             {Key, Answer{Value: make(Bytes, 33)}},
		"a nonce of a wrong size":         {Nonce, Answer{Value: make(Bytes, 65)}},
		"a nonce off the curve":           {Nonce, Answer{Value: make(Bytes, 66)}},
		"a partial signature of zero":     {Partial, Answer{Value: make(Bytes, 32)}},
		"a partial signature of no bytes": {Partial, Answer{}},
	} {
		g := gather(t, 2, 1, 1, 1)
		honest, liar := g.committee.Members[0], g.committee.Members[1]
		g.forge = func(x *exchange, body []byte) []byte {
			if x.Peer != liar || !strings.HasPrefix(x.Key, string(test.subject)) {
				return body
			}
			text, err := json.Marshal(test.answer)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		g.mayFail = true
		for range 100 {
			g.turn(honest)
			g.turn(liar)
		}
		if err := g.failed[honest]; err == nil || !strings.Contains(err.Error(), liar.Short()) {
			t.Errorf("%s: got %v, want an error that names %s", name, err, liar.Short())
		}
	}
}
