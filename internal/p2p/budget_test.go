package p2p

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// serveLimited is servePipes for one peer with limits of its own.
func serveLimited(t *testing.T, limits allowlist.Limits, change ...func(*Config)) (*node, *pipes) {
	t.Helper()
	id := newKey(t, identity.Ed25519).PeerID()
	list, err := allowlist.New(allowlist.Member{ID: id, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	n := listenWithout(t, append(change, func(c *Config) { c.Allow = list })...)
	return n, n.servePipes(id)
}

var anAck = ack(wire.OfReply, wire.Frame{Epoch: 1, Seq: 1, Hash: wire.Hash{1}})

// frames is a message of so many acknowledgements.
func frames(t *testing.T, count int) []byte {
	t.Helper()
	var message []byte
	for range count {
		message = appendFrames(t, message, anAck)
	}
	return message
}

// openPaid opens streams and lets time pass, until the peer has its whole burst again
// and reaching a limit is told anew.
func (n *node) openPaid(c *pipes, count int) (opened []net.Conn) {
	n.t.Helper()
	for range count {
		s := c.open()
		go s.Write([]byte(greeting))
		go io.Copy(io.Discard, s) // the answers
		opened = append(opened, s)
		time.Sleep(streamCost * time.Second)
	}
	time.Sleep(2 * limitedFor)
	for {
		synctest.Wait()
		select {
		case <-n.Priority():
		default:
			return opened
		}
	}
}

// drain counts the frames that are there.
func (n *node) drain() (count int) {
	n.t.Helper()
	for {
		synctest.Wait()
		select {
		case in := <-n.Receiver():
			if _, ok := in.(fsm.Arrived); !ok {
				n.t.Fatalf("got %T %+v", in, in)
			}
			count++
		default:
			return count
		}
	}
}

func TestFramesBeyondTheRateWaitAndAreNotLost(t *testing.T) {
	for name, test := range map[string]struct {
		own  allowlist.Limits
		rate int
	}{
		"the rate of all":        {allowlist.Limits{}, 5},
		"the rate of its own":    {allowlist.Limits{FramesPerSecond: 7}, 7},
		"a rate below one HELLO": {allowlist.Limits{FramesPerSecond: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, c := serveLimited(t, test.own, func(c *Config) { c.FramesPerSecond, c.FrameTimeout = 5, 2*time.Second })
				const each = 60
				for _, s := range n.openPaid(c, 2) {
					go s.Write(frames(t, each))
				}
				if got := n.drain(); got != frameBurst*test.rate {
					t.Fatalf("%d frames at once, want %d", got, frameBurst*test.rate)
				}
				total := frameBurst * test.rate
				for range 3 {
					time.Sleep(time.Second)
					got := n.drain()
					if total += got; got != test.rate {
						t.Fatalf("%d frames in a second, want %d", got, test.rate)
					}
				}
				for range 2 * each {
					time.Sleep(time.Second)
					total += n.drain()
				}
				if total != 2*each {
					t.Errorf("%d frames of %d came", total, 2*each)
				}
				notice := n.wantNotice(fsm.PeerLimited)
				if notice.Peer != peerOf(c.id) || notice.Count != 1 || !strings.Contains(notice.Detail, "FramesPerSecond: ") {
					t.Errorf("noticed %+v", notice)
				}
				synctest.Wait()
				if extra, more := n.notices.take(); more {
					t.Errorf("noticed again: %+v", extra)
				}
			})
		})
	}
}

func TestReachingALimitAgainIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 1})
		s := c.open()
		message := append([]byte(greeting), frames(t, frameBurst+2)...)
		for range 2 {
			go s.Write(message)
			message = frames(t, frameBurst+2)
			time.Sleep(time.Minute)
			n.drain()
			n.wantNotice(fsm.PeerLimited)
			time.Sleep(limitedFor)
		}
	})
}

func TestAHelloAndPayloadsCountAsSeveralFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 10})
		body := bytes.Repeat([]byte{1}, 48<<10)
		request := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: sha256.Sum256(body), Size: uint64(len(body))}
		first, _ := hello()
		message := append(appendFrames(t, []byte(greeting), first, request), body...)
		go c.open().Write(append(message, frames(t, 100)...))
		if got, want := n.drain(), 2+10*frameBurst-(streamCost+helloCost+1+3); got != want {
			t.Errorf("%d frames came at once, want %d", got, want)
		}
		time.Sleep(time.Hour)
		n.drain()
	})
}

// Neither the end of a connection nor that of a stream waits for the rate.
func TestAWaitForTheRateEndsWithItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 1})
		for range 3 {
			go c.open().Write(append([]byte(greeting), frames(t, 50)...))
		}
		var at fsm.Arrived
		for range frameBurst {
			at = want[fsm.Arrived](n)
		}
		synctest.Wait()
		began := time.Now()
		n.do(fsm.Reset{Conn: at.Conn, Stream: at.Stream})
		n.do()
		synctest.Wait()
		if got := open(n); got != 2 {
			t.Errorf("%d streams are open, want 2", got)
		}
		n.do(fsm.Disconnect{Conn: at.Conn})
		want[fsm.Disconnected](n)
		if took := time.Since(began); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}

