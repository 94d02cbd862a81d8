package fsm

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// A story in which every kind of record, and most of what they can say, is written.
func TestDescribesEveryRecordInOneLine(t *testing.T) {
	n, c := connectedNode(t)
	first := n.outgoing(1, "lane")
	first.Key, first.Deadline = "key", n.now.Add(3600*second)
	n.step(Enqueue{Requests: []Outgoing{first, n.outgoing(2, "lane"), n.outgoing(3, ""), n.outgoing(4, "late")}})
	n.arrive(c, 2, n.welcome(0), n.ack(1).with(delivered), n.reply(1))
	n.arrive(c, 4, n.ack(3))
	n.step(Cancel{Name: made(3)}, Commit{Name: made(1)})
	n.arrive(c, 6, n.reject(4, 4))

	_, s := n.accept(alice)
	c = n.conns
	n.arrive(c, s, request(1, "a"))
	n.arrive(c, n.stream(), request(2, "b"))
	n.arrive(c, n.stream(), request(3, "c").with(possiblySeen))
	n.arrive(c, n.stream(), cancel(7))
	n.arrive(c, n.stream(), cancel(9))
	n.told()
	n.answer(1)
	n.step(Refuse{Name: asked(2), Reason: "no"})
	n.arrive(c, n.stream(), largeResume(5, "d").with(huge))
	n.arrive(c, n.stream(), cancel(10))
	n.arrive(c, n.stream(), request(4, "e"))
	n.arrive(c, n.stream(), cancel(4))
	n.step(Connected{Conn: 99, Peer: bob}) // which isn't listed

	var lines []string
	for _, k := range slices.Sorted(maps.Keys(n.written)) {
		lines = append(lines, Describe([]byte(k), n.written[k], func(p Peer) string { return "<" + string(p) + ">" }))
	}
	golden(t, "testdata/records.txt", strings.Join(lines, "\n")+"\n")
}

func TestDescribesWhyAPeerIsHalted(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ack(1), n.reject(1, 3))
	key := "a" + string(alice)
	got := Describe([]byte(key), n.written[key], nil)
	want := "dialer to 616c696365: epoch 1764000000000, next 2, acknowledged, the peer knows epoch 1764000000010, " + ErrFenced.Error()
	if got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if peer, err := Trouble([]byte(key), n.written[key]); peer != alice || !errors.Is(err, ErrFenced) {
		t.Fatalf("the trouble is %v, with %q", err, peer)
	}
}

func TestSaysWhichRecordItCannotRead(t *testing.T) {
	for _, bad := range []struct{ key, value, want string }{
		{"", "", "unreadable, 0 bytes"},
		{"a", "x", "unreadable, 1 bytes: key 61"},
		{"zpeer", "\x01", "record of an unknown form"},
		{"apeer", "\x02abc", "version 2, this program knows 1"},
		{"apeer", "\x01", "record of an unknown form"},
		{"bpeer", "\x01\x01", "record of an unknown form"},
		{"epeer", "\x01\x01", "record of an unknown form"},
		{"epeer\x00\x00\x00\x00\x00\x00\x00\x00", "\x01\x05\x01", "record of an unknown form"},
		{"vpeer", "\x01\x01", "record of an unknown form"},
		{"h1234", "\x01", "record of an unknown form"},
		{"otag", "\x01\x01p", "record of an unknown form"},
		{"i0123456789abcdefpeer", "\x01\x01\x02", "record of an unknown form"},
	} {
		if peer, err := Trouble([]byte(bad.key), []byte(bad.value)); peer != "" || err == nil {
			t.Errorf("key %q: the trouble is %v, with %q", bad.key, err, peer)
		}
		if got := Describe([]byte(bad.key), []byte(bad.value), nil); !strings.Contains(got, bad.want) || strings.Contains(got, "\n") {
			t.Errorf("%q: got %q, want %q in it", bad.key, got, bad.want)
		}
	}
}

// FuzzDescribe: no record, damaged or of a later version, is too strange for a line.
func FuzzDescribe(f *testing.F) {
	n, c := connectedNode(f)
	n.request(1, "lane")
	n.arrive(c, 2, n.ack(1))
	_, s := n.accept(alice)
	n.arrive(n.conns, s, request(1, ""))
	n.step(Cancel{Name: made(1)}, Commit{Name: made(1)})
	n.arrive(c, 2, n.ackCancel(1))
	for k, v := range n.written {
		f.Add([]byte(k), v)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if got := Describe(key, value, nil); got == "" {
			t.Fatal("no description")
		}
	})
}

// golden compares text with a file, or writes it anew.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Fatalf("%s isn't what the code says; `make vectors` writes it anew. The difference:\n%s", file, difference(string(want), text))
	}
}
