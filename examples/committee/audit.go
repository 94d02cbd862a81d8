package committee

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// Report is what an auditor finds in the members' state files.
type Report struct {
	Exchanges int `json:"exchanges"` // requests made
	Lost      int `json:"lost"`      // of these: not applied, or the reply not applied; or never made
	Twice     int `json:"twice"`     // effects applied more than once, on either side
	Different int `json:"different"` // replies applied that aren't what their responder stored
	Reused    int `json:"reused"`    // nonces consumed more than once
	Repeated  int `json:"repeated"`  // rounds after a transaction's first one
	Valid     int `json:"valid"`     // transactions of which every member has a valid signature
	Wanted    int `json:"wanted"`    // transactions
	// Median and Worst are the 50th and the 99th percentile of the time from an
	// exchange's turn in its lane to the moment its reply was applied. The wait
	// of the responder for others is in it.
	Median time.Duration `json:"p50_ns"`
	Worst  time.Duration `json:"p99_ns"`
}

// Err is nil if nothing is off.
func (r Report) Err() error {
	var off []error
	for _, count := range []struct {
		number int
		what   string
	}{
		{r.Lost, "exchanges lost"},
		{r.Twice, "effects applied twice"},
		{r.Different, "replies that differ from what their responder stored"},
		{r.Reused, "nonces used twice"},
		{r.Wanted - r.Valid, "transactions without a valid signature"},
	} {
		if count.number != 0 {
			off = append(off, fmt.Errorf("%d %s", count.number, count.what))
		}
	}
	return errors.Join(off...)
}

// audit is the work on a Report.
type audit struct {
	Report
	made    map[parley.ID]deed // by the dialer
	served  map[parley.ID]deed // by the responder
	applied map[parley.ID]deed // by the dialer
	lanes   map[lane][]span
}

// deed is a record of an exchange, and whose it is.
type deed struct {
	Record
	by identity.ID
}

type lane struct {
	dialer, responder identity.ID
	name              string
}

// span is from when a request was made to when its reply was applied, in microseconds.
type span struct{ made, applied int64 }

// Audit compares what all members stored: that each request made was applied
// once where it was received, and its reply once where it was made; that no
// nonce was used twice; and that all signatures are valid.
func Audit(committee Committee, members map[identity.ID][]Record) (Report, error) {
	a := audit{
		made: map[parley.ID]deed{}, served: map[parley.ID]deed{}, applied: map[parley.ID]deed{},
		lanes: map[lane][]span{},
	}
	for id, records := range members {
		a.countEffects(id, records)
		a.countNonces(records)
	}
	a.compare(&committee)
	a.measure()
	return a.Report, a.verify(&committee, members)
}

// countEffects counts what a member did under an exchange's ID, and questions
// that it put twice.
func (a *audit) countEffects(member identity.ID, records []Record) {
	put := map[question]bool{}
	for _, record := range records {
		var seen bool
		switch record.Kind {
		case RequestMade:
			asked := question{record.Ask, record.Peer}
			_, seen = a.made[record.Exchange]
			seen = seen || put[asked]
			put[asked] = true
			a.made[record.Exchange] = deed{record, member}
		case RequestApplied:
			_, seen = a.served[record.Exchange]
			a.served[record.Exchange] = deed{record, member}
		case ReplyApplied:
			_, seen = a.applied[record.Exchange]
			a.applied[record.Exchange] = deed{record, member}
		}
		if seen {
			a.Twice++
		}
	}
}

func (a *audit) countNonces(records []Record) {
	consumed := map[Round]bool{}
	drawn := map[string]bool{}
	for _, record := range records {
		switch record.Kind {
		case NonceMade:
			if drawn[string(record.Secret)] {
				a.Reused++
			}
			drawn[string(record.Secret)] = true
		case NonceConsumed:
			if consumed[record.Round] {
				a.Reused++
			}
			consumed[record.Round] = true
		case RoundVoided:
			a.Repeated++
		}
	}
}

// compare matches the two sides of every exchange.
func (a *audit) compare(committee *Committee) {
	a.Exchanges = len(a.made)
	a.Lost += max(0, len(committee.Members)*committee.Exchanges()-len(a.made))
	for id, made := range a.made {
		served, isServed := a.served[id]
		applied, isApplied := a.applied[id]
		switch {
		case !isServed || !isApplied:
			a.Lost++
			continue
		case made.by != id.Dialer, applied.by != id.Dialer, served.by != made.Peer, // another's exchange
			served.Peer != id.Dialer, applied.Peer != made.Peer,
			served.Ask != made.Ask, applied.Ask != made.Ask,
			served.Answer.Void != applied.Answer.Void, !bytes.Equal(served.Answer.Value, applied.Answer.Value):
			a.Different++
		}
		where := lane{id.Dialer, made.Peer, committee.lane(made.Ask)}
		a.lanes[where] = append(a.lanes[where], span{made.Time, applied.Time})
	}
	for id := range a.served {
		if _, isMade := a.made[id]; !isMade {
			a.Different++
		}
	}
}

// measure takes each exchange from its turn in its lane: from when it was made
// or, if that is later, from the reply to the one before.
func (a *audit) measure() {
	var took []time.Duration
	for _, spans := range a.lanes {
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.applied, b.applied) })
		var before int64
		for _, span := range spans {
			took = append(took, time.Duration(span.applied-max(span.made, before))*time.Microsecond)
			before = span.applied
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		a.Median, a.Worst = took[len(took)*50/100], took[len(took)*99/100]
	}
}

// verify takes the keys out of the records, makes the transactions anew, and
// verifies every member's signatures of them.
func (a *audit) verify(committee *Committee, members map[identity.ID][]Record) error {
	a.Wanted = committee.Transactions
	var keys []*btcec.PublicKey
	for _, records := range members {
		for _, record := range records {
			if record.Kind == SigningKeyMade {
				_, key := btcec.PrivKeyFromBytes(record.Secret)
				keys = append(keys, key)
			}
		}
	}
	signers, err := newSigners(committee, keys)
	if err != nil {
		return err
	}
	holders := make([]int, committee.Transactions) // of a valid signature of each
	for _, records := range members {
		valid := map[int]bool{}
		for _, record := range records {
			if record.Kind == Signed && signers.verifyRecord(record) {
				valid[record.Round.Transaction] = true
			}
		}
		for n := range valid {
			holders[n]++
		}
	}
	for _, number := range holders {
		if number == len(committee.Members) {
			a.Valid++
		}
	}
	return nil
}

func (s *signers) verifyRecord(record Record) bool {
	n := record.Round.Transaction
	signature, err := schnorr.ParseSignature(record.Signature)
	return err == nil && n >= 0 && n < len(s.transactions) && s.verify(signature, n)
}
