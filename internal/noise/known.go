package noise

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// maxKnown bounds the identities that are remembered; any one is forgotten for
// each that is new, and costs a verification when it comes again.
const maxKnown = 1024

// known are the static keys that an identity has signed, as was verified. It is
// enough to know that one such signature exists: it says that the static key is
// the identity's, and that the peer of this handshake has the static key is proved
// by the handshake itself. Peers that make a new static key for each handshake, as
// go-libp2p does, are never recognised.
type known struct {
	mu    sync.Mutex
	pairs map[pair]struct{} // at most maxKnown
}

type pair struct {
	static [32]byte
	id     peer.ID
}

func newKnown() *known { return &known{pairs: make(map[pair]struct{})} }

func (k *known) has(static []byte, id peer.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, found := k.pairs[pair{[32]byte(static), id}]
	return found
}

func (k *known) add(static []byte, id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.pairs) >= maxKnown {
		for old := range k.pairs {
			delete(k.pairs, old)
			break
		}
	}
	k.pairs[pair{[32]byte(static), id}] = struct{}{}
}
