//go:build linux && !race

package parley_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
)

const largest = 64 << 20 // bytes: the default Config.MaxMessageSize

func init() {
	parts["large dialer"] = dialLarge
	parts["large responder"] = respondLarge
}

// A request and a reply of the largest size go from disk to disk. Either process
// has at no time more than four times a message in memory. (The race detector,
// which has memory of its own, would be counted too.)
func TestMemoryOfTheLargestMessages(t *testing.T) {
	lines := make(chan line, 16)
	both := programs(t, [2]string{"large dialer", "large responder"}, lines)
	for _, p := range both {
		p.start()
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for range both {
		select {
		case l := <-lines:
			var peak int64
			if _, err := fmt.Sscanf(l.text, "%d kB", &peak); err != nil {
				t.Fatalf("the %s said %q", l.of.part, l.text)
			}
			t.Logf("the %s had %d MiB in memory at most", l.of.part, peak>>10)
			if peak<<10 >= 4*largest {
				t.Errorf("the %s had %d MiB in memory", l.of.part, peak>>10)
			}
		case <-timeout.C:
			t.Fatalf("it doesn't end:\n%s\n%s", &both[0].errors, &both[1].errors)
		}
	}
	for _, p := range both {
		p.stop()
	}
}

func dialLarge() error {
	p, err := play(func(*parley.Config) {})
	if err != nil {
		return err
	}
	if _, err := p.Request(p.peer, "", bytes.Repeat([]byte{'q'}, largest)); err != nil {
		return err
	}
	e, err := p.Receive(context.Background())
	if err != nil {
		return err
	}
	if e.Kind != parley.ReplyReceived || len(e.Body) != largest {
		return fmt.Errorf("%v with %d bytes came: %w", e.Kind, len(e.Body), e.Err)
	}
	return p.endWithPeak()
}

func respondLarge() error {
	p, err := play(func(*parley.Config) {})
	if err != nil {
		return err
	}
	e, err := p.Receive(context.Background())
	if err != nil {
		return err
	}
	if e.Kind != parley.RequestReceived || len(e.Body) != largest {
		return fmt.Errorf("%v with %d bytes came: %w", e.Kind, len(e.Body), e.Err)
	}
	if err := p.Reply(e.ID, bytes.Repeat([]byte{'a'}, largest)); err != nil {
		return err
	}
	for len(p.Exchanges()) > 0 {
	}
	return p.endWithPeak()
}

// endWithPeak says how much memory the process had at most.
func (p *playing) endWithPeak() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "\n")
	fmt.Println(strings.TrimSpace(peak))
	<-p.stopped
	return p.Close()
}
