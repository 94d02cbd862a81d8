package control

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// Dial makes the client of the node that serves a unix socket. Nothing is connected
// before the first call.
func Dial(socket string) parleyv1connect.NodeClient {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("no node is running on %s: start it with `parley run`", socket)
		}
		return c, nil
	}}
	return parleyv1connect.NewNodeClient(&http.Client{Transport: transport}, "http://parley", connect.WithGRPCWeb())
}
