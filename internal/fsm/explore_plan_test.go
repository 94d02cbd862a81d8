package fsm

import (
	"fmt"
	"slices"
	"strings"
)

type sides = [2]int8

var (
	single   = []asking{{0, "lane", 0}}
	expiring = []asking{{0, "lane", 5 * second}}
	sameLane = []asking{{0, "lane", 0}, {0, "lane", 0}}
	twoLanes = []asking{{0, "lane", 0}, {0, "other", 0}}
	bothWays = []asking{{0, "lane", 0}, {1, "lane", 0}}
)

// quickPlans take some seconds.
var quickPlans = []*plan{
	{name: "one lane", asks: sameLane},
	{name: "two lanes", asks: twoLanes},
	{name: "a responder that crashes twice", asks: single, left: budget{crashes: sides{0, 2}}},
	{name: "cancelled while a connection breaks", asks: single, left: budget{cancels: 1, breaks: 1}},
	{name: "cancelled while the responder crashes", asks: single, left: budget{cancels: 1, crashes: sides{0, 1}}},
	{name: "a frame that comes late", asks: single, left: budget{timers: sides{1, 0}, late: 1}},
	{name: "a full disk", asks: single, left: budget{full: 1, timers: sides{1, 0}}},
	{name: "a refusal while the responder crashes", asks: single, left: budget{refusals: 1, crashes: sides{0, 1}}},
	{name: "a dial that fails while a connection breaks", asks: single, left: budget{dialFailures: 1, breaks: 1}},
	{name: "the dialer's journal is lost", asks: single, left: budget{crashes: sides{1, 0}, losses: sides{1, 0}, renewals: 1}},
	{name: "the responder's journal is lost", asks: single, left: budget{crashes: sides{0, 1}, losses: sides{0, 1}, renewals: 1}},
	{name: "the responder's journal is set back", asks: single, left: budget{crashes: sides{0, 1}, setbacks: sides{0, 1}, renewals: 1}},
}

// ciPlans add what takes minutes on two processors.
var ciPlans = append(slices.Clip(quickPlans),
	&plan{name: "two crashes of either", asks: single, left: budget{crashes: sides{2, 2}}},
	&plan{name: "cancelled while both crash", asks: single, left: budget{cancels: 1, crashes: sides{1, 1}}},
	&plan{name: "both journals are lost", asks: single, left: budget{crashes: sides{1, 1}, losses: sides{1, 1}, renewals: 2}},
	&plan{name: "the dialer's journal is set back", asks: single, left: budget{crashes: sides{1, 0}, setbacks: sides{1, 0}, renewals: 1}},
	&plan{name: "the dialer's journal is lost and its clock is behind", asks: single, clockBack: true, left: budget{crashes: sides{1, 0}, losses: sides{1, 0}, renewals: 1}},
	&plan{name: "expiry while a connection breaks", asks: expiring, left: budget{timers: sides{2, 0}, breaks: 1}},
	&plan{name: "a stream and a connection break", asks: single, left: budget{breaks: 1, ends: 1}},
	&plan{name: "an operator hangs up while a connection breaks", asks: single, left: budget{hangups: 1, breaks: 1}},
	&plan{name: "both crash and a timer fires early", asks: single, left: budget{crashes: sides{1, 1}, timers: sides{1, 0}}},
	&plan{name: "requests both ways", asks: bothWays},
	&plan{name: "one lane, cancelled, two inputs a turn", asks: sameLane, batches: true, left: budget{cancels: 1}},
	&plan{name: "one lane while a connection breaks", asks: sameLane, left: budget{breaks: 1}},
	&plan{name: "two lanes while a connection breaks", asks: twoLanes, left: budget{breaks: 1}},
	&plan{name: "one lane while the dialer crashes", asks: sameLane, left: budget{crashes: sides{1, 0}}},
	&plan{name: "one lane while the responder crashes", asks: sameLane, left: budget{crashes: sides{0, 1}}},
	&plan{name: "two lanes while the responder crashes", asks: twoLanes, left: budget{crashes: sides{0, 1}}},
)

// longPlans are for hours of a machine that has nothing else to do. What is too
// much for its memory is cut off, and said to be.
var longPlans = append(slices.Clip(ciPlans),
	&plan{name: "crashes, timers and breaks", asks: single, most: 4_000_000, left: budget{crashes: sides{1, 1}, timers: sides{1, 1}, breaks: 1}},
	&plan{name: "two lanes while the dialer crashes", asks: twoLanes, most: 4_000_000, left: budget{crashes: sides{1, 0}}},
	&plan{name: "one lane while both crash", asks: sameLane, most: 4_000_000, left: budget{crashes: sides{1, 1}}},
	&plan{name: "one lane, the dialer's journal is set back", asks: sameLane, most: 4_000_000, left: budget{crashes: sides{1, 0}, setbacks: sides{1, 0}, renewals: 1}},
	&plan{name: "requests both ways while one crashes", asks: bothWays, most: 4_000_000, left: budget{crashes: sides{1, 0}}},
)

// about is what is asked, in words.
func (p *plan) about() string {
	var parts []string
	for _, a := range p.asks {
		text := fmt.Sprintf("a request of %s in lane %q", halves[a.dialer], a.lane)
		if a.deadline > 0 {
			text += fmt.Sprintf(" with a deadline in %v", a.deadline)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// bounds is how often what may disturb, in words.
func (p *plan) bounds() string {
	var parts []string
	add := func(n int8, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", what, n))
		}
	}
	b := p.left
	for i, side := range halves {
		add(b.crashes[i], "crashes of "+string(side))
		add(b.losses[i], "of these with the journal lost")
		add(b.setbacks[i], "of these with the journal set back")
		add(b.timers[i], "timers that fire at "+string(side)+" at any moment")
	}
	add(b.breaks, "connections that break")
	add(b.ends, "streams that break")
	add(b.late, "frames that come late")
	add(b.cancels, "cancellations")
	add(b.refusals, "refusals")
	add(b.dialFailures, "dials that fail")
	add(b.renewals, "renewals by an operator")
	add(b.full, "times that a disk is full")
	add(b.hangups, "connections that an operator closes")
	if p.batches {
		parts = append(parts, "turns of two inputs too")
	}
	if p.clockBack {
		parts = append(parts, "a lost journal's clock is an hour behind")
	}
	if len(parts) == 0 {
		return "nothing disturbs but delay and order"
	}
	return "at most " + strings.Join(parts, ", ")
}
