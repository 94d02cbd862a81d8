package parley_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

func TestNewRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		key     identity.Key
		address string
		config  parley.Config
	}{
		{"no key", identity.Key{}, "127.0.0.1:0", parley.Config{}},
		{"an address that is none", newKey(t), "somewhere", parley.Config{}},
		{"an address of another machine", newKey(t), "192.0.2.1:4001", parley.Config{}},
		{"a negative time", newKey(t), "127.0.0.1:0", parley.Config{AckTimeout: -1}},
		{"a negative number", newKey(t), "127.0.0.1:0", parley.Config{MaxOpen: -1}},
		{"a negative size", newKey(t), "127.0.0.1:0", parley.Config{MaxMessageSize: -1}},
		{"a directory that is a file", newKey(t), "127.0.0.1:0", parley.Config{Dir: file}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, err := parley.New(test.address, test.key, test.config)
			if err == nil {
				h.Close()
				t.Fatal("it is accepted")
			}
			t.Log(err)
		})
	}
}

func TestPortIsTaken(t *testing.T) {
	alice, _ := pair(t, nil)
	dir := filepath.Join(t.TempDir(), "journal")
	key := newKey(t)
	if _, err := parley.New(alice.address, key, parley.Config{Dir: dir}); err == nil {
		t.Fatal("two nodes listen on one port")
	}
	start(t, key, "127.0.0.1:0", parley.Config{Dir: dir}) // nothing of the first attempt is left
}

func TestDirectoryBelongsToOneNode(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	if mode, err := os.Stat(alice.config.Dir); err != nil || mode.Mode().Perm() != 0o700 {
		t.Fatalf("its mode is %v, %v", mode.Mode(), err)
	}
	if _, err := parley.New("", alice.key, parley.Config{Dir: alice.config.Dir}); !errors.Is(err, parley.ErrLocked) {
		t.Fatalf("opening it twice gives %v", err)
	}
	alice.stop()
	if _, err := parley.New("", bob.key, parley.Config{Dir: alice.config.Dir}); !errors.Is(err, parley.ErrOwner) {
		t.Fatalf("opening it with another key gives %v", err)
	}
	alice.again()
}

func TestCloseEndsEverything(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	alice.ask(bob, "taken from the network, not by the application")
	bob.until("it is stored", func() bool { return bob.Stats().Requests == 1 })
	received, called := alice.receiveBeside(t.Context()), make(chan error, 1)
	go func() {
		_, err := alice.Call(t.Context(), bob.PeerID(), bob.address, nil)
		called <- err
	}()
	alice.until("the call waits", func() bool { return len(alice.Exchanges()) == 2 })
	for _, n := range []*node{alice, bob} {
		for range 2 {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, ended := range map[string]<-chan error{"Receive": received, "Call": called} {
		if err := <-ended; !errors.Is(err, parley.ErrClosed) {
			t.Errorf("%s, which waited, ended with %v", what, err)
		}
	}

	if e, ok := bob.CheckReceive(); ok {
		t.Errorf("CheckReceive gives %+v", e)
	}
	if len(bob.Exchanges()) != 0 || len(bob.Peers()) != 0 || bob.Stats() != (parley.Stats{}) {
		t.Error("there is something to see")
	}
	large := make([]byte, 2<<20)
	id := parley.ID{Dialer: alice.PeerID()}
	for what, call := range map[string]func() error{
		"Request":         func() error { _, err := bob.Request(alice.PeerID(), alice.address, nil); return err },
		"a large Request": func() error { _, err := bob.Request(alice.PeerID(), alice.address, large); return err },
		"Call":            func() error { _, err := bob.Call(t.Context(), alice.PeerID(), alice.address, nil); return err },
		"Receive":         func() error { _, err := bob.Receive(t.Context()); return err },
		"Serve":           func() error { return bob.Serve(t.Context(), nil) },
		"Reply":           func() error { return bob.Reply(id, nil) },
		"a large Reply":   func() error { return bob.Reply(id, large) },
		"Response":        func() error { return bob.Response(alice.PeerID(), nil) },
		"Reject":          func() error { return bob.Reject(id, "") },
		"Cancel":          func() error { return bob.Cancel(id) },
		"Commit":          func() error { return bob.Commit(id) },
		"Renew":           func() error { return bob.Renew(alice.PeerID()) },
		"Exchange":        func() error { _, err := bob.Exchange(id); return err },
	} {
		if err := call(); !errors.Is(err, parley.ErrClosed) {
			t.Errorf("%s gives %v", what, err)
		}
	}
	for range bob.Events(context.Background()) {
		t.Error("an event came")
	}
	bob = bob.again() // what was not taken is still there
	bob.want(parley.RequestReceived)
}

func TestCloseAmidCalls(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	var calling sync.WaitGroup
	for lane := range 8 {
		calling.Go(func() {
			size := []int{10, 200 << 10, 2 << 20}[lane%3]
			for {
				_, err := alice.CallMessage(t.Context(), parley.Message{Peer: bob.PeerID(), Address: bob.address, Lane: fmt.Sprint(lane), Body: make([]byte, size)})
				if errors.Is(err, parley.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("a call gives %v", err)
					return
				}
			}
		})
	}
	served := make(chan struct{}, 1024)
	serve(t, bob, func(_ context.Context, r *parley.Request) ([]byte, error) {
		select {
		case served <- struct{}{}:
		default:
		}
		return r.Body, nil
	})
	for range 40 {
		<-served
	}
	alice.stop()
	bob.stop()
	calling.Wait()
	alice.again() // whatever was under way, both journals are whole
	bob.again()
}

func TestKeysMakeRequestsIdempotent(t *testing.T) {
	nodes := group(t, 3, onDisk(t))
	alice, bob, carol := nodes[0], nodes[1], nodes[2]
	message := func(to *node, body string) parley.Message {
		return parley.Message{Peer: to.PeerID(), Address: to.address, Key: "payment 7", Body: []byte(body)}
	}
	id := alice.send(message(bob, "pay 1"))
	if again := alice.send(message(bob, "pay 1")); again != id {
		t.Fatalf("the same key gives %v, then %v", id, again)
	}
	ids, err := alice.Send(message(carol, "pay 2"), message(carol, "pay 2"), message(bob, "pay 1"))
	if err != nil {
		t.Fatal(err)
	}
	if ids[0] != ids[1] || ids[0] == id || ids[2] != id {
		t.Fatalf("in one call the keys give %v", ids)
	}
	if _, err := alice.Send(message(bob, "pay 2")); !errors.Is(err, parley.ErrKeyReused) {
		t.Fatalf("the same key for another message gives %v", err)
	}

	bob.wantBody(parley.RequestReceived, "pay 1")
	bob.reply(id, "paid")
	alice.want(parley.ReplyReceived)
	if err := alice.Commit(id); err != nil {
		t.Fatal(err)
	}
	alice = alice.restart()
	if again := alice.send(message(bob, "pay 1")); again != id {
		t.Fatalf("after its end and a restart the same key gives %v", again)
	}
	if x := alice.exchange(id); x.Key != "payment 7" || x.State != "answered" {
		t.Fatalf("its history is %+v", x)
	}
}

func TestConnectionIsClosedWhenTheLastExchangeHasEnded(t *testing.T) {
	for _, test := range []struct {
		name string
		idle time.Duration
	}{{"at once", 0}, {"after the idle timeout", 20 * time.Millisecond}} {
		t.Run(test.name, func(t *testing.T) {
			alice, bob := pair(t, func(c *parley.Config) { c.IdleTimeout = test.idle })
			serve(t, bob, func(context.Context, *parley.Request) ([]byte, error) { return nil, nil })
			if _, err := alice.Call(t.Context(), bob.PeerID(), bob.address, nil); err != nil {
				t.Fatal(err)
			}
			for _, n := range []*node{alice, bob} {
				n.until("it is disconnected", func() bool { return n.Peers()[0].Connections == 0 })
			}
			if dials := alice.Stats().Dials; dials != 1 {
				t.Fatalf("it was dialled %d times", dials)
			}
		})
	}
}

func TestDisconnectKeepsWhatIsOpen(t *testing.T) {
	alice, bob := pair(t, impatient)
	id := alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
	alice.untilStored(id)
	if err := alice.Disconnect(bob.PeerID()); err != nil {
		t.Fatal(err)
	}
	alice.until("it is connected anew", func() bool { return alice.Stats().Dials > 1 && alice.Peers()[0].Connections == 1 })
	bob.reply(id, "a reply")
	alice.wantBody(parley.ReplyReceived, "a reply")
}

func TestIDsAsText(t *testing.T) {
	id := parley.ID{Dialer: newKey(t).PeerID(), Tag: [16]byte{1, 15: 255}}
	if read, err := parley.ParseID(id.String()); err != nil || read != id {
		t.Fatalf("%v is read as %v, %v", id, read, err)
	}
	text := id.String()
	for _, wrong := range []string{"", "/", text[:len(text)-1], text + "0", text[1:], text[:len(text)-1] + "x"} {
		if _, err := parley.ParseID(wrong); err == nil {
			t.Errorf("%q is read as an ID", wrong)
		}
	}
}
