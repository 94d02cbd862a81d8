package parley_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkFloor is what the machine itself takes for the parts of an exchange
// that cannot be done without, so that the figures of BenchmarkExchange can be
// read as ratios: one append of 512 bytes and its sync, of which a durable
// exchange takes four, one after the other; and the four messages of an exchange,
// of 256 bytes each, over a TCP connection of the loopback.
func BenchmarkFloor(b *testing.B) {
	b.Run("sync", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "log"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		record := make([]byte, 512)
		for b.Loop() {
			if _, err := f.Write(record); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tcp", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			io.Copy(c, c) // until the other side closes
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		message := make([]byte, 256)
		for b.Loop() {
			for range 2 {
				if _, err := c.Write(message); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, message); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
