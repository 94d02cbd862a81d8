// Package intake bounds what clients of the local API can make a node hold: how many
// are connected, how long they may take, and how many bytes of their calls are in
// memory. Whoever comes beyond a limit waits for his turn; the node goes on.
package intake

import (
	"net"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// maxTCP bounds the connections by TCP, where every user of the machine may come,
	// and needs a token only to be heard. Others wait until one of them ends.
	maxTCP = 128
	// maxUnix bounds the connections by the unix socket. Others wait until one of them
	// ends.
	maxUnix = 512
	// MaxHead bounds the head of a call, in bytes: a larger one is refused.
	MaxHead = 32 << 10
	// HeadTimeout bounds how long a client may take for the head of its call. Then its
	// connection ends.
	HeadTimeout = 10 * time.Second
	// IdleTimeout bounds how long a connection stays without a call.
	IdleTimeout = 2 * time.Minute
	// pause bounds how long the body of a call may stand still. Then the call has
	// failed.
	pause = 30 * time.Second
)

// Limited accepts as many connections at a time as there may be.
func Limited(l net.Listener) net.Listener {
	if l.Addr().Network() == "unix" {
		return netutil.LimitListener(l, maxUnix)
	}
	return netutil.LimitListener(l, maxTCP)
}
