//go:build unix

package noise_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"

	"github.com/parley-p2p/parley/internal/noise"
)

// remembering is ours with peers that were let in before.
var remembering = maker{"ours, remembered", func(t testing.TB, key crypto.PrivKey, _ ...protocol.ID) sec.SecureTransport {
	return newTransport(t, noise.Config{Key: key, Remember: func(peer.ID) bool { return true }})
}}

// BenchmarkHandshake measures the processor time of one side: the other one runs
// in a process of its own. Both share a socket for all of their handshakes.
func BenchmarkHandshake(b *testing.B) {
	for _, side := range []string{"dial", "listen"} {
		for _, m := range []maker{ours, remembering, theirs} {
			b.Run(fmt.Sprintf("%s/%s", side, m.name), func(b *testing.B) {
				conn := startPeer(b, map[string]string{"dial": "listen", "listen": "dial"}[side])
				transport := m.new(b, keyOf(b, 0))
				if err := one(side, transport, conn); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				begin := processorTime(b)
				for b.Loop() {
					if err := one(side, transport, conn); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(processorTime(b)-begin)/float64(b.N)/1e3, "cpu-µs/op")
			})
		}
	}
}

// one is one handshake. The listener's byte after it keeps the next one apart.
func one(side string, transport sec.SecureTransport, conn net.Conn) error {
	ctx := context.Background()
	if side == "listen" {
		if _, err := transport.SecureInbound(ctx, conn, ""); err != nil {
			return err
		}
		_, err := conn.Write([]byte{0})
		return err
	}
	other := keyOf(nil, 0)
	if os.Getenv(peerVariable) == "" {
		other = keyOf(nil, 1)
	}
	id, err := peer.IDFromPrivateKey(other)
	if err != nil {
		return err
	}
	if _, err := transport.SecureOutbound(ctx, conn, id); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

const peerVariable = "NOISE_BENCHMARK_PEER"

// startPeer starts the other side, which ends with the connection.
func startPeer(b *testing.B, side string) net.Conn {
	b.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	conn := socket(ends[0]) // which isn't inherited
	far := os.NewFile(uintptr(ends[1]), "far")
	defer far.Close()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), peerVariable+"="+side)
	command.ExtraFiles = []*os.File{far}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		command.Wait()
	})
	return conn
}

func init() {
	peerProcess = func() {
		side := os.Getenv(peerVariable)
		if side == "" {
			return
		}
		conn := socket(3)
		key := keyOf(nil, 1)
		transport, err := noise.New(noise.Config{Key: key})
		for err == nil {
			err = one(side, transport, conn)
		}
		if !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func socket(descriptor int) net.Conn {
	file := os.NewFile(uintptr(descriptor), "socket")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		panic(err)
	}
	return conn
}

// keyOf is a key that both processes know.
func keyOf(b testing.TB, number byte) crypto.PrivKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkMessage measures writing and reading a frame as yamux has it: a header
// of 12 bytes, read by itself, and what it is about. No system call is made.
func BenchmarkMessage(b *testing.B) {
	const header = 12
	for _, size := range []int{40, 256, 4096, 1 << 16} {
		for _, m := range []maker{ours, theirs} {
			b.Run(fmt.Sprintf("%d/%s", size, m.name), func(b *testing.B) {
				var sent bytes.Buffer
				near, far := net.Pipe()
				dial, listen := &kept{Conn: near, sent: &sent}, &kept{Conn: far, sent: &sent}
				key := newKey(b, crypto.Ed25519)
				out, in := shake(b, m.new(b, newKey(b, crypto.Ed25519)), m.new(b, key), idOf(b, key), dial, listen)
				if out.err != nil || in.err != nil {
					b.Fatal(out.err, in.err)
				}
				dial.on, listen.on = true, true
				p := random(size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				begin := processorTime(b)
				for b.Loop() {
					if _, err := out.Write(p); err != nil {
						b.Fatal(err)
					}
					for _, part := range [][]byte{p[:header], p[header:]} {
						if _, err := io.ReadFull(in.SecureConn, part); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(processorTime(b)-begin)/float64(b.N)/1e3, "cpu-µs/op")
			})
		}
	}
}

// kept is an end of a connection. Once it is on, what one writes is kept for the
// other to read.
type kept struct {
	net.Conn
	on   bool
	sent *bytes.Buffer
}

func (k *kept) Read(p []byte) (int, error) {
	if k.on {
		return k.sent.Read(p)
	}
	return k.Conn.Read(p)
}

func (k *kept) Write(p []byte) (int, error) {
	if k.on {
		return k.sent.Write(p)
	}
	return k.Conn.Write(p)
}
