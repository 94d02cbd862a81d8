package p2p

import (
	"crypto/sha256"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// halves is a request, or a HELLO, in two writes. The first ends only when the
// payload is being read: it is larger than what is read ahead.
func halves(t *testing.T, kind wire.Kind) (first, second []byte) {
	t.Helper()
	body := make([]byte, 4*readBuffer)
	frame := wire.Frame{Kind: kind, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: sha256.Sum256(body), Size: uint64(len(body))}
	if kind == wire.Hello {
		frame = wire.Frame{Kind: kind, Epoch: 1, Next: 1, Hash: frame.Hash, Size: frame.Size}
	}
	message := append(appendFrames(t, nil, frame), body...)
	return message[:3*readBuffer], message[3*readBuffer:]
}

// begin writes the first half of a message on each stream, and returns those on which
// it is being read.
func begin(streams []net.Conn, first []byte) (read <-chan net.Conn) {
	begun := make(chan net.Conn, len(streams))
	for _, s := range streams {
		go func() {
			if _, err := s.Write(first); err == nil {
				begun <- s
			}
		}()
	}
	synctest.Wait()
	return begun
}

func TestAPeerHasOnlySoManyPayloadsInHand(t *testing.T) {
	for _, kind := range []wire.Kind{wire.Request, wire.Hello} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, c := servePipes(t)
				other := n.servePipes(newKey(t, identity.Ed25519).PeerID())
				first, second := halves(t, wire.Request)
				streams, others := n.openPaid(c, maxInHandPerPeer+2), n.openPaid(other, 2)
				read := begin(streams[2:], first)
				if got := len(read); got != maxInHandPerPeer {
					t.Fatalf("%d payloads are read", got)
				}
				late, _ := halves(t, kind)
				waiting := begin(streams[:1], late)
				if got := len(waiting); got != 0 {
					t.Fatalf("%d payloads are read beyond maxInHandPerPeer", got)
				}

				// What has no payload doesn't wait, nor do others.
				write(t, streams[1], frames(t, 1))
				want[fsm.Arrived](n)
				if got := len(begin(others, first)); got != 2 {
					t.Errorf("%d payloads of another peer are read, want 2", got)
				}

				write(t, <-read, second)
				want[fsm.Arrived](n)
				synctest.Wait()
				if got := len(waiting); got != 1 {
					t.Error("the next isn't read when there is room again")
				}
			})
		})
	}
}

func TestAllPeersHaveOnlySoManyPayloadsInHandButOneOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		for range maxInHand {
			n.inHand <- struct{}{}
		}
		first, second := halves(t, wire.Request)
		read := begin(n.openPaid(c, 3), first)
		if got := len(read); got != 1 {
			t.Fatalf("%d payloads of a peer are read though there is no room, want 1", got)
		}
		write(t, <-read, second)
		want[fsm.Arrived](n)
		synctest.Wait()
		if got := len(read); got != 1 {
			t.Fatalf("%d more are read in its room, want 1", got)
		}
		<-n.inHand
		synctest.Wait()
		if got := len(read); got != 2 {
			t.Fatalf("%d more are read when there is room, want 2", got)
		}
	})
}

// Large payloads count as well, from when they are accepted; a wait ends with its
// stream, and gives back what it had.
func TestAWaitForRoomInHandEndsWithItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		large := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: wire.Hash{1}, Size: 1 << 20}
		streams := n.openPaid(c, 4)
		for range maxInHand {
			n.inHand <- struct{}{}
		}
		var last fsm.Offered
		for _, s := range streams {
			go s.Write(append(appendFrames(t, nil, large), make([]byte, piece)...))
			last = want[fsm.Offered](n)
			n.do(fsm.Accept{Conn: last.Conn, Stream: last.Stream})
			synctest.Wait()
		}
		b := n.all()[0].budget
		began := time.Now()
		for i, count := range []int{4, 3} {
			if got := len(b.inHand); got != count || len(b.first) != 1 {
				t.Fatalf("%d are in hand, %d of them outside the limit of all; want %d and 1", got, len(b.first), count)
			}
			if i == 0 {
				n.do(fsm.Reset{Conn: last.Conn, Stream: last.Stream})
				n.do()
				synctest.Wait()
			}
		}
		n.do(fsm.Disconnect{Conn: last.Conn})
		for ended := false; !ended; {
			_, ended = n.next().(fsm.Disconnected)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the end took %v", took)
		}
		if len(b.inHand) != 0 || len(b.first) != 0 || len(n.inHand) != maxInHand {
			t.Errorf("%d, %d and %d are in hand after the end", len(b.inHand), len(b.first), len(n.inHand))
		}
	})
}
