package committee

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/parley-p2p/parley/identity"
)

// gathering is a committee in one goroutine, on disks and a network in memory.
type gathering struct {
	*network
	committee Committee
	disks     map[identity.ID]*disk
	members   map[identity.ID]*Member
	fates     map[identity.ID]*fate
	failed    map[identity.ID]error // how members ended
	mayFail   bool                  // members, which then stay down
	now       time.Time
}

func gather(t *testing.T, seats, transactions, programs int, seed uint64) *gathering {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	g := &gathering{
		network:   &network{t: t, rng: rng},
		committee: Committee{Transactions: transactions, Programs: programs, Seed: seed, MessageSize: 200},
		disks:     map[identity.ID]*disk{}, members: map[identity.ID]*Member{}, fates: map[identity.ID]*fate{},
		failed: map[identity.ID]error{},
		now:    time.Unix(1_700_000_000, 0),
	}
	for range seats {
		key, err := identity.Generate(identity.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		g.committee.Members = append(g.committee.Members, key.PeerID())
		g.fates[key.PeerID()] = &fate{rng: rng}
		g.disks[key.PeerID()] = &disk{fate: g.fates[key.PeerID()]}
	}
	return g
}

// turn lets a member do one turn, and starts it first if it isn't running. A
// crash in it leaves what its disk and its handler hold.
func (g *gathering) turn(id identity.ID) (worked bool) {
	defer func() {
		switch cause := recover(); cause.(type) {
		case nil:
		case crash:
			g.disks[id].lose()
			delete(g.members, id)
			worked = true
		default:
			panic(cause)
		}
	}()
	if g.mayFail && g.failed[id] != nil {
		return false
	}
	if g.members[id] == nil {
		g.members[id] = g.open(id)
	}
	worked, err := g.members[id].Turn()
	switch {
	case err == nil:
	case g.disks[id].full != nil || g.mayFail:
		g.failed[id] = err
		panic(crash{})
	default:
		g.t.Fatalf("member %s: %v", id.Short(), err)
	}
	return worked
}

func (g *gathering) open(id identity.ID) *Member {
	state, err := openState(g.disks[id], func() time.Time { g.now = g.now.Add(time.Millisecond); return g.now })
	if err != nil {
		g.t.Fatalf("opening the state: %v", err)
	}
	member, err := NewMember(g.committee, id, g.start(id, g.fates[id]), state, slog.New(slog.DiscardHandler))
	if err != nil {
		g.t.Fatal(err)
	}
	return member
}

// run turns members in random order until none has anything to do.
func (g *gathering) run() {
	idle := map[identity.ID]bool{}
	for len(idle) < len(g.committee.Members) {
		id := g.committee.Members[g.rng.IntN(len(g.committee.Members))]
		if g.turn(id) {
			clear(idle)
		} else {
			idle[id] = true
		}
	}
}

func (g *gathering) audit() Report {
	g.t.Helper()
	members := map[identity.ID][]Record{}
	for id, disk := range g.disks {
		records, _, err := decodeState(disk.content)
		if err != nil {
			g.t.Fatal(err)
		}
		members[id] = records
	}
	report, err := Audit(g.committee, members)
	if err != nil {
		g.t.Fatal(err)
	}
	return report
}

func TestCommitteeSigns(t *testing.T) {
	g := gather(t, 4, 9, 3, 1)
	g.run()
	report := g.audit()
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if want := 4 * 3 * (1 + 2*9); report.Exchanges != want || report.Valid != 9 || report.Repeated != 0 {
		t.Errorf("got %+v, want %d exchanges and 9 valid signatures", report, want)
	}
	for id, member := range g.members {
		if !member.Progress().Done {
			t.Errorf("member %s isn't done: %+v", id.Short(), member.Progress())
		}
	}
}

// The signed transactions spend their outputs by the rules of consensus.
func TestSignedTransactionsAreValid(t *testing.T) {
	g := gather(t, 3, 4, 2, 2)
	g.run()
	member := g.members[g.committee.Members[0]]
	for n, tx := range member.signers.transactions {
		tx.TxIn[0].Witness = wire.TxWitness{member.state.signatures[n].Serialize()}
		outputs := txscript.NewCannedPrevOutputFetcher(tx.spent.PkScript, tx.spent.Value)
		engine, err := txscript.NewEngine(tx.spent.PkScript, tx.MsgTx, 0, txscript.StandardVerifyFlags, nil,
			txscript.NewTxSigHashes(tx.MsgTx, outputs), tx.spent.Value, outputs)
		if err == nil {
			err = engine.Execute()
		}
		if err != nil {
			t.Errorf("transaction %d: %v", n, err)
		}
		if n >= 2 && tx.TxIn[0].PreviousOutPoint.Hash != member.signers.transactions[n-2].TxHash() {
			t.Errorf("transaction %d doesn't spend its predecessor", n)
		}
	}
}

// Members die at any step, on either side of any sync or call, with any part of
// what wasn't synced; what comes out is the same.
func TestCommitteeSignsThroughCrashes(t *testing.T) {
	repeated, given := 0, 0
	for seed := range uint64(12) {
		g := gather(t, 3, 5, 2, seed)
		for _, fate := range g.fates {
			fate.mean, fate.crashes = 5+3*int(seed), 40
		}
		g.run()
		report := g.audit()
		if err := report.Err(); err != nil {
			t.Errorf("seed %d: %v (%+v)", seed, err, report)
		}
		if err := g.leftTwice(); err != "" {
			t.Errorf("seed %d: %s", seed, err)
		}
		repeated += report.Repeated
		for _, x := range g.exchanges {
			given += x.requestGiven - 1
		}
	}
	if repeated == 0 || given == 0 {
		t.Errorf("%d rounds were repeated and %d requests given again: the test shows nothing", repeated, given)
	}
	t.Logf("%d rounds were repeated, %d requests given again", repeated, given)
}

func TestMemberAsksAgainOnceAPeerIsListed(t *testing.T) {
	g := gather(t, 3, 5, 2, 1)
	away := g.committee.Members[1]
	g.unlisted = map[identity.ID]bool{away: true}
	g.run()
	for id, member := range g.members {
		if p := member.Progress(); id != away && p.Keys != 1 {
			t.Errorf("member %s has %d keys, want that of the listed one: %+v", id.Short(), p.Keys, p)
		}
	}
	g.unlisted = nil
	g.now = g.now.Add(askAgain)
	g.run()
	if report := g.audit(); report.Err() != nil {
		t.Errorf("%v (%+v)", report.Err(), report)
	}
}

// Members go off the others' lists and back at any time, also between a request
// and the note of it.
func TestCommitteeSignsThroughAbsencesAndCrashes(t *testing.T) {
	for seed := range uint64(8) {
		g := gather(t, 3, 5, 2, seed)
		for _, fate := range g.fates {
			fate.mean, fate.crashes = 5+3*int(seed), 20
		}
		for range 400 {
			if g.rng.IntN(10) == 0 {
				g.unlisted = map[identity.ID]bool{g.committee.Members[g.rng.IntN(3)]: g.rng.IntN(3) > 0}
			}
			g.now = g.now.Add(askAgain / 10)
			g.turn(g.committee.Members[g.rng.IntN(3)])
		}
		g.unlisted = nil
		g.now = g.now.Add(askAgain)
		g.run()
		if report := g.audit(); report.Err() != nil {
			t.Errorf("seed %d: %v (%+v)", seed, report.Err(), report)
		}
	}
}

// leftTwice looks at what went over the network, rather than at what members
// stored, for two partial signatures with one nonce.
func (g *gathering) leftTwice() string {
	type source struct {
		member identity.ID
		Round
	}
	left := map[source]string{}
	for _, x := range g.exchanges {
		var req request
		var answer Answer
		if json.Unmarshal(x.Body, &req) != nil || json.Unmarshal(x.answer, &answer) != nil || req.Subject == Key {
			continue
		}
		from := source{x.Peer, req.Round}
		if req.Subject == Nonce {
			from.Attempt = -from.Attempt
		}
		if before, known := left[from]; known && before != string(answer.Value) {
			return x.Peer.Short() + " answered " + req.Ask.String() + " in two ways"
		}
		left[from] = string(answer.Value)
	}
	return ""
}
