package control

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

const (
	// headerTimeout is how long a client may take for the head of its call.
	headerTimeout = 10 * time.Second
	// stopTimeout is how long calls under way may take when the node stops.
	stopTimeout = 5 * time.Second
)

// Routes is everything that is served, to whom the tokens admit.
func (n *Node) Routes(tokens []Token) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(parleyv1connect.NewNodeHandler(n,
		connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"}),
		connect.WithReadMaxBytes(n.largestCall()), connect.WithInterceptors(farewell{}),
		connect.WithCompressMinBytes(math.MaxInt), // within a machine it costs more than it spares
	))
	n.routeRaw(mux)
	return guarded(mux, tokens)
}

// largestCall is how large a call may be: a message of the largest size in base64,
// and something around it.
func (n *Node) largestCall() int { return int(n.options.MaxMessageSize)/3*4 + 1<<20 }

// Serve answers clients on a listener until the context ends; then those that wait
// are told so, and calls under way may finish.
func (n *Node) Serve(ctx context.Context, l net.Listener, tokens []Token, log *slog.Logger) error {
	calls, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer hangUp(nil)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC
	server := &http.Server{
		Handler: n.Routes(tokens), Protocols: &protocols, ReadHeaderTimeout: headerTimeout,
		BaseContext: func(net.Listener) context.Context { return calls },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() { // one for each listener; ends with the context
		<-ctx.Done()
		hangUp(errStopping) // whoever waits for events
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- server.Shutdown(patience)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
