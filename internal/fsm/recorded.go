package fsm

// Recorded is what one record of the journal says of an exchange, or of a pair of
// nodes: for who checks what is durable.
type Recorded struct {
	Epoch     uint64         // 'a', 'o': the dialer's
	Sent      bool           // 'o': a REQUEST may have gone out
	Over      bool           // 'o': it has ended here
	Committed bool           // 'o': and the application is done with that
	Responder ResponderState // 'i'; Delivered is recorded as Stored
}

// ReadRecord reads a record of an exchange, or of a dialer's side; ok is false for
// any other, and for one that can't be read.
func ReadRecord(key, value []byte) (r Recorded, ok bool) {
	restorer := Restore(Config{}) // so that the form of a record is known in one place
	if err := restorer.read(key, value); err != nil {
		return Recorded{}, false
	}
	switch key[0] {
	case outboundKey:
		x := restorer.outs[0]
		return Recorded{Epoch: x.epoch, Sent: x.sent, Over: x.outcome != 0, Committed: x.committed}, true
	case inboundKey:
		return Recorded{Responder: restorer.ins[0].state}, true
	case dialerKey:
		return Recorded{Epoch: restorer.m.peer(Peer(key[1:])).dialer.epoch}, true
	}
	return Recorded{}, false
}

// The keys of the records of an exchange, and of the dialer's side towards a peer.

func MadeKey(name Name) []byte { return append([]byte{outboundKey}, name.Tag[:]...) }
func AskedKey(name Name) []byte {
	return append(append([]byte{inboundKey}, name.Tag[:]...), name.Dialer...)
}
func DialerKey(responder Peer) []byte { return append([]byte{dialerKey}, responder...) }

// OfResponder reports whether a record is about what a peer, as dialer, has here.
func OfResponder(key []byte, dialer Peer) bool {
	switch key[0] {
	case responderKey:
		return Peer(key[1:]) == dialer
	case endedKey:
		return len(key) > 9 && Peer(key[1:len(key)-8]) == dialer
	case inboundKey:
		return len(key) > 17 && Peer(key[17:]) == dialer
	}
	return false
}
