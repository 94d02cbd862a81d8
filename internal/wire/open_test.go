package wire

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOpenSequencesComeBackAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.Uint64Range(1, math.MaxInt64-1), 0, 200, rapid.ID).Draw(t, "open")
		slices.Sort(set)
		got, err := DecodeOpen(AppendOpen(nil, set), math.MaxInt64)
		if err != nil || !slices.Equal(got, set) {
			t.Fatalf("got %v, %v; want %v", got, err, set)
		}
	})
}

func TestFullWindowOfOpenSequencesFits(t *testing.T) {
	open := make([]uint64, MaxOpen)
	for i := range open {
		open[i] = 1<<62 + uint64(i)
	}
	payload := AppendOpen(nil, open)
	if len(payload) > MaxHello {
		t.Fatalf("payload has %d bytes, limit is %d", len(payload), MaxHello)
	}
	if got, err := DecodeOpen(payload, 1<<62+MaxOpen); err != nil || !slices.Equal(got, open) {
		t.Errorf("got %d sequences, %v", len(got), err)
	}
}

func TestRefusesOpenSequences(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		next    uint64
		rule    string
	}{
		{"sequence 0", "\x00", 9, "ascend from 1"},
		{"the same one twice", "\x03\x00", 9, "ascend from 1"},
		{"one not given yet", "\x09", 9, "not given yet"},
		{"one not given yet, later in the list", "\x03\x06", 9, "not given yet"},
		{"any when none was given", "\x01", 1, "not given yet"},
		{"any when next is 0", "\x01", 0, "not given yet"},
		{"a sum beyond 64 bits", "\x03" + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 9, "not given yet"},
		{"a number beyond 64 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 9, "beyond 64 bits"},
		{"a number in too many bytes", "\x83\x00", 9, "more bytes than it needs"},
		{"a zero in too many bytes", "\x80\x00", 9, "more bytes than it needs"},
		{"a list cut off", "\x03\x82", 9, "cut off"},
		{"too many", strings.Repeat("\x01", MaxOpen+1), 1 << 20, "more than 65536"},
		{"too many bytes", strings.Repeat("\x01", MaxHello+1), 1 << 20, "more than 256 KiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := DecodeOpen([]byte(test.payload), test.next)
			if !errors.Is(err, ErrBadFrame) || !strings.Contains(err.Error(), test.rule) {
				t.Errorf("error is %v, want a bad frame with %q", err, test.rule)
			}
		})
	}
}
