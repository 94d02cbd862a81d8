package p2p

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
)

// What a peer sent before its pins changed waits in many places: for its turn in the
// inbox, and unparsed in buffers. Nothing of it comes after the change.
func TestNothingOfAPeerThatIsPinnedElsewhereBecomesReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{})
		write(t, c.open(), append([]byte(greeting), frames(t, maxReady+10)...))
		write(t, c.open(), append([]byte(greeting), frames(t, 1)...))
		synctest.Wait()

		member := n.list.Members()[0]
		member.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		if err := n.list.Add(member); err != nil {
			t.Fatal(err)
		}
		for range maxReady { // which were ready before
			want[fsm.Arrived](n)
		}
		if got := want[fsm.Disconnected](n); !errors.Is(got.Err, ErrPinned) {
			t.Errorf("disconnected %+v", got)
		}
		synctest.Wait()
		n.quiet()
	})
}

// Pins that still hold cut nobody off.
func TestAPeerThatIsPinnedWhereItIsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := serveLimited(t, allowlist.Limits{})
		s := c.open()
		write(t, s, append([]byte(greeting), frames(t, 1)...))
		member := n.list.Members()[0]
		member.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		if err := n.list.Add(member); err != nil {
			t.Fatal(err)
		}
		write(t, s, frames(t, 1))
		if got := n.drain(); got != 2 {
			t.Errorf("%d frames came", got)
		}
	})
}

func TestWhatYamuxHasReceivedIsNotReadOnceTheConnectionEnds(t *testing.T) {
	n, _ := servePipes(t)
	c := n.all()[0]
	s := newStream(c, 1)
	s.duplex = bytes.NewBufferString("received")
	c.close(nil)
	if _, err := s.in.ReadByte(); err != errClosed {
		t.Errorf("read on: %v", err)
	}
	want[fsm.Disconnected](n)
}
