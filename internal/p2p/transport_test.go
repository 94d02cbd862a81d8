package p2p

import (
	"bytes"
	"testing"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// TestNodesWithGoLibp2psNoise exchange payloads of every size with those that have
// ours, whoever dials, and again when the connection is made anew.
func TestNodesWithGoLibp2psNoise(t *testing.T) {
	stock := func(c *Config) { c.StockNoise = true }
	ours := func(*Config) {}
	for _, test := range []struct {
		name            string
		dialer, dialled func(*Config)
		kind            identity.Kind
	}{
		{"dial", stock, ours, identity.Ed25519},
		{"are dialled", ours, stock, identity.Secp256k1},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newNodeWith(t, newKey(t, test.kind), test.dialer), newNode(t, test.dialled)
			a.admit(b)
			b.admit(a)
			for seq := uint64(1); seq < 5; seq += 2 {
				ac, bc := connect(a, b)
				small, body := a.request(seq, []byte("a request"))
				a.do(fsm.Send{Conn: ac, Stream: 2, Frame: small, Payload: body})
				arrived := want[fsm.Arrived](b)
				if arrived.Frame != small || string(arrived.Payload.Inline) != "a request" {
					t.Fatalf("REQUEST arrived as %+v", arrived)
				}
				large := bytes.Repeat([]byte("0123456789abcdef"), 50<<10)
				reply, answer := b.reply(small, large)
				b.do(
					fsm.Send{Conn: bc, Stream: arrived.Stream, Frame: ack(wire.OfRequest, small)},
					fsm.Send{Conn: bc, Stream: arrived.Stream, Frame: reply, Payload: answer})
				if got := want[fsm.Arrived](a); got.Frame.Kind != wire.Ack {
					t.Fatalf("ACK arrived as %+v", got)
				}
				if got := want[fsm.Offered](a); got.Frame != reply {
					t.Fatalf("offered %+v", got)
				}
				a.do(fsm.Accept{Conn: ac, Stream: 2})
				if got := want[fsm.Arrived](a); !bytes.Equal(a.payloads.get(got.Payload.Number), large) {
					t.Fatalf("REPLY arrived as %+v", got)
				}
				a.do(fsm.Disconnect{Conn: ac, Graceful: true})
				want[fsm.Disconnected](a)
				want[fsm.Closed](b)
				want[fsm.Disconnected](b)
			}
		})
	}
}
