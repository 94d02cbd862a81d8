package crash

import (
	"time"

	"github.com/parley-p2p/parley"
)

// hasty makes every timeout short.
func hasty(c *parley.Config) {
	c.DisconnectionTimeout, c.AckTimeout, c.FrameTimeout = 300*time.Millisecond, 200*time.Millisecond, 400*time.Millisecond
	c.HandshakeTimeout, c.DialTimeout, c.CloseTimeout, c.KeepAlive = 400*time.Millisecond, 400*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
}
