package noise_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/internal/noise"
)

// writes keeps what is written to a connection, write by write.
func writes(kept *[][]byte) func(int, []byte) []byte {
	return func(_ int, p []byte) []byte {
		*kept = append(*kept, p)
		return p
	}
}

func TestWriteSplitsIntoMessagesAndSendsTwoAtATime(t *testing.T) {
	const full, header, tag = 65519, 2, 16
	var kept [][]byte
	near, far := net.Pipe()
	out, in := sessions(t, &change{Conn: near, by: writes(&kept)}, far)
	for _, test := range []struct {
		size   int
		frames [][]int // of each write, what they carry
	}{
		{0, nil},
		{12, [][]int{{12}}},
		{5000, [][]int{{5000}}},
		{full, [][]int{{full}}},
		{1 << 16, [][]int{{full, 17}}},
		{3*full + 1, [][]int{{full, full}, {full, 1}}},
	} {
		kept = nil
		p := random(test.size)
		if !bytes.Equal(send(t, out, in, p), p) {
			t.Fatalf("%d bytes didn't arrive as they were sent", test.size)
		}
		if len(kept) != len(test.frames) {
			t.Fatalf("%d bytes went out in %d writes, want %d", test.size, len(kept), len(test.frames))
		}
		for i, frames := range test.frames {
			for _, size := range frames {
				if got := int(binary.BigEndian.Uint16(kept[i])); got != size+tag {
					t.Fatalf("%d bytes: a message of %d bytes, want %d", test.size, got, size+tag)
				}
				kept[i] = kept[i][header+size+tag:]
			}
			if len(kept[i]) > 0 {
				t.Fatalf("%d bytes: %d bytes more than expected", test.size, len(kept[i]))
			}
		}
	}
}

// TestReadsInPieces reads with buffers of many sizes what was written in others,
// over a connection that gives whatever has come.
func TestReadsInPieces(t *testing.T) {
	near, far := loopback(t)
	out, in := sessions(t, near, far)
	want := random(1 << 20)
	go func() {
		for p, i := want, 0; len(p) > 0; i++ {
			size := min(len(p), []int{1, 12, 4000, 4090, 65519, 65536, 200_000, 0, 300}[i%9])
			if n, err := out.Write(p[:size]); n != size || err != nil {
				t.Error(n, err)
				return
			}
			p = p[size:]
		}
		out.Close()
	}()
	var got []byte
	for i := 0; ; i++ {
		p := make([]byte, []int{12, 1, 65536, 3, 70_000, 0, 4096}[i%7])
		n, err := in.Read(p)
		if got = append(got, p[:n]...); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes didn't arrive as they were sent", len(want))
	}
}

func TestReadGoesOnAfterADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept [][]byte
		near, far := net.Pipe()
		out, in := sessions(t, &change{Conn: near, by: func(write int, p []byte) []byte {
			if write < 2 {
				return p // the handshake
			}
			kept = append(kept, p)
			return nil
		}}, far)
		go func() {
			out.Write([]byte("hello"))
			for _, b := range kept[0] {
				time.Sleep(time.Second)
				near.Write([]byte{b})
			}
		}()
		for failed := 0; ; failed++ {
			p := make([]byte, 9)
			in.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := in.Read(p)
			if errors.Is(err, os.ErrDeadlineExceeded) && n == 0 {
				continue
			}
			if string(p[:n]) != "hello" || err != nil || failed < len(kept[0]) {
				t.Errorf("%q, %v, after %d deadlines", p[:n], err, failed)
			}
			return
		}
	})
}

func TestTamperedMessageEndsReading(t *testing.T) {
	for _, at := range []int{2, 5, 22} { // the first byte, another, the tag
		near, far := net.Pipe()
		out, in := sessions(t, &change{Conn: near, by: func(write int, p []byte) []byte {
			if write == 2 {
				p[at] ^= 1
			}
			return p
		}}, far)
		go out.Write([]byte("hello"))
		for range 2 {
			if n, err := in.Read(make([]byte, 100)); n != 0 || !errors.Is(err, noise.ErrTampered) {
				t.Errorf("byte %d: %d, %v", at, n, err)
			}
		}
	}
}

