package p2p

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
)

// probed is a probe whose steps have these names, of which the last failed with an
// error, or didn't if that is nil.
func (n *node) probed(of *node, err error, names ...string) []Step {
	n.t.Helper()
	steps := n.Probe(n.t.Context(), of.peer())
	var got []string
	for _, s := range steps {
		got = append(got, s.Name)
	}
	if last := steps[len(steps)-1]; !slices.Equal(got, names) || !errors.Is(last.Err, err) {
		n.t.Fatalf("the steps are %v, the last with %v; want %v with %v", got, last.Err, names, err)
	}
	return steps
}

// list lists another node, at these addresses.
func (n *node) listAt(other *node, addresses ...string) {
	n.t.Helper()
	if err := n.list.Add(allowlist.Member{ID: other.key.PeerID(), Addresses: addresses}); err != nil {
		n.t.Fatal(err)
	}
}

func TestAProbeOfAPeerThatIsWellTakesAllSteps(t *testing.T) {
	a, b := pair(t)
	steps := a.probed(b, nil, StepAllowed, StepResolve, StepConnect, StepKey, StepListed, StepAnswer)
	if last := steps[5]; last.Took <= 0 || last.Detail != b.Addresses()[0] {
		t.Errorf("the last step is %+v", last)
	}
	a.quiet()
	want[fsm.Connected](b)
	if d := want[fsm.Disconnected](b); d.Err != nil {
		t.Errorf("the peer saw it end with %v", d.Err)
	}
	b.quiet() // no stream and no frame
	select {
	case notice := <-b.Priority():
		t.Errorf("the peer was told %+v", notice)
	default:
	}
	if len(a.gate.outbound) != 0 {
		t.Error("the dial is still counted")
	}
}

func TestAProbeFindsThatThisNodeDoesNotListThePeer(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.probed(b, fsm.ErrNotListed, StepAllowed)
	a.probed(a, ErrSelf, StepAllowed)
}

func TestAProbeFindsThatThereIsNoAddress(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.listAt(b)
	a.probed(b, fsm.ErrNoAddress, StepAllowed, StepResolve)
}

func TestAProbeFindsThatANameStandsForNothing(t *testing.T) {
	z := &zone{asked: map[string]int{}}
	a, b := newNode(t, func(c *Config) { c.Resolver = z }), newNode(t)
	a.listAt(b, "b.test:4001")
	steps := a.Probe(t.Context(), b.peer())
	if last := steps[len(steps)-1]; last.Name != StepResolve || last.Err == nil || !strings.Contains(last.Err.Error(), "b.test") {
		t.Errorf("the last step is %+v", last)
	}
}

func TestAProbeFindsThatNothingListens(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.listAt(b, unused(t))
	steps := a.Probe(t.Context(), b.peer())
	if last := steps[len(steps)-1]; last.Name != StepConnect || last.Err == nil {
		t.Errorf("the last step is %+v", last)
	}
	a.listAt(b, unused(t), b.Addresses()[0])
	b.admit(a)
	a.probed(b, nil, StepAllowed, StepResolve, StepConnect, StepKey, StepListed, StepAnswer)
}

// unused is an address where nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestAProbeFindsAnotherKeyAtTheAddress(t *testing.T) {
	a, b, c := newNode(t), newNode(t), newNode(t)
	a.listAt(b, c.Addresses()[0])
	steps := a.probed(b, ErrIdentityMismatch, StepAllowed, StepResolve, StepConnect, StepKey)
	if said := steps[3].Err.Error(); !strings.Contains(said, c.key.PeerID().String()) {
		t.Errorf("it says %q", said)
	}
}

func TestAProbeFindsThatThePeerDoesNotListThisNode(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.admit(b)
	a.probed(b, ErrNotTaken, StepAllowed, StepResolve, StepConnect, StepKey, StepListed)
}

func TestAProbeOfAPeerThatCannotBeDialledAsksOnItsConnection(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.admit(b)
	b.listAt(a)
	connect(a, b)
	b.probed(a, nil, StepAllowed, StepKey, StepListed, StepAnswer)
	a.quiet()
	b.quiet()
}

func TestAProbeFindsThatNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a, b := newNode(t, func(c *Config) { c.DialTimeout = 50 * time.Millisecond }), newNode(t)
	a.listAt(b, silent.Addr().String())
	steps := a.Probe(t.Context(), b.peer())
	if last := steps[len(steps)-1]; last.Name != StepKey || last.Err == nil {
		t.Errorf("the last step is %+v", last)
	}
}

