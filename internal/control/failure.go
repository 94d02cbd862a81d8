package control

import (
	"errors"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/internal/programs"
)

// codes are those of the handler's errors, by which a program tells what to do.
var codes = []struct {
	err  error
	code connect.Code
}{
	{parley.ErrUnknown, connect.CodeNotFound},
	{parley.ErrInvalid, connect.CodeInvalidArgument},
	{parley.ErrTooLarge, connect.CodeInvalidArgument},
	{parley.ErrNoAddress, connect.CodeInvalidArgument},
	{parley.ErrSelf, connect.CodeInvalidArgument},
	{parley.ErrKeyReused, connect.CodeAlreadyExists},
	{parley.ErrQueueFull, connect.CodeResourceExhausted},
	{parley.ErrDiskFull, connect.CodeResourceExhausted},
	{parley.ErrNotListed, connect.CodeFailedPrecondition},
	{parley.ErrAnswered, connect.CodeFailedPrecondition},
	{parley.ErrAbandoned, connect.CodeFailedPrecondition},
	{parley.ErrEnded, connect.CodeFailedPrecondition},
	{parley.ErrOpen, connect.CodeFailedPrecondition},
	{parley.ErrFenced, connect.CodeFailedPrecondition},
	{parley.ErrRolledBack, connect.CodeFailedPrecondition},
	{parley.ErrMismatch, connect.CodeFailedPrecondition},
	{parley.ErrDamaged, connect.CodeDataLoss},
	{parley.ErrClosed, connect.CodeUnavailable},
	{programs.ErrNotDead, connect.CodeNotFound},
	{programs.ErrNoProgram, connect.CodeFailedPrecondition},
}

// failure gives an error its code; nil stays nil.
func failure(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range codes {
		if errors.Is(err, known.err) {
			return connect.NewError(known.code, err)
		}
	}
	return connect.NewError(connect.CodeInternal, err)
}

// invalid is an error of the request.
func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }
