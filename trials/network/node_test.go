package network

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// nodeOrders is what a node is told to do, in a file.
type nodeOrders struct {
	Listen  string
	Peers   []identity.ID // of whom it asks
	Window  int           // requests to each at once, until it has enough
	Lanes   int
	Large   int  // bytes of every tenth message
	Patient bool // with a line that is very bad
}

// config is one with short timeouts, so that a test needn't wait for long.
func (o nodeOrders) config() parley.Config {
	c := parley.Config{
		ExplicitCommit: true, IdleTimeout: time.Second, KeepAlive: time.Second, AckTimeout: 2 * time.Second, DisconnectionTimeout: 4 * time.Second,
		RetryMax: 500 * time.Millisecond, PollMax: time.Second, DialTimeout: 5 * time.Second, CloseTimeout: 500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if o.Patient {
		c.KeepAlive, c.AckTimeout, c.DisconnectionTimeout = 10*time.Second, 10*time.Second, 20*time.Second
		c.DialTimeout, c.HandshakeTimeout, c.IdleTimeout = 30*time.Second, 30*time.Second, 5*time.Second
	}
	return c
}

// conversation is a node that asks its peers and answers them.
type conversation struct {
	*parley.Handler
	orders  nodeOrders
	written *ledger
	next    map[identity.ID]int // number of the next request
	open    map[identity.ID]int // requests that have no reply
	enough  atomic.Bool
	idle    bool
	dials   uint64 // told
}

// converse is the part of a node. It goes on until its input ends, and says how far
// it is; a line "enough" asks for no more requests.
func converse(dir string) (err error) {
	c := &conversation{next: map[identity.ID]int{}, open: map[identity.ID]int{}}
	text, err := os.ReadFile(filepath.Join(dir, "orders.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &c.orders); err != nil {
		return err
	}
	key, err := identity.Load(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	config := c.orders.config()
	config.Dir = filepath.Join(dir, "journal")
	if config.AllowList, err = allowlist.Follow(filepath.Join(dir, "peers.toml")); err != nil {
		return err
	}
	defer config.AllowList.Close()
	if c.written, err = openLedger(dir); err != nil {
		return err
	}
	if err := c.remember(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			c.enough.Store(c.enough.Load() || orders.Text() == "enough")
		}
	}()
	if c.Handler, err = parley.New(c.orders.Listen, key, config); err != nil {
		return err
	}
	fmt.Println("up")
	err = c.run(ctx)
	fmt.Printf("stats %+v\n", c.Stats())
	return errors.Join(err, c.Close())
}

// remember finds in the ledger how far the node was.
func (c *conversation) remember() error {
	for _, entry := range c.written.lines {
		id, err := parley.ParseID(entry[1])
		if entry[0] != asked {
			continue
		}
		if err != nil {
			return err
		}
		of, _, _ := strings.Cut(entry[2], " ")
		peer, err := identity.ParseID(of)
		if err != nil {
			return err
		}
		c.next[peer]++
		if !c.written.has(replied, id) {
			c.open[peer]++
		}
	}
	return nil
}

func (c *conversation) run(ctx context.Context) error {
	// One more than the ledger knows of may have been made before a crash. Made
	// again under its key it is the same, and noted before its reply comes.
	for _, peer := range c.orders.Peers {
		if err := c.ask(peer); err != nil {
			return err
		}
	}
	for {
		for _, peer := range c.orders.Peers {
			for c.open[peer] < c.orders.Window && !c.enough.Load() {
				if err := c.ask(peer); err != nil {
					return err
				}
			}
		}
		e, err := c.Receive(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = c.take(e)
		}
		if err != nil {
			return err
		}
		if !c.idle && c.enough.Load() && len(c.openNow()) == 0 {
			c.idle = true
			fmt.Println("idle")
		}
	}
}

// openNow are the peers of whom something is still awaited.
func (c *conversation) openNow() (peers []identity.ID) {
	for peer, open := range c.open {
		if open > 0 {
			peers = append(peers, peer)
		}
	}
	return peers
}

// ask makes the next request of a peer.
func (c *conversation) ask(peer identity.ID) error {
	number := c.next[peer]
	text := fmt.Sprintf("%v %d", peer, number)
	ids, err := c.Send(parley.Message{
		Peer: peer, Key: fmt.Sprint(number), Lane: fmt.Sprint(number % c.orders.Lanes), Body: c.padded(text, number),
	})
	if errors.Is(err, parley.ErrNotListed) || errors.Is(err, parley.ErrQueueFull) {
		return nil // the next event is another occasion
	}
	if err != nil {
		return err
	}
	c.next[peer]++
	c.open[peer]++
	return c.written.note(asked, ids[0].String(), text)
}

func (c *conversation) padded(text string, number int) []byte {
	size := len(text)
	if number%10 == 7 {
		size = max(size, c.orders.Large)
	}
	return append([]byte(text), bytes.Repeat([]byte{' '}, size-len(text))...)
}

func (c *conversation) take(e parley.Event) error {
	switch {
	case e.Kind.Priority():
		fmt.Println("alarmed", e.Kind)
		return c.written.note(alarmed, noExchange, fmt.Sprintf("%v: %v", e.Kind, e.Err))
	case e.Kind == parley.RequestReceived:
		if err := c.written.take(e, gotAsked, gotAsked2, served); err != nil {
			return err
		}
		var of string
		var number int
		if _, err := fmt.Sscan(string(e.Body), &of, &number); err != nil {
			return err
		}
		if err := c.Reply(e.ID, c.padded("answer to "+fmt.Sprint(number), number)); err != nil {
			return err
		}
		return c.written.note(answered, e.ID.String(), fmt.Sprint(number))
	case e.Kind == parley.ReplyReceived:
		if !c.written.has(replied, e.ID) {
			c.open[e.Peer]--
		}
		if err := c.written.take(e, gotReply, gotReply2, replied); err != nil {
			return err
		}
		if err := c.Commit(e.ID); err != nil {
			return err
		}
		if err := c.written.note(committed, e.ID.String(), noExchange); err != nil {
			return err
		}
		for dials := c.Stats().Dials; c.dials < dials; c.dials++ {
			fmt.Println("dialled")
		}
		fmt.Println("done")
		return nil
	default:
		return fmt.Errorf("%v came: %w", e.Kind, e.Err)
	}
}
