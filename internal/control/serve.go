package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley/internal/intake"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// stopTimeout is how long calls under way may take when the node stops.
const stopTimeout = 5 * time.Second

// Routes is everything that is served, to whom the tokens admit.
func (n *Node) Routes(tokens []Token) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(parleyv1connect.NewNodeHandler(n,
		connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"}),
		connect.WithConditionalHandlerOptions(func(call connect.Spec) []connect.HandlerOption {
			return []connect.HandlerOption{connect.WithReadMaxBytes(int(n.bodies.Largest(kindOf(call.Procedure))))}
		}),
		connect.WithInterceptors(farewell{}),
		connect.WithCompression("gzip", nil, nil), // none: within a machine it costs more than it spares
	))
	n.routeRaw(mux)
	return n.bodies.Bounded(guarded(mux, tokens), kindOf)
}

// largestCall is how large a call may be: a message of the largest size in base64,
// and something around it.
func largestCall(maxMessage int64) int64 { return maxMessage/3*4 + 1<<20 }

// kindOf is what the body of a call may be like, by its path.
func kindOf(path string) intake.Kind {
	switch {
	case looking[path]:
		return intake.Looking
	case carrying[path], path == requestsPath, strings.HasSuffix(path, "/reply"):
		return intake.Payloads
	default:
		return intake.Plain
	}
}

// carrying is the calls that carry payloads.
var carrying = map[string]bool{
	parleyv1connect.NodeSendProcedure:   true,
	parleyv1connect.NodeReplyProcedure:  true,
	parleyv1connect.NodeAnswerProcedure: true,
}

// Serve answers clients on a listener until the context ends; then those that wait
// are told so, and calls under way may finish.
func (n *Node) Serve(ctx context.Context, l net.Listener, tokens []Token, log *slog.Logger) error {
	calls, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer hangUp(nil)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC
	server := &http.Server{
		Handler: n.Routes(tokens), Protocols: &protocols,
		ReadHeaderTimeout: intake.HeadTimeout, IdleTimeout: intake.IdleTimeout, MaxHeaderBytes: intake.MaxHead,
		BaseContext: func(net.Listener) context.Context { return calls },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() { // one for each listen address of the API; ends with the context
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
