package allowlist

import "fmt"

// Limits are what a peer may do at most. Zero fields mean the node's defaults,
// so that nothing can be forbidden altogether: take the peer off the list for
// that. The tags are the names in a file.
type Limits struct {
	// ExchangesPerSecond bounds the new requests of the peer, with a burst of ten
	// seconds' worth.
	ExchangesPerSecond int `toml:"exchanges_per_second,omitempty" json:"exchanges_per_second,omitempty"`
	// BytesPerSecond bounds the payloads of its requests, in bytes.
	BytesPerSecond int64 `toml:"bytes_per_second,omitempty" json:"bytes_per_second,omitempty"`
	// FramesPerSecond bounds its frames of any kind.
	FramesPerSecond int `toml:"frames_per_second,omitempty" json:"frames_per_second,omitempty"`
	// MaxOpen bounds its requests that are stored here and have not ended.
	MaxOpen int `toml:"open,omitempty" json:"open,omitempty"`
	// MaxStored bounds the bytes of them, and apart from these the bytes of its replies.
	MaxStored int64 `toml:"stored,omitempty" json:"stored,omitempty"`
	// MaxStreams bounds the streams that are open at once on all its connections together.
	MaxStreams int `toml:"streams,omitempty" json:"streams,omitempty"`
}

// Beyond these, a limit bounds nothing, and more likely a digit slipped in or an
// unit was mistaken. A member with a larger one is refused with a *[FieldError].
const (
	// MaxRate bounds Limits.ExchangesPerSecond and Limits.FramesPerSecond.
	MaxRate = 10_000_000
	// MaxCount bounds Limits.MaxOpen and Limits.MaxStreams.
	MaxCount = 10_000_000
	// MaxBytes bounds Limits.BytesPerSecond and Limits.MaxStored, in bytes.
	MaxBytes = 1 << 50
)

// limitKeys are the tags of Limits, for those who mistyped one.
const limitKeys = "exchanges_per_second, bytes_per_second, frames_per_second, open, stored and streams"

// check names the first field, as a [FieldError] does, that is out of bounds.
func (l Limits) check() (field string, err error) {
	for _, limit := range []struct {
		key            string
		value, highest int64
	}{
		{"exchanges_per_second", int64(l.ExchangesPerSecond), MaxRate},
		{"bytes_per_second", l.BytesPerSecond, MaxBytes},
		{"frames_per_second", int64(l.FramesPerSecond), MaxRate},
		{"open", int64(l.MaxOpen), MaxCount},
		{"stored", l.MaxStored, MaxBytes},
		{"streams", int64(l.MaxStreams), MaxCount},
	} {
		if limit.value < 0 || limit.value > limit.highest {
			return "limits." + limit.key, fmt.Errorf("%d is not a number from 1 to %d; leave it away for the node's default", limit.value, limit.highest)
		}
	}
	return "", nil
}
