package committee

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

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
	behind bool      // something has happened since the last Tick
	askAt  time.Time // when to ask again whoever was off the allow list; zero: nobody was
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
	if m.behind || !m.askAt.IsZero() && !m.state.now().Before(m.askAt) {
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
	if !slices.Contains(m.committee.Members, event.Peer) { // the allow list may have others
		return unlessOver(m.handler.Reject(event.ID, "you are no member of this committee"))
	}
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