func TestAProbeFindsThatThePeerSpeaksAnotherProtocol(t *testing.T) {
	a, b := pair(t)
	b.protocols.RemoveHandler(exchangeProtocol)
	b.protocols.AddHandler("/parley/exchange/9", nil)
	steps := a.probed(b, ErrProtocol, StepAllowed, StepResolve, StepConnect, StepKey, StepListed, StepAnswer)
	if steps[4].Err != nil {
		t.Errorf("a peer that keeps the connection is said not to: %v", steps[4].Err)
	}
}

// mute is a socket whose other side hears nothing more once it is shut, and sees no end.
type mute struct {
	net.Conn
	shut, closed chan struct{}
	once         sync.Once
}

func (m *mute) Read(b []byte) (int, error) {
	select {
	case <-m.shut:
		<-m.closed
		return 0, net.ErrClosed
	default:
		return m.Conn.Read(b)
	}
}

func (m *mute) Write(b []byte) (int, error) {
	select {
	case <-m.shut:
		return len(b), nil
	default:
		return m.Conn.Write(b)
	}
}

func (m *mute) Close() error {
	m.once.Do(func() { close(m.closed) })
	return m.Conn.Close()
}

// listen is where a raw peer proves its key to the first who dials it, and does this
// then. It lets everybody in.
func (r *rawPeer) listen(then func(transport.CapableConn, *mute)) string {
	r.t.Helper()
	config, err := Config{Key: r.key, Allow: allowlist.Everyone(), Payloads: newMemory(), StockNoise: true}.withDefaults()
	if err != nil {
		r.t.Fatal(err)
	}
	muxers := []tptu.StreamMuxer{{ID: yamux.ID, Muxer: newMuxer(config)}}
	secured, err := newNoise(config, muxers)
	if err != nil {
		r.t.Fatal(err)
	}
	upgrader, err := tptu.New([]sec.SecureTransport{secured}, muxers, nil, r.resources, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	var accepted sync.WaitGroup
	var c transport.CapableConn
	accepted.Go(func() {
		socket, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		m := &mute{Conn: socket, shut: make(chan struct{}), closed: make(chan struct{})}
		at, err := manet.WrapNetConn(m)
		if err != nil {
			r.t.Error(err)
			return
		}
		if c, err = upgrader.Upgrade(context.Background(), r.transport, at, network.DirInbound, "", &network.NullScope{}); err != nil {
			r.t.Error(err)
			return
		}
		then(c, m)
	})
	r.t.Cleanup(func() {
		l.Close()
		accepted.Wait()
		if c != nil {
			c.Close()
		}
	})
	return l.Addr().String()
}

func TestAProbeTellsAPeerThatIsSilentFromOneThatDoesNotListThisNode(t *testing.T) {
	protocols := multistream.NewMultistreamMuxer[protocol.ID]()
	protocols.AddHandler(exchangeProtocol, nil)
	agree := func(c transport.CapableConn) network.MuxedStream {
		s, err := c.AcceptStream()
		if err == nil {
			_, _, err = protocols.Negotiate(s)
		}
		if err != nil {
			t.Error(err)
		}
		return s
	}
	for does, test := range map[string]struct {
		then func(transport.CapableConn, *mute)
		last string
		err  error
	}{
		"keeps the connection and says nothing":   {func(transport.CapableConn, *mute) {}, StepAnswer, ErrSilent},
		"is halted, with its machine":             {func(_ transport.CapableConn, m *mute) { close(m.shut) }, StepAnswer, ErrSilent},
		"is halted, and found so by KeepAlive":    {func(_ transport.CapableConn, m *mute) { close(m.shut) }, StepAnswer, ErrSilent},
		"takes the stream and says nothing":       {func(c transport.CapableConn, _ *mute) { c.AcceptStream() }, StepAnswer, ErrSilent},
		"agrees to the protocol and says nothing": {func(c transport.CapableConn, _ *mute) { agree(c) }, StepAnswer, ErrSilent},
		"answers once and says nothing":           {func(c transport.CapableConn, _ *mute) { agree(c).Close() }, StepAnswer, ErrSilent},
		"hangs up, as on whom it doesn't list":    {func(c transport.CapableConn, _ *mute) { c.Close() }, StepListed, ErrNotTaken},
	} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			a := newNode(t, func(c *Config) {
				c.DialTimeout = time.Second
				if strings.HasSuffix(does, "KeepAlive") {
					c.DialTimeout, c.KeepAlive = patience, 100*time.Millisecond
				}
			})
			r := newRawPeer(t)
			if err := a.list.Add(allowlist.Member{ID: r.key.PeerID(), Addresses: []string{r.listen(test.then)}}); err != nil {
				t.Fatal(err)
			}
			steps := a.Probe(t.Context(), r.peer())
			if last := steps[len(steps)-1]; last.Name != test.last || !errors.Is(last.Err, test.err) {
				t.Errorf("it comes to step %s, %v; want %s, %v", last.Name, last.Err, test.last, test.err)
			}
		})
	}
}
