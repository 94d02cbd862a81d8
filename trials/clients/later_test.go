package clients

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// putOff stands before a daemon, and has clients make every call twice: the first time
// a queue is full, or the node stops, as it says.
func (c *couple) putOff(d *daemon) (socket string) {
	c.t.Helper()
	socket = filepath.Join(c.dir, d.name+".later")
	l, err := net.Listen("unix", socket)
	if err != nil {
		c.t.Fatal(err)
	}
	passes := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "parley"})
	passes.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket())
	}}
	var mu sync.Mutex
	calls := map[string]int{} // by their paths
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		times, paths := calls[r.URL.Path], len(calls)
		calls[r.URL.Path]++
		mu.Unlock()
		switch {
		case times%2 == 1:
			passes.ServeHTTP(w, r)
		case paths%2 == 0:
			http.Error(w, "a queue is full", http.StatusTooManyRequests)
		default:
			http.Error(w, "the node stops", http.StatusServiceUnavailable)
		}
	})}
	go server.Serve(l)
	c.t.Cleanup(func() { server.Close() })
	return socket
}

func TestAClientMakesCallsAgainThatTheNodePutsOff(t *testing.T) {
	for i, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			answers := languages[(i+1)%len(languages)]
			need(t, append(l.needs, answers.needs...)...)
			c := newCouple(t)
			for i, d := range c.daemons {
				c.sockets[i] = c.putOff(d)
			}
			c.work(l, answers, 3)
			c.advance(1 << 40)
			c.end()
			c.audit()
		})
	}
}
