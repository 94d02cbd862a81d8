package noise

import (
	"encoding/binary"
	"fmt"

	"github.com/flynn/noise"
)

// maxHandshakeMessage bounds a message of the handshake, in bytes, so that it fits
// the buffer that a session has anyway; a larger one is ErrMessageTooLarge. One
// with an RSA key of 8,192 bits, which is refused for what it is, would fit too.
const maxHandshakeMessage = smallRead - frameHeader

// handshake is one run of Noise XX: each method is one message.
type handshake struct {
	session *session
	state   *noise.HandshakeState
	scratch [512]byte // for messages of ours, whose length is 32 to about 300
}

func (t *Transport) newHandshake(s *session, initiator bool) (*handshake, error) {
	suite := newSuite(t.static)
	state, err := noise.NewHandshakeState(noise.Config{
		CipherSuite:   suite,
		Pattern:       noise.HandshakeXX,
		Initiator:     initiator,
		StaticKeypair: suite.staticPair(),
	})
	return &handshake{session: s, state: state}, err
}

// initiate is the dialer's side.
func (t *Transport) initiate(s *session, want expectation) error {
	h, err := t.newHandshake(s, true)
	if err != nil {
		return err
	}
	if _, _, err := h.send(nil); err != nil {
		return err
	}
	payload, _, _, err := h.receive()
	if err != nil {
		return err
	}
	peer, err := t.verify(payload, h.state.PeerStatic(), want)
	if err != nil {
		return err
	}
	outgoing, incoming, err := h.send(t.payload)
	if err != nil {
		return err
	}
	s.begin(peer, outgoing, incoming)
	s.state = agreed(t.config.Muxers, peer.muxers)
	return nil
}

// respond is the listener's side.
func (t *Transport) respond(s *session, want expectation) error {
	h, err := t.newHandshake(s, false)
	if err != nil {
		return err
	}
	if _, _, _, err := h.receive(); err != nil {
		return err
	}
	if _, _, err := h.send(t.payload); err != nil {
		return err
	}
	payload, incoming, outgoing, err := h.receive()
	if err != nil {
		return err
	}
	peer, err := t.verify(payload, h.state.PeerStatic(), want)
	if err != nil {
		return err
	}
	s.begin(peer, outgoing, incoming)
	s.state = agreed(peer.muxers, t.config.Muxers)
	return nil
}

// send writes the next message. After the last one it returns the cipher states:
// the initiator's outgoing one and its incoming one.
func (h *handshake) send(payload []byte) (outgoing, incoming *noise.CipherState, err error) {
	frame, outgoing, incoming, err := h.state.WriteMessage(h.scratch[:frameHeader], payload)
	if err != nil {
		return nil, nil, fmt.Errorf("make a message: %w", err)
	}
	binary.BigEndian.PutUint16(frame, uint16(len(frame)-frameHeader))
	if _, err := h.session.Conn.Write(frame); err != nil {
		return nil, nil, fmt.Errorf("send a message: %w", err)
	}
	return outgoing, incoming, nil
}

// receive reads the next message and returns its payload; after the last one the
// cipher states too, in the order of send.
func (h *handshake) receive() (payload []byte, outgoing, incoming *noise.CipherState, err error) {
	message, err := h.session.in.frame(maxHandshakeMessage)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("receive a message: %w", err)
	}
	payload, outgoing, incoming, err = h.state.ReadMessage(nil, message)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open a message: %w", err)
	}
	return payload, outgoing, incoming, nil
}
