package committee

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// Handler is what a member uses of *parley.Handler.
type Handler interface {
	CheckReceive() (parley.Event, bool)
	Send(messages ...parley.Message) ([]parley.ID, error)
	Reply(id parley.ID, body []byte) error
	Reject(id parley.ID, reason string) error
}

const (
	eventsMax = 64      // taken between two ticks
	sendMax   = 256     // requests made with one call,
	sendBytes = 4 << 20 // and about their bytes
)

// Member is one signer: an ordinary synchronous program that looks at its
// events, works, and looks again. One goroutine uses it.
type Member struct {
	committee Committee
	self      identity.ID
	handler   Handler
	state     *State
	logger    *slog.Logger

	signers *signers // nil until all keys are known
	// open are the requests of peers that can't be answered yet. They needn't
	// be kept in the state: after a crash the handler gives them again.
	open   map[parley.ID]openRequest
	behind bool // something has happened since the last Tick
}

type openRequest struct {
	request
	peer identity.ID
}

// NewMember makes the member self. The state stays the caller's to close.
func NewMember(committee Committee, self identity.ID, handler Handler, state *State, logger *slog.Logger) (*Member, error) {
	if err := committee.Check(); err != nil {
		return nil, err
	}
	if !slices.Contains(committee.Members, self) {
		return nil, fmt.Errorf("%s isn't a member of the committee", self)
	}
	return &Member{
		committee: committee, self: self, handler: handler, state: state, logger: logger,
		open: map[parley.ID]openRequest{}, behind: true,
	}, nil
}

// Turn works on what has happened and takes in what happens next; it never
// waits. The tick comes first: after a crash it makes again, under their keys,
// the requests of which the state doesn't know, before their replies come. An
// error is the end of the member: whatever it had not synced hasn't happened,
// and it can be started again.
func (m *Member) Turn() (worked bool, err error) {
	if m.behind {
		worked = true
		if err := m.Tick(); err != nil {
			return worked, err
		}
	}
	for range eventsMax {
		event, ok := m.handler.CheckReceive() // this commits the event before it
		if !ok {
			break
		}
		worked = true
		if err := m.Receive(event); err != nil {
			return worked, err
		}
	}
	return worked, nil
}

// Receive takes one event in. When it returns, the effect of a reply is durable
// together with the exchange's ID, so that the event may be committed.
func (m *Member) Receive(event parley.Event) error {
	m.behind = m.behind || !event.Kind.Priority()
	switch event.Kind {
	case parley.RequestReceived:
		return m.receiveRequest(event)
	case parley.RequestAbandoned:
		delete(m.open, event.ID)
	case parley.ReplyReceived:
		return m.receiveReply(event)
	case parley.ExchangeFailed:
		return fmt.Errorf("member %s: exchange %s: %w", event.Peer.Short(), event.ID, event.Err)
	default:
		m.logger.Warn(event.Kind.String(), "peer", event.Peer, "address", event.Address, "count", event.Count, "err", event.Err)
	}
	return nil
}

// receiveRequest keeps a request until Tick can answer it. One that was answered
// before a crash, and comes again because the handler didn't learn it, gets the
// answer that was stored.
func (m *Member) receiveRequest(event parley.Event) error {
	if answer, answered := m.state.answers[event.ID]; answered {
		return m.reply(event.ID, answer)
	}
	req, err := m.committee.parseRequest(event.Body)
	if err != nil {
		return m.reject(event.ID, err.Error())
	}
	m.open[event.ID] = openRequest{req, event.Peer}
	return nil
}

// receiveReply applies a reply once, however often it is given.
func (m *Member) receiveReply(event parley.Event) error {
	if m.state.applied[event.ID] {
		return nil
	}
	asked, made := m.state.unanswered[event.ID]
	if !made {
		return fmt.Errorf("member %s: reply to exchange %s, which was never begun", event.Peer.Short(), event.ID)
	}
	answer, err := parseAnswer(event.Body)
	if err == nil {
		err = m.checkPartial(asked, answer)
	}
	if err == nil {
		err = m.state.append(Record{Kind: ReplyApplied, Exchange: event.ID, Peer: event.Peer, Ask: asked.Ask, Answer: answer})
	}
	if err != nil {
		return fmt.Errorf("member %s: answer to %s: %w", event.Peer.Short(), asked.Ask, err)
	}
	return m.state.Sync()
}

