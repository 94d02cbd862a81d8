package p2p

import (
	"testing"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// A request of 256 bytes there, acknowledgement and reply in one write back,
// acknowledgement there: one exchange on a stream that is kept.
//
// Half of the time goes to the system calls of three writes and their reads,
// most of the rest to waking goroutines; encoding frames takes a tenth, Noise
// less than that.
func BenchmarkWarmExchange(b *testing.B) {
	x, y := pair(b)
	xc, yc := connect(x, y)
	request, body := x.request(1, make([]byte, 256))
	reply, answer := y.reply(request, make([]byte, 256))
	b.ReportAllocs()
	for b.Loop() {
		x.Sender() <- []fsm.Action{fsm.Send{Conn: xc, Stream: 2, Frame: request, Payload: body}}
		at := (<-y.Receiver()).(fsm.Arrived)
		y.Sender() <- []fsm.Action{
			fsm.Send{Conn: yc, Stream: at.Stream, Frame: ack(wire.OfRequest, request)},
			fsm.Send{Conn: yc, Stream: at.Stream, Frame: reply, Payload: answer}}
		<-x.Receiver()
		<-x.Receiver()
		x.Sender() <- []fsm.Action{fsm.Send{Conn: xc, Stream: 2, Frame: ack(wire.OfReply, reply)}}
		<-y.Receiver()
	}
}

// Dial, handshake, one frame of 256 bytes and a graceful disconnection.
//
// Two thirds of the time are the cryptography of the Noise handshake, of both
// sides; the allocations are nearly all libp2p's.
func BenchmarkColdFrame(b *testing.B) {
	x, y := pair(b)
	request, body := x.request(1, make([]byte, 256))
	b.ReportAllocs()
	for i := fsm.Stream(2); b.Loop(); i += 2 {
		xc, _ := connect(x, y)
		x.do(
			fsm.Send{Conn: xc, Stream: i, Frame: request, Payload: body},
			fsm.Disconnect{Conn: xc, Graceful: true})
		want[fsm.Arrived](y)
		want[fsm.Closed](y)
		want[fsm.Disconnected](x)
		want[fsm.Disconnected](y)
	}
}

// A payload of 16 MiB, offered, accepted and hashed on its way.
func BenchmarkLargePayload(b *testing.B) {
	x, y := pair(b)
	xc, yc := connect(x, y)
	request, body := x.request(1, make([]byte, 16<<20))
	b.SetBytes(16 << 20)
	for b.Loop() {
		x.do(fsm.Send{Conn: xc, Stream: 2, Frame: request, Payload: body})
		y.do(fsm.Accept{Conn: yc, Stream: want[fsm.Offered](y).Stream})
		got := want[fsm.Arrived](y)
		y.payloads.forget(got.Payload.Number)
	}
}
