package simulate

import "time"

// spot is where a choice is made: of which kind, at which place, and how many of
// that kind were made there before.
type spot struct {
	kind  Kind
	place uint64 // a node, or a way between two
	count uint64
}

// dice is all that is left to chance: functions of the seed and the spot. So no
// choice depends on how many others were made, and one that is left out doesn't
// change the rest by itself.
type dice struct {
	seed   uint64
	counts map[spot]uint64   // by kind and place: one for each
	only   map[spot]struct{} // nil: everything may happen; else one for each of Config.Only
}

func newDice(c Config) dice {
	d := dice{seed: mix(c.Seed, 0x9a71), counts: map[spot]uint64{}}
	if c.Only != nil {
		d.only = map[spot]struct{}{}
		for _, choice := range c.Only {
			d.only[choice.spot] = struct{}{}
		}
	}
	return d
}

// next numbers the choices of a kind at a place.
func (d *dice) next(kind Kind, place uint64) spot {
	at := spot{kind: kind, place: place}
	n := d.counts[at]
	d.counts[at] = n + 1
	at.count = n
	return at
}

// as is the same spot for a choice of another kind.
func (s spot) as(kind Kind) spot { s.kind = kind; return s }

// hits decides whether something of some chance happens.
func (d *dice) hits(s spot, chance float64) bool {
	if chance <= 0 || d.number(s, 0) >= chance {
		return false
	}
	if d.only == nil {
		return true
	}
	_, may := d.only[s]
	return may
}

// number is in [0, 1), another one for each salt.
func (d *dice) number(s spot, salt uint64) float64 {
	return float64(d.bits(s, salt)>>11) / (1 << 53)
}

func (d *dice) bits(s spot, salt uint64) uint64 {
	return mix(mix(mix(d.seed, uint64(s.kind)<<8|salt), s.place), s.count)
}

// within is a time up to most, in most cases a short one.
func (d *dice) within(s spot, most time.Duration) time.Duration {
	f := d.number(s, 1)
	return time.Duration(f * f * f * float64(most))
}

// oneOf is a number below n.
func (d *dice) oneOf(s spot, n int) int { return int(d.bits(s, 2) % uint64(n)) }

// mix makes one number of two, of which nothing can be seen in it (the finalizer
// of SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
func mix(a, b uint64) uint64 {
	z := a ^ (b+0x9e3779b97f4a7c15)*0xbf58476d1ce4e5b9
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
