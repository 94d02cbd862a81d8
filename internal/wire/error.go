package wire

import "errors"

// ErrBadFrame is matched by every error that means "the peer broke the
// protocol", and by no other: a stream that fails or ends early does so with
// the reader's own error.
var ErrBadFrame = errors.New("bad frame")

// Error is a frame, or a HELLO's payload, that breaks a rule of the protocol.
// It matches [ErrBadFrame] and quotes nothing that the peer sent.
type Error struct {
	Rule string // what is wrong with it, in words: "REQUEST without tag"
}

// Error is the rule that was broken.
func (e *Error) Error() string { return "bad frame: " + e.Rule }

// Is makes every Error match [ErrBadFrame].
func (e *Error) Is(target error) bool { return target == ErrBadFrame }

func bad(rule string) error { return &Error{Rule: rule} }
