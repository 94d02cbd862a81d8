//go:build linux

package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// hosts counts those of this process, for their names and their interfaces'.
var hosts atomic.Int64

// host is a network namespace that is plugged into a cable.
type host struct {
	t         testing.TB
	cable     *cable
	namespace string
	address   netip.Addr
	port      *port
}

// newHost plugs a host in. Without what that needs the test is skipped.
func newHost(t testing.TB, c *cable, address string) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	h := &host{t: t, cable: c, address: netip.MustParseAddr(address)}
	h.namespace = fmt.Sprintf("parley-%d-%d", os.Getpid(), hosts.Add(1))
	h.build()
	t.Cleanup(h.raze)
	return h
}

// build makes the namespace and connects it.
func (h *host) build() {
	h.t.Helper()
	if said, err := exec.Command("ip", "netns", "add", h.namespace).CombinedOutput(); err != nil {
		h.t.Skipf("needs network namespaces and the ip command: %v: %s", err, said)
	}
	name := fmt.Sprintf("tap%d-%d", os.Getpid()%1_000_000, hosts.Add(1))
	tap, err := openTap(name)
	if err != nil {
		h.t.Skipf("needs TAP devices: %v", err)
	}
	if said, err := exec.Command("ip", "link", "set", name, "netns", h.namespace, "name", "eth0").CombinedOutput(); err != nil {
		h.t.Fatalf("moving an interface into its namespace: %v: %s", err, said)
	}
	h.port = h.cable.plug(tap)
	h.ip("link set lo up", "link set eth0 addrgenmode none", "link set eth0 up", fmt.Sprintf("addr add %v/24 dev eth0", h.address))
}

// raze takes the namespace away, with all connections of its sockets: nobody is
// told. Processes in it must have ended.
func (h *host) raze() {
	h.cable.unplug(h.port)
	if said, err := exec.Command("ip", "netns", "del", h.namespace).CombinedOutput(); err != nil {
		h.t.Errorf("a network namespace is left behind: %v: %s", err, said)
	}
}

// within does something in the namespace, such as starting a program. Sockets made
// there belong there for ever.
func (h *host) within(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, so that the thread ends with this goroutine
		file, err := os.Open("/run/netns/" + h.namespace)
		if err == nil {
			err = errors.Join(unix.Setns(int(file.Fd()), unix.CLONE_NEWNET), file.Close())
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// ip has ip(8) do a few things in the namespace.
func (h *host) ip(lines ...string) {
	h.t.Helper()
	command := exec.Command("ip", "-n", h.namespace, "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if said, err := command.CombinedOutput(); err != nil {
		h.t.Fatalf("ip -n %s: %v: %s", h.namespace, err, said)
	}
}

// slow lets the host send so many bits a second, and no more.
func (h *host) slow(rate string) {
	h.t.Helper()
	line := strings.Fields("qdisc replace dev eth0 root tbf burst 4kb latency 400ms rate " + rate)
	if said, err := exec.Command("tc", append([]string{"-n", h.namespace}, line...)...).CombinedOutput(); err != nil {
		h.t.Skipf("needs tc and its tbf: %v: %s", err, said)
	}
}

// slowNoMore undoes slow.
func (h *host) slowNoMore() {
	h.t.Helper()
	if said, err := exec.Command("tc", "-n", h.namespace, "qdisc", "del", "dev", "eth0", "root").CombinedOutput(); err != nil {
		h.t.Fatalf("tc: %v: %s", err, said)
	}
}

// move takes the host's address away and gives it another.
func (h *host) move(address string) {
	h.t.Helper()
	before := h.address
	h.address = netip.MustParseAddr(address)
	h.ip(fmt.Sprintf("addr del %v/24 dev eth0", before), fmt.Sprintf("addr add %v/24 dev eth0", h.address))
}
