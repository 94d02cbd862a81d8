package control

import (
	"context"
	"errors"

	"connectrpc.com/connect"
)

// errStopping ends the calls that wait when the node stops.
var errStopping = errors.New("the node stops: make the call again once it runs")

// stopped is how a call has ended that was to go on until its client goes: because the
// node stops, or as it is.
func stopped(ctx context.Context, err error) error {
	if (err == nil || connect.CodeOf(err) == connect.CodeCanceled) && errors.Is(context.Cause(ctx), errStopping) {
		return connect.NewError(connect.CodeUnavailable, errStopping)
	}
	return err
}

// farewell tells clients that the node stops. A stream that just ended would seem to
// be complete.
type farewell struct{}

// WrapUnary is for calls that wait. One that has a result isn't told.
func (farewell) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, r)
		if err != nil {
			return nil, stopped(ctx, err)
		}
		return response, nil
	}
}

// WrapStreamingHandler is for streams.
func (farewell) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, c connect.StreamingHandlerConn) error {
		return stopped(ctx, next(ctx, c))
	}
}

// WrapStreamingClient changes nothing: it is for the other side.
func (farewell) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
