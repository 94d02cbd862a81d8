package p2p

const (
	// maxInHand bounds the payloads that are in hand of all peers: being read, or read
	// and neither ready for the mediator nor on the disk yet. Beyond it streams wait before
	// they read theirs, but for one of each peer.
	maxInHand = 2048
	// maxInHandPerPeer bounds the payloads in hand of one peer, on all its
	// connections. Beyond it its streams wait, and nobody else's.
	maxInHandPerPeer = 128
)

// takeInHand waits for room to have a payload in hand, unless the stream ends before.
// What it returns is for putDown. A peer has room for one that nobody else can fill.
func (s *stream) takeInHand() (room chan struct{}, err error) {
	b := s.c.budget
	if err := s.await(b.inHand); err != nil {
		return nil, err
	}
	select {
	case b.first <- struct{}{}:
		return b.first, nil
	default:
	}
	select {
	case b.first <- struct{}{}:
		return b.first, nil
	case s.c.p.inHand <- struct{}{}:
		return s.c.p.inHand, nil
	case <-s.broken:
		err = errReset
	case <-s.c.over:
		err = errClosed
	}
	<-b.inHand
	return nil, err
}

// putDown makes room again.
func (s *stream) putDown(room chan struct{}) {
	<-room
	<-s.c.budget.inHand
}
