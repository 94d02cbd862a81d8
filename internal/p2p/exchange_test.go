package p2p

import (
	"bytes"
	"testing"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

func TestTwoNodesExchangeFramesBothWays(t *testing.T) {
	for _, kinds := range [][2]identity.Kind{
		{identity.Ed25519, identity.Ed25519},
		{identity.Secp256k1, identity.Ed25519},
		{identity.Ed25519, identity.Secp256k1},
	} {
		t.Run(kinds[0].String()+" dials "+kinds[1].String(), func(t *testing.T) {
			a, b := newNodeWith(t, newKey(t, kinds[0])), newNodeWith(t, newKey(t, kinds[1]))
			a.admit(b)
			b.admit(a)
			ac, bc := connect(a, b)

			first, none := hello()
			request, body := a.request(1, []byte("a request"))
			a.do(
				fsm.Send{Conn: ac, Stream: 2, Frame: first, Payload: none},
				fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: body})
			greeted := want[fsm.Arrived](b)
			if greeted.Frame != first || greeted.Conn != bc || greeted.Stream%2 != 1 || greeted.Payload.Number != 0 {
				t.Fatalf("HELLO arrived as %+v", greeted)
			}
			arrived := want[fsm.Arrived](b)
			if arrived.Frame != request || arrived.Stream != greeted.Stream ||
				string(arrived.Payload.Inline) != "a request" || arrived.Payload.Number == 0 ||
				arrived.Payload.Hash != body.Hash || arrived.Payload.Size != body.Size {
				t.Fatalf("REQUEST arrived as %+v", arrived)
			}

			reply, answer := b.reply(request, []byte("a reply"))
			b.do(
				fsm.Send{Conn: bc, Stream: arrived.Stream, Frame: ack(wire.OfRequest, request)},
				fsm.Send{Conn: bc, Stream: arrived.Stream, Frame: reply, Payload: answer})
			if got := want[fsm.Arrived](a); got.Stream != 2 || got.Conn != ac || got.Frame.Kind != wire.Ack {
				t.Fatalf("ACK arrived as %+v", got)
			}
			if got := want[fsm.Arrived](a); got.Frame != reply || string(got.Payload.Inline) != "a reply" {
				t.Fatalf("REPLY arrived as %+v", got)
			}

			a.do(
				fsm.Send{Conn: ac, Stream: 2, Frame: ack(wire.OfReply, reply)},
				fsm.Disconnect{Conn: ac, Graceful: true})
			if got := want[fsm.Arrived](b); got.Frame.Kind != wire.Ack {
				t.Fatalf("ACK arrived as %+v", got)
			}
			want[fsm.Closed](b)
			if got := want[fsm.Disconnected](a); !got.Clean || got.Err != nil || got.Conn != ac {
				t.Fatalf("the dialer's end was %+v", got)
			}
			if got := want[fsm.Disconnected](b); got.Clean || got.Err != nil || got.Conn != bc {
				t.Fatalf("the responder's end was %+v", got)
			}
		})
	}
}

func TestLargePayloadIsReadWhenAccepted(t *testing.T) {
	a, b := pair(t)
	ac, bc := connect(a, b)
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<10) // 3.2 MB
	request, payload := a.request(1, body)
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})

	offered := want[fsm.Offered](b)
	if offered.Frame != request {
		t.Fatalf("offered %+v", offered)
	}
	b.do(fsm.Accept{Conn: bc, Stream: offered.Stream})
	arrived := want[fsm.Arrived](b)
	if arrived.Payload.Inline != nil || arrived.Payload.Size != int64(len(body)) ||
		!bytes.Equal(b.payloads.get(arrived.Payload.Number), body) {
		t.Fatalf("arrived as %+v", arrived.Payload)
	}
	// The stream serves the next exchange too.
	again, small := a.request(2, []byte("small"))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: again, Payload: small})
	if got := want[fsm.Arrived](b); got.Frame != again {
		t.Fatalf("arrived %+v", got)
	}
}
