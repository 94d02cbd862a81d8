package p2p

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/transport"

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

// How long a peer's frame takes to the mediator while another peer sends what it
// can on 4 connections of 200 streams each, and the mediator takes 10 µs for each.
func BenchmarkFrameBesideAFlood(b *testing.B) {
	n, honest, greedy := newNode(b), newNode(b), newRawPeer(b)
	n.admit(honest)
	honest.admit(n)
	conn, _ := connect(honest, n)
	frame := ack(wire.OfReply, wire.Frame{Epoch: 1, Seq: 1, Hash: wire.Hash{1}})
	var flood []byte
	for range 100 {
		flood = appendFrames(b, flood, frame)
	}
	var connections []transport.CapableConn
	for range 4 {
		c, _ := greedy.dial(n)
		connections = append(connections, c)
	}
	for _, c := range connections {
		for range 200 {
			s, rw := greedy.open(c)
			go func() {
				for {
					if _, err := rw.Write(flood); err != nil {
						s.Reset()
						return
					}
				}
			}()
		}
	}
	arrived := make(chan struct{})
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case in := <-n.Receiver():
				for began := time.Now(); time.Since(began) < 10*time.Microsecond; {
				}
				if at, ok := in.(fsm.Arrived); ok && at.Conn == 1 {
					arrived <- struct{}{}
				}
			case <-over:
				return
			}
		}
	}()
	for b.Loop() {
		honest.do(fsm.Send{Conn: conn, Stream: 2, Frame: frame})
		<-arrived
	}
}