// checkPartial verifies a partial signature by itself, so that who spoils the
// signature is known by name.
func (m *Member) checkPartial(asked question, answer Answer) error {
	if asked.Subject != Partial || answer.Void {
		return nil
	}
	partial, err := parsePartial(answer.Value)
	if err != nil {
		return err
	}
	r := m.state.round(asked.Round) // its nonces are known: they had to be before asking
	if !m.signers.verifyPartial(partial, m.state.keys[asked.peer], r.nonces[asked.peer], r.aggregate, asked.Transaction) {
		return errors.New("partial signature is not valid")
	}
	return nil
}

// Tick does all that can be done with what is known. Each step follows from the
// durable state alone, so that after a crash the same is done again or goes on.
func (m *Member) Tick() error {
	m.behind = false
	for _, step := range []func() error{m.aggregateKeys, m.join, m.prepareNonces, m.sign, m.combine, m.answer, m.ask} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// aggregateKeys makes the committee's key and its transactions, once all
// members' keys are known.
func (m *Member) aggregateKeys() (err error) {
	if m.signers != nil || len(m.state.keys) < len(m.committee.Members)-1 {
		return nil
	}
	keys := []*btcec.PublicKey{m.state.key.PubKey()}
	for _, peer := range m.committee.Members {
		if peer != m.self {
			keys = append(keys, m.state.keys[peer])
		}
	}
	m.signers, err = newSigners(&m.committee, keys)
	return err
}

// join goes on to a further attempt that a peer has begun: the present one is
// void, though the member that lost its nonce hasn't said so here yet.
func (m *Member) join() error {
	for id, req := range m.open {
		if req.Subject == Key {
			continue
		}
		current := m.state.current(req.Transaction)
		switch signed := m.state.signatures[req.Transaction] != nil; {
		case req.Attempt <= current.Attempt:
		case req.Attempt > current.Attempt+1 || signed:
			if err := m.reject(id, fmt.Sprintf("%s can't be begun: the member is at %s", req.Round, current)); err != nil {
				return err
			}
		default:
			if err := m.state.append(Record{Kind: RoundJoined, Round: req.Round}); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepareNonces makes this member's nonces of the present rounds.
func (m *Member) prepareNonces() error {
	if m.signers == nil {
		return nil
	}
	var missing []Round
	for n := range m.committee.Transactions {
		if current := m.state.current(n); !m.state.round(current).made {
			missing = append(missing, current)
		}
	}
	return m.state.makeNonces(m.signers, missing)
}

// sign makes this member's partial signatures of the rounds whose nonces are
// all known.
func (m *Member) sign() error {
	var uses []use
	for n := range m.committee.Transactions {
		current := m.state.current(n)
		r := m.state.round(current)
		if r.secret == nil || len(r.nonces) < len(m.committee.Members)-1 {
			continue
		}
		nonces := []publicNonce{r.public}
		for _, nonce := range r.nonces {
			nonces = append(nonces, nonce)
		}
		aggregate, err := musig2.AggregateNonces(nonces)
		if err != nil {
			return fmt.Errorf("%s: aggregating the nonces: %w", current, err)
		}
		uses = append(uses, use{current, m.signers.transactions[n].sighash, aggregate})
	}
	secrets, err := m.state.takeNonces(uses)
	if err != nil {
		return err
	}
	for i, use := range uses {
		partial, err := m.signers.sign(m.state.key, secrets[i], use.aggregate, use.Transaction)
		clear(secrets[i][:])
		if err != nil {
			return fmt.Errorf("%s: signing: %w", use.Round, err)
		}
		if err := m.state.notePartial(use.Round, partial); err != nil {
			return err
		}
	}
	return nil
}

// combine makes the signatures of which all parts are there.
func (m *Member) combine() error {
	for n := range m.committee.Transactions {
		current := m.state.current(n)
		r := m.state.round(current)
		if m.state.signatures[n] != nil || r.partial == nil || len(r.partials) < len(m.committee.Members)-1 {
			continue
		}
		partials := []*musig2.PartialSignature{r.partial}
		for _, partial := range r.partials {
			partials = append(partials, partial)
		}
		signature, err := m.signers.combine(r.partial.R, partials, n)
		if err != nil {
			return err
		}
		if err := m.state.append(Record{Kind: Signed, Round: current, Signature: signature.Serialize()}); err != nil {
			return err
		}
	}
	return nil
}
