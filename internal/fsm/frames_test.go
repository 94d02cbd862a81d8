package fsm

import (
	"crypto/sha256"
	"fmt"

	"github.com/parley-p2p/parley/internal/wire"
)

// frame is a frame as the tests write it, and the payload of a HELLO.
type frame struct {
	wire.Frame
	inline []byte
}

// tag is the tag of the n-th exchange of a test.
func tag(number int) wire.Tag { return wire.Tag{15: byte(number), 14: byte(number >> 8), 0: 1} }

// made is the name of the n-th exchange made here, asked of that of one of alice's.
func made(number int) Name  { return Name{us, tag(number)} }
func asked(number int) Name { return Name{alice, tag(number)} }

func hashOf(text string) wire.Hash { return sha256.Sum256([]byte(text)) }

// outgoing is the n-th request of a test, to alice.
func (n *node) outgoing(number int, lane string) Outgoing {
	n.number++
	body := fmt.Sprintf("request %d", number)
	return Outgoing{
		Peer: alice, Tag: tag(number), Lane: lane, Dialable: true,
		Payload: Payload{Hash: hashOf(body), Size: int64(len(body)), Number: n.number, Inline: []byte(body)},
	}
}

// largeOutgoing is one whose payload is in the journal already.
func (n *node) largeOutgoing(number int, lane string) Outgoing {
	o := n.outgoing(number, lane)
	o.Payload.Size, o.Payload.Inline = largeSize, nil
	n.payloads[n.number] = true
	return o
}

// request makes the n-th request.
func (n *node) request(number int, lane string) Ready {
	n.t.Helper()
	return n.step(Enqueue{Requests: []Outgoing{n.outgoing(number, lane)}})
}

// text is a small payload that the application answers with.
func (n *node) text(body string) Payload {
	n.number++
	return Payload{Hash: hashOf(body), Size: int64(len(body)), Number: n.number, Inline: []byte(body)}
}

// answer answers the n-th request of alice.
func (n *node) answer(number int) Ready {
	n.t.Helper()
	return n.step(Respond{Call: 1, Name: asked(number), Payload: n.text(fmt.Sprintf("reply %d", number))})
}

// The frames that peers send as dialers.

func hello(epoch, next uint64, open ...uint64) frame {
	list := wire.AppendOpen([]byte{}, open)
	return frame{wire.Frame{Kind: wire.Hello, Epoch: epoch, Next: next, Hash: sha256.Sum256(list), Size: uint64(len(list))}, list}
}

func request(seq uint64, lane string) frame {
	body := fmt.Sprintf("request %d", seq)
	return frame{wire.Frame{
		Kind: wire.Request, Epoch: theirEpoch, Seq: seq, Tag: tag(int(seq)), Lane: lane, Hash: hashOf(body), Size: uint64(len(body)),
		Low: 1, LargestReply: 1 << 20,
	}, nil}
}

func largeRequest(seq uint64, lane string) frame {
	return request(seq, lane).with(func(f *wire.Frame) { f.Size = largeSize })
}

func resume(seq uint64, lane string) frame {
	return request(seq, lane).with(func(f *wire.Frame) { f.Kind = wire.Resume })
}

func largeResume(seq uint64, lane string) frame {
	return largeRequest(seq, lane).with(func(f *wire.Frame) { f.Kind = wire.Resume })
}

func cancel(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Cancel, Epoch: theirEpoch, Seq: seq, Tag: tag(int(seq))}, nil}
}

func ackReply(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfReply, Epoch: theirEpoch, Seq: seq, Hash: hashOf(fmt.Sprintf("reply %d", seq))}, nil}
}

func nackReply(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Nack, Of: wire.OfReply, Epoch: theirEpoch, Seq: seq, Delay: wire.NoRoom}, nil}
}

func rejectReply(seq uint64, why wire.Refusal) frame {
	return frame{wire.Frame{Kind: wire.Reject, Of: wire.OfReply, Refusal: why, Epoch: theirEpoch, Seq: seq, Tag: tag(int(seq))}, nil}
}

// The frames that responders send to this node, in its present epoch.

func (n *node) epoch() uint64 { return n.m.peer(alice).dialer.epoch }

func (n *node) welcome(seen uint64) frame {
	return frame{wire.Frame{Kind: wire.Welcome, Epoch: n.epoch(), Next: seen}, nil}
}

func (n *node) ack(seq uint64) frame {
	hash := hashOf(fmt.Sprintf("request %d", seq))
	if x := n.m.peer(alice).dialer.open[seq]; x != nil {
		hash = x.payload.Hash
	}
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfRequest, Epoch: n.epoch(), Seq: seq, Hash: hash}, nil}
}

func (n *node) ackCancel(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfCancel, Epoch: n.epoch(), Seq: seq}, nil}
}

func (n *node) nack(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Nack, Of: wire.OfRequest, Epoch: n.epoch(), Seq: seq, Delay: wire.NoRoom}, nil}
}

func (n *node) nackCancel(seq uint64) frame {
	return n.nack(seq).with(func(f *wire.Frame) { f.Of = wire.OfCancel })
}

func (n *node) goAhead(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Continue, Epoch: n.epoch(), Seq: seq}, nil}
}

func (n *node) reject(seq uint64, why wire.Refusal) frame {
	f := wire.Frame{Kind: wire.Reject, Of: wire.OfRequest, Refusal: why, Epoch: n.epoch(), Seq: seq}
	switch why {
	case wire.Fenced:
		f.Known = n.epoch() + 10
	case wire.Policy:
		f.Tag, f.Text = tag(int(seq)), "not today"
		f.Hash = hashOf(f.Text)
	case wire.TooLarge:
		f.Tag, f.Known, f.Hash = tag(int(seq)), 5, hashOf("")
	}
	return frame{f, nil}
}

func (n *node) reply(seq uint64) frame {
	body := fmt.Sprintf("reply %d", seq)
	return frame{wire.Frame{Kind: wire.Reply, Epoch: n.epoch(), Seq: seq, Tag: tag(int(seq)), Hash: hashOf(body), Size: uint64(len(body))}, nil}
}

func (n *node) largeReply(seq uint64) frame {
	return n.reply(seq).with(func(f *wire.Frame) { f.Size = largeSize })
}

// with is a frame that differs in something.
func (f frame) with(change func(*wire.Frame)) frame {
	change(&f.Frame)
	return f
}

func (f frame) ofEpoch(epoch uint64) frame { return f.with(func(f *wire.Frame) { f.Epoch = epoch }) }
func (f frame) ofTag(number int) frame     { return f.with(func(f *wire.Frame) { f.Tag = tag(number) }) }
func (f frame) withLow(low uint64) frame   { return f.with(func(f *wire.Frame) { f.Low = low }) }
