package main

import (
	"encoding/json"
	"time"
)

// jsonVersion changes when the meaning of a field does.
const jsonVersion = 1

// jsonDisplay writes one object a line, the result last.
type jsonDisplay struct {
	encoder *json.Encoder
	options demoOptions
	began   time.Time
}

type jsonProgress struct {
	Type      string  `json:"type"` // "progress"
	Version   int     `json:"version"`
	Seconds   float64 `json:"seconds"`
	Signed    int     `json:"signed"` // by all members
	Exchanges int     `json:"exchanges"`
	Resends   uint64  `json:"resends"`
	Redials   uint64  `json:"redials"`
	Crashes   int     `json:"crashes"`

	Chaos *jsonChaos `json:"chaos,omitempty"`
}

type jsonResult struct {
	Type         string  `json:"type"` // "result"
	Version      int     `json:"version"`
	OK           bool    `json:"ok"`
	Seconds      float64 `json:"seconds"`
	Nodes        int     `json:"nodes"`
	Transactions int     `json:"transactions"`
	MessageSize  int     `json:"message_size"`
	Seed         uint64  `json:"seed"`
	Crash        bool    `json:"crash"`

	Exchanges       int     `json:"exchanges"`
	PerSecond       float64 `json:"exchanges_per_second"`
	Median          float64 `json:"p50_ms"`
	Worst           float64 `json:"p99_ms"`
	Resends         uint64  `json:"resends"`
	Redials         uint64  `json:"redials"`
	Crashes         int     `json:"crashes"`
	RoundsRepeated  int     `json:"rounds_repeated"`
	Lost            int     `json:"lost"`
	AppliedTwice    int     `json:"effects_applied_twice"`
	RepliesChanged  int     `json:"replies_changed"`
	NoncesReused    int     `json:"nonces_used_twice"`
	SignaturesValid int     `json:"signatures_valid"`
	GivenTwice      int     `json:"events_given_twice"` // or again without a mark

	Chaos *jsonChaos `json:"chaos,omitempty"`
}

// jsonChaos is what was done to the session, besides members being killed. What
// attackers did is in the result alone.
type jsonChaos struct {
	Links             map[faultKind]int `json:"links"` // faults, by their kind
	Absences          []jsonAbsence     `json:"absences"`
	StrangersTried    int               `json:"strangers_tried"`   // connections
	StrangersRefused  int               `json:"strangers_refused"` // as the operators are told
	StrangersAnswered int               `json:"strangers_answered"`
	MadFrames         int               `json:"mad_frames"`       // sent by the mad peer
	RulesBroken       map[string]int    `json:"rules_broken"`     // by it
	KeptOut           float64           `json:"kept_out_seconds"` // the longest that it was
	ToldBesides       map[string]int    `json:"told_besides"`     // of it
	Blamed            map[string]int    `json:"honest_members_blamed"`
}

type jsonAbsence struct {
	Member  int     `json:"member"` // from 1
	Seconds float64 `json:"seconds"`
	Back    bool    `json:"back"`
}

func (v *view) json(o demoOptions) *jsonChaos {
	if !o.chaos {
		return nil
	}
	f := &v.findings
	chaos := &jsonChaos{
		Links: v.faults, StrangersRefused: f.strangers, RulesBroken: f.rules, KeptOut: f.keptOut.Seconds(),
		ToldBesides: f.besides, Blamed: f.blamed, Absences: []jsonAbsence{},
	}
	for _, a := range v.absences {
		chaos.Absences = append(chaos.Absences, jsonAbsence{a.member + 1, a.lasts.Seconds(), a.back})
	}
	return chaos
}

func (r *result) json() *jsonChaos {
	chaos := r.view.json(r.options)
	if chaos != nil {
		chaos.StrangersTried, chaos.StrangersAnswered = r.strangers.connections, r.strangers.answers
		chaos.MadFrames = r.mad.frames
	}
	return chaos
}

func (d *jsonDisplay) interval() time.Duration { return lineInterval }

func (d *jsonDisplay) progress(v *view) error {
	t := total(v.members)
	return d.encoder.Encode(jsonProgress{
		Type: "progress", Version: jsonVersion, Seconds: time.Since(d.began).Seconds(),
		Signed: t.signed, Exchanges: t.exchanges, Resends: t.resends, Redials: t.redials, Crashes: t.crashes,
		Chaos: v.json(d.options),
	})
}

func (d *jsonDisplay) result(r *result) error {
	t := total(r.members)
	return d.encoder.Encode(jsonResult{
		Type: "result", Version: jsonVersion, OK: r.Err() == nil, Seconds: r.took.Seconds(),
		Nodes: r.options.nodes, Transactions: r.options.transactions, MessageSize: r.options.messageSize,
		Seed: r.options.seed, Crash: r.options.crash,
		Exchanges: r.report.Exchanges, PerSecond: float64(r.report.Exchanges) / r.took.Seconds(),
		Median: float64(r.report.Median) / 1e6, Worst: float64(r.report.Worst) / 1e6,
		Resends: t.resends, Redials: t.redials, Crashes: t.crashes, RoundsRepeated: r.report.Repeated,
		Lost: r.report.Lost, AppliedTwice: r.report.Twice, RepliesChanged: r.report.Different,
		NoncesReused: r.report.Reused, SignaturesValid: r.report.Valid, GivenTwice: t.broken,
		Chaos: r.json(),
	})
}