func TestMessageThatIsTooShortEndsReading(t *testing.T) {
	for _, size := range []int{0, 1, 15} {
		near, far := net.Pipe()
		_, in := sessions(t, near, far)
		go near.Write(append([]byte{0, byte(size)}, make([]byte, size)...))
		if _, err := in.Read(make([]byte, 100)); !errors.Is(err, noise.ErrTampered) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestRepeatedMessageEndsReading(t *testing.T) {
	near, far := net.Pipe()
	out, in := sessions(t, &change{Conn: near, by: func(write int, p []byte) []byte {
		if write == 2 {
			return append(p, p...)
		}
		return p
	}}, far)
	go out.Write([]byte("hello"))
	p := make([]byte, 100)
	if n, err := in.Read(p); string(p[:n]) != "hello" || err != nil {
		t.Fatal(n, err)
	}
	if _, err := in.Read(p); !errors.Is(err, noise.ErrTampered) {
		t.Error(err)
	}
}

func TestEndWithinAMessageIsNoEnd(t *testing.T) {
	for _, test := range []struct {
		size int
		want error
	}{{0, io.EOF}, {1, io.ErrUnexpectedEOF}, {2, io.ErrUnexpectedEOF}, {22, io.ErrUnexpectedEOF}} {
		near, far := net.Pipe()
		out, in := sessions(t, &change{Conn: near, by: func(write int, p []byte) []byte {
			if write == 2 {
				return p[:test.size]
			}
			return p
		}}, far)
		go func() {
			out.Write([]byte("hello"))
			out.Close()
		}()
		if _, err := in.Read(make([]byte, 100)); err != test.want {
			t.Errorf("after %d bytes: %v, want %v", test.size, err, test.want)
		}
	}
}

func TestNothingIsWrittenAfterAWriteThatFailed(t *testing.T) {
	near, far := net.Pipe()
	out, _ := sessions(t, near, far)
	out.SetWriteDeadline(time.Unix(1, 0))
	for range 2 {
		if n, err := out.Write([]byte("hello")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
		out.SetWriteDeadline(time.Time{})
	}
}

// TestWritersAndReadersAtOnce is for the race detector, and shows that what is
// written at once isn't mixed.
func TestWritersAndReadersAtOnce(t *testing.T) {
	near, far := loopback(t)
	out, in := sessions(t, near, far)
	const writers, times, size = 4, 50, 3000
	var wg sync.WaitGroup
	for w := range writers {
		for _, c := range []net.Conn{out, in} {
			wg.Go(func() {
				for range times {
					if _, err := c.Write(bytes.Repeat([]byte{byte(w)}, size)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	for _, c := range []net.Conn{out, in} {
		wg.Go(func() {
			p := make([]byte, size)
			for range writers * times {
				if _, err := io.ReadFull(c, p); err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(p, bytes.Repeat(p[:1], size)) {
					t.Error("writes were mixed")
				}
			}
		})
	}
	wg.Wait()
}

// TestSteadyStateAllocatesNothingOfItsOwn: what flynn/noise allocates for a message
// is its nonce, on either side.
func TestSteadyStateAllocatesNothingOfItsOwn(t *testing.T) {
	near, far := loopback(t)
	out, in := sessions(t, near, far)
	for _, size := range []int{12, 500, 5000, 60_000} {
		p, q := random(size), make([]byte, size)
		allocated := testing.AllocsPerRun(100, func() {
			if _, err := out.Write(p); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(in, q); err != nil {
				t.Fatal(err)
			}
		})
		if allocated > 2 {
			t.Errorf("%d bytes: %v allocations", size, allocated)
		}
	}
}

// loopback is a TCP connection with itself.
func loopback(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}
