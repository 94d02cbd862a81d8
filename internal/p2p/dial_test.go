package p2p

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// unanswered dials in vain until told to stop.
type unanswered struct{ now, ever atomic.Int64 }

func (u *unanswered) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	u.ever.Add(1)
	u.now.Add(1)
	defer u.now.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDialsBeyondTheirNumberWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, sockets := listenWithout(t), &unanswered{}
		n.sockets = sockets
		const dials = maxDials + 44
		var last fsm.Peer
		for range dials {
			last = fsm.Peer(newKey(t, identity.Ed25519).PeerID().Bytes())
			n.do(fsm.Dial{Peer: last, Addresses: []string{"/ip4/192.0.2.1/tcp/4001"}})
			synctest.Wait()
		}
		if now := sockets.now.Load(); now != maxDials {
			t.Fatalf("%d are dialled at once, want %d", now, maxDials)
		}
		n.do(fsm.Shun{Peer: last, Until: n.gate.now().Add(1 << 40)})
		for i := range dials {
			got := want[fsm.DialFailed](n)
			if wait := got.Peer == last; errors.Is(got.Err, ErrShunned) != wait {
				t.Errorf("dial %d failed: %v", i, got.Err)
			}
		}
		if ever := sockets.ever.Load(); ever != dials-1 {
			t.Errorf("%d were dialled, want all but the one that was kept out while it waited", ever)
		}
	})
}