// What is read past of a refused payload is paid for too, and takes one frame
// timeout at most, however the peer keeps it coming.
func TestARefusedPayloadIsReadNoFasterThanOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 1})
		s := n.openPaid(c, 1)[0]
		began := time.Now()
		request := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: wire.Hash{1}, Size: 4 << 30}
		write(t, s, appendFrames(t, nil, request))
		at := want[fsm.Offered](n)
		n.do(fsm.Send{Conn: at.Conn, Stream: at.Stream, Frame: nack(wire.OfRequest, request)})
		written := 0
		for body := make([]byte, payloadCost); ; {
			more, err := s.Write(body)
			written += more
			if err != nil {
				break
			}
		}
		took := time.Since(began)
		if most := (frameBurst + int(took/time.Second)) * payloadCost; written > most+readBuffer {
			t.Errorf("%d bytes were read in %v, want at most %d", written, took, most)
		}
		if slack := piece / payloadCost * time.Second; took < n.config.FrameTimeout || took > n.config.FrameTimeout+slack {
			t.Errorf("it took %v, want %v", took, n.config.FrameTimeout)
		}
		want[fsm.Closed](n)
		n.wantNotice(fsm.PeerLimited)
		n.wantNotice(fsm.MessageDropped)
	})
}

func TestARefusedPayloadThatIsReadLeavesTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{})
		s := n.openPaid(c, 1)[0]
		request := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: wire.Hash{1}, Size: 3*piece + 1}
		write(t, s, appendFrames(t, nil, request))
		at := want[fsm.Offered](n)
		n.do(fsm.Send{Conn: at.Conn, Stream: at.Stream, Frame: nack(wire.OfRequest, request)})
		write(t, s, make([]byte, request.Size))
		time.Sleep(2 * n.config.FrameTimeout) // between frames there is no deadline
		write(t, s, frames(t, 1))
		if got := n.drain(); got != 1 {
			t.Errorf("%d frames came", got)
		}
	})
}

func TestOpeningAStreamCountsAsSeveralFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 1}, func(c *Config) { c.MaxStreamsPerConnection = 3 })
		message := append([]byte(greeting), frames(t, 1)...)
		go c.open().Write(message)
		if got := n.drain(); got != 1 {
			t.Fatalf("%d streams were served at once", got)
		}
		for range 2 {
			go c.open().Write(message)
		}
		if got := n.drain(); got != 0 {
			t.Fatalf("%d streams more were served at once of a burst of %d frames", got, frameBurst)
		}
		// Those that wait are open: they leave no room for others.
		if _, err := c.open().Write(message); err == nil {
			t.Error("a stream beyond MaxStreamsPerConnection was taken")
		}
		time.Sleep((3*(streamCost+1) - frameBurst) * time.Second)
		if got := n.drain(); got != 2 {
			t.Errorf("%d streams were served when their turn came, want 2", got)
		}
	})
}

// What wasn't read isn't charged: a peer that comes back after it lost a connection
// with many frames waiting finds what has grown meanwhile.
func TestFramesThatWereNeverReadAreNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 10})
		for _, s := range n.openPaid(c, 200) {
			go s.Write(frames(t, 50))
		}
		n.drain()
		n.do(fsm.Disconnect{Conn: n.all()[0].number})
		want[fsm.Disconnected](n)

		time.Sleep(5 * time.Second)
		go n.servePipes(n.list.Members()[0].ID).open().Write(append([]byte(greeting), frames(t, 50)...))
		if got, want := n.drain(), 5*10-streamCost; got != want {
			t.Errorf("%d frames came at once after 5 s, want %d", got, want)
		}
	})
}

func TestARaisedRateHelpsWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 1})
		const streams, each = 4, 30
		for _, s := range n.openPaid(c, streams) {
			go s.Write(frames(t, each))
		}
		total := n.drain()
		member := n.list.Members()[0]
		member.Limits.FramesPerSecond = 100
		if err := n.list.Add(member); err != nil {
			t.Fatal(err)
		}
		time.Sleep(maxDoze + streams*each*time.Second/100)
		if total += n.drain(); total != streams*each {
			t.Errorf("%d frames of %d came", total, streams*each)
		}
	})
}

// Streams that wait for the rate take turns, whatever their connection.
func TestStreamsWaitForTheRateInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{FramesPerSecond: 10})
		for range 5 {
			go c.open().Write(append([]byte(greeting), frames(t, 200)...))
		}
		n.drain()
		came := map[fsm.Stream]int{}
		for range 50 {
			came[want[fsm.Arrived](n).Stream]++
		}
		for stream, count := range came {
			if count != 10 {
				t.Errorf("%d frames of stream %d came, of 50 of 5 streams", count, stream)
			}
		}
	})
}

func TestStreamsOfAPeerAreLimitedOverItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{MaxStreams: 3})
		members := n.list.Members()
		second := n.servePipes(members[0].ID)
		message := append([]byte(greeting), frames(t, 1)...)
		first := c.open()
		write(t, first, message)
		write(t, second.open(), message)
		write(t, second.open(), message)
		if got := n.drain(); got != 3 {
			t.Fatalf("%d frames came", got)
		}
		refused := c.open()
		if _, err := refused.Write(message); err == nil {
			t.Error("a fourth stream was taken")
		}
		if got := n.wantNotice(fsm.PeerLimited); !strings.Contains(got.Detail, "MaxStreams: 3") {
			t.Errorf("noticed %+v", got)
		}
		first.Close()
		want[fsm.Closed](n)
		synctest.Wait()
		write(t, c.open(), message)
		if got := n.drain(); got != 1 {
			t.Error("there is no room for the one that ended")
		}
	})
}
