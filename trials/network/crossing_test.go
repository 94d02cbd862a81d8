package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

var crossings = flag.Int("crossings", 20, "how often both sides dial at once in TestBothSidesDialAtOnce")

func init() { parts["crosser"] = cross }

// cross is the part of a node that makes a request at each line of its input, when
// it has no connection, and has none again before it says so.
func cross(dir string) (err error) {
	var orders nodeOrders
	text, err := os.ReadFile(filepath.Join(dir, "orders.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &orders); err != nil {
		return err
	}
	key, err := identity.Load(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	list, err := allowlist.Load(filepath.Join(dir, "peers.toml"))
	if err != nil {
		return err
	}
	config := orders.config()
	config.AllowList, config.Dir, config.IdleTimeout = list, filepath.Join(dir, "journal"), 0
	h, err := parley.New(orders.Listen, key, config)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- h.Serve(ctx, func(_ context.Context, r *parley.Request) ([]byte, error) { return r.Body, nil })
	}()
	fmt.Println("up")
	for lines := bufio.NewScanner(os.Stdin); err == nil && lines.Scan(); {
		err = crossOnce(ctx, h, orders.Peers[0], lines.Text())
	}
	stop()
	<-served // with the context's error
	if v := h.Stats().Violations; v > 0 {
		err = errors.Join(err, fmt.Errorf("%d violations", v))
	}
	return errors.Join(err, h.Close())
}

func crossOnce(ctx context.Context, h *parley.Handler, peer identity.ID, text string) error {
	before := h.Stats()
	reply, err := h.Call(ctx, peer, "", []byte(text))
	if err != nil {
		return err
	}
	if string(reply) != text {
		return fmt.Errorf("the reply to %q is %q", text, reply)
	}
	fmt.Println("answered")
	for h.Peers()[0].Connections > 0 || len(h.Exchanges()) > 0 {
		time.Sleep(time.Millisecond)
	}
	if h.Stats().Dials > before.Dials {
		fmt.Println("dialled", text)
	}
	fmt.Println("apart")
	return nil
}
