// Package parley holds many request/reply exchanges at once between parties who
// need not trust one another, and loses none.
//
// A [Handler] is a node: it has a key, a list of the peers it talks to, and a
// journal. An application makes requests of peers and answers theirs. A request
// that was accepted is on disk; it is dialled, sent, sent again and resumed until
// it has ended, through lost connections, restarts and crashes of either side.
// What each side stores before it says so is written in docs/protocol.md; how the
// code is built, in ARCHITECTURE.md.
//
// # A first node
//
//	key, err := identity.LoadOrGenerate("identity.key")
//	list, err := allowlist.Load("peers.toml")
//	h, err := parley.New("0.0.0.0:4001", key, parley.Config{AllowList: list, Dir: "journal"})
//	defer h.Close()
//
// A peer is known by its peer ID, which is derived from its public key, and dialled
// at an address: a multiaddr such as /ip4/10.0.0.7/tcp/4001, or host:port. An
// address is given with the request, or stands in the allow list. With an empty
// address of its own a node doesn't listen, and only dials.
//
// # An application with a loop of its own
//
// A synchronous application needs no goroutine and no callback. It asks for events
// in its own loop, and is never made to wait by [Handler.CheckReceive]:
//
//	for range ticks {
//		for e, ok := h.CheckReceive(); ok; e, ok = h.CheckReceive() {
//			switch e.Kind {
//			case parley.RequestReceived:
//				err = h.Reply(e.ID, answerTo(e.Body))
//			case parley.ReplyReceived:
//				use(e.ID, e.Body)
//			case parley.ExchangeFailed:
//				giveUp(e.ID, e.Err)
//			}
//		}
//	}
//
// [Handler.Receive] waits for the next event, and [Handler.Events] ranges over
// them. Events have one consumer at a time; all other methods may be called by
// many goroutines at once.
//
// # What is promised
//
//  1. When [Handler.Request] returns without an error the request is on disk. From
//     then on it ends in exactly one way, answered, rejected, expired or cancelled,
//     and the application is told which: once committed, never again.
//  2. A message is acknowledged to its sender only after it is on disk at its
//     receiver.
//  3. The responder's application is given each request once while it runs. After a
//     crash it is given again every request that it has neither answered nor
//     rejected, and none that it has.
//  4. Requests of one lane come in the order in which they were made.
//  5. A peer that isn't on the allow list is given nothing, and nothing that it
//     sends is looked at.
//  6. One bad, slow or absent peer delays no other.
//  7. Nothing is dropped without a word: a refusal is an error to the caller, a
//     failure is an event.
//  8. Memory, files, goroutines and the journal stay below limits in [Config],
//     whatever peers do.
//
// # Once, and once more after a crash
//
// No library can make an effect happen exactly once: the application may have had
// the effect and crash before it can say so. So an event that may have been given
// before is marked, and always has the same [ID] on both sides:
//
//   - [Event.Redelivered]: this application was given the event before, or may have
//     been, by a run that crashed or was closed before the request was answered, or
//     the reply committed.
//   - [Event.PossiblySeen]: somebody's journal was lost, or restored from a backup.
//     The request may have been given, and even answered, before.
//
// An application is safe when it stores what an event brings about together with
// the event's ID, in one transaction, and passes over IDs that it has stored; or
// when its effects may happen twice. After a restart the requests that wait for an
// answer come first, in the order of their arrival.
//
// # When an event is done with
//
// A request is done with when it is answered: by [Handler.Reply], by
// [Handler.Response] where the peer has just one request in hand, or by
// [Handler.Reject]. Taking it is not enough.
//
// A reply or a failure is done with when it is committed. Asking for the next event
// commits the one before, also when the answer is that there is none. With
// [Config.ExplicitCommit] only [Handler.Commit] does, which is meant for
// applications that have several events in hand. Call and Serve commit by
// themselves. The implicit commit isn't waited for, and [Handler.Close] commits
// nothing, so that the last reply before a close may come again.
//
// # Call and Serve
//
// [Handler.Call] makes a request and waits for its reply; many may wait at once.
// When its context ends the exchange goes on and its outcome comes as an event: to
// end the exchange there is [Handler.Cancel].
//
// [Handler.Serve] is the responder as a function. An error that it returns rejects
// the request, with the error's text as the reason, which the peer reads.
// [ErrLater] leaves the request open, for Reply or for the next start. Serve is the
// consumer of events; what is not a request waits for CheckReceive beside it.
//
// # Lanes
//
// A peer is engaged in one exchange per lane and direction at a time: the next
// request of a lane is sent when the one before has ended, and lanes run side by
// side. [Message.Lane] is any short text; in a protocol of many programs it is the
// program's ID. Without one all requests to a peer are of the same, empty lane: one
// that the peer never answers then holds up all that follow, until its deadline or
// Cancel.
//
// # Deadlines, cancelling, rejecting
//
//   - [Message.Deadline] ends an exchange as expired ([ErrExpired]). It is a moment
//     on the wall clock and goes on while the node is down. The responder is told.
//   - [Handler.Cancel] ends it as cancelled ([ErrCancelled]).
//   - Reject ends it from the other side: a [RejectedError] with the reason.
//
// An exchange that expires or is cancelled is over here at once. If it may have been
// sent, its lane is held until the responder knows, so that it can't be delivered
// after its successor. The responder's application, if it was given the request,
// gets [RequestAbandoned], and [ErrAbandoned] when it answers.
//
// # Requests that are made once
//
// An application that crashes before it has stored the ID that Send returned can't
// know whether the request was made. [Message.Key] solves this: the same key to the
// same peer gives the same exchange, for as long as it is open or remembered
// ([Config.History]). The same key with another body is [ErrKeyReused]. Keys of
// different peers have nothing to do with each other.
//
// # Who may connect
//
// [Config.AllowList] lists the peers; nil admits nobody. It changes at any time, in
// the program or, if it was made by allowlist.Follow, as soon as its file is
// edited. A file with a mistake in it changes nothing: [AllowListTrouble] names the
// line. Where the call that makes a change returns, it is done: a peer that was
// removed is disconnected, and what is open with it suspended ([PeerSuspended])
// until it is listed again; its unanswered requests are held back meanwhile. Each
// change is logged, and written to allowlist.log in [Config.Dir], with who made it:
// `parley journal changes` lists them.
// allowlist.Everyone is for experiments.
//
// A member may be pinned to IP addresses: it is let in from nowhere else, and
// dialled nowhere else. [Config.ListedAddressesOnly] goes further, for groups that
// don't move: whoever comes from an address that isn't in the list is refused
// before a key is looked at.
//
// The Noise handshake proves each side's key. Where an address proves another key
// than its peer's, no payload is sent and [IdentityMismatch] is told.
//
// The key is the node. Two processes with one key can't both be heard: the one with
// the older journal is fenced.
//
// # Whoever breaks the protocol
//
// A peer that sends what the protocol forbids is disconnected at once and named,
// with the rule, by [ProtocolViolation]. It is kept out for a second, and for twice
// as long each time, up to [Config.KeepOutMax], until a day has passed without;
// a restart changes nothing of that. [Handler.Pardon] lets it in again. Nothing
// that a bad network or a crash can bring about counts: being slow, silent or cut
// off is no violation. docs/security.md lists what is.
//
// [Handler.WhyRefused] answers why a peer doesn't get in, and [Handler.Refused]
// whom this node has refused lately: strangers, and members that are pinned
// elsewhere, kept out or too many. A [PeerStatus] shows KeptOutUntil, and which
// limit the peer has reached.
//
// # Limits
//
// Every limit that can be set is a field of [Config], where its default stands.
// Those of one peer can be set for each in the allow list. docs/limits.md lists all,
// and what they come to together.
//
//	reached                               what happens
//	MaxMessageSize, by own message        ErrTooLarge; nothing is stored
//	MaxMessageSize of the peer            rejected, with the limit as the reason
//	MaxQueuedPerPeer, MaxQueued           ErrQueueFull; nothing is stored. An end that
//	                                      isn't committed counts as well
//	MaxStored, by own requests            ErrQueueFull
//	ExchangesPerSecond, BytesPerSecond    the peer is told when to try again, and does;
//	                                      PeerLimited
//	MaxOpenPerPeer, MaxOpen,              likewise; every peer always has room for one
//	MaxStoredPerPeer, MaxStored           message
//	FramesPerSecond                       its frames, and streams, wait unread; PeerLimited
//	MaxConnections, …PerPeer, …PerIP,     refused; ConnectionLimitHit
//	MaxPendingHandshakes,
//	MaxArrivalsPerSecondPerIP,
//	MaxHandshakesPerSecond
//	MaxStreamsPerConnection,              the stream, or the connection, is refused;
//	MaxWindowMemory, …PerPeer             ConnectionLimitHit
//	less than 256 MiB of free disk        ErrDiskFull, as JournalTrouble too, and from
//	                                      Room; peers are told to try again later
//	History, HistoryAge                   the oldest ended exchange of that role is
//	                                      forgotten, and its key with it
//
// Whoever is told to try again does so by itself, and nothing is lost by it: a
// limit that is reached makes exchanges slower, not fewer.
//
// # Errors
//
// Errors are matched by [errors.Is] and [errors.As]. A [*PeerError] wraps those that
// concern one peer, and a [*RejectedError] is a responder's word.
//
//	ErrNotListed, ErrNoAddress, ErrSelf   the request can't be sent as things are
//	ErrInvalid                            a lane, key, reason or address that can't be one
//	ErrQueueFull, ErrTooLarge             a limit: nothing was stored
//	ErrDiskFull                           nothing more is accepted until there is room
//	ErrJournal                            the disk refuses: see below
//	ErrNoRequest, ErrAmbiguous            Response finds none, or several, to answer
//	ErrUnknown, ErrAnswered,              the exchange isn't, or is no longer,
//	ErrAbandoned, ErrEnded, ErrOpen       what the call takes it for
//	ErrRejected, ErrExpired, ErrCancelled how an exchange failed
//	ErrFenced, ErrRolledBack, ErrMismatch the peer is halted: see below
//	ErrContradicts                        likewise
//	ErrPinned, ErrKeptOut,                why a connection was refused: see Refusal
//	ErrConnectionLimit, ErrHandshake
//	ErrBusy, ErrClosed                    of the handler
//	ErrLocked, ErrOwner, ErrDamaged       of its directory, when it is opened
//
// # Events for an operator
//
// Events for which [Kind.Priority] holds are about a peer or the node, and come
// before all others. What repeats itself is told the first time, when something
// about it changes, and then in sums ([Event.Count]), a minute apart; strangers are
// put together. So nobody can flood the application. A program without an operator
// may pass them over, but for [JournalTrouble].
//
// # When a peer is halted
//
// The journals of two peers know of each other what each has seen. If they
// contradict each other, one was lost, restored from an old backup, or another
// process uses the key: [PeerHalted]. Nothing more is requested of that peer, and
// nothing is guessed. The operator makes sure that there is one process and one
// journal, and calls [Handler.Renew]: open requests are sent again under their IDs,
// marked as possibly seen. A peer that has lost what it had acknowledged is told by
// [PeerLostJournal]; it gets the request again, marked likewise. [PeerDiffers] is the
// other way round: a peer's journal was set back, and nothing is to be renewed here.
//
// A journal may also contradict itself about a peer, after a repair by hand, say: that
// peer is halted at the start by [ErrContradicts], which names the record, and is
// neither asked nor let in; what the journal has of it stays as it is, all other peers
// are served. Renew goes on with those of its records that make sense by themselves.
//
// # The journal
//
// [Config.Dir] is created with mode 0700, and belongs to one process and one key:
// otherwise [New] gives [ErrLocked] or [ErrOwner]. It holds the requests and replies
// of all open exchanges, as they are: messages are encrypted on their way, not on
// disk. Whoever can read the directory, the same user, root, or a backup, can read
// them. They are deleted when they are no longer needed, which doesn't erase them
// from the disk.
//
// Never restore a journal from a backup of an earlier moment while there is another
// way: it has forgotten what its peers know.
//
// When the disk refuses a write nothing more is accepted: calls give [ErrJournal],
// connections are closed, and JournalTrouble is told. What the failing call wanted
// may be on disk or not. Make room or repair the disk, then make the node anew: what
// had been acknowledged before is there.
//
// What is damaged is refused with [ErrDamaged], which names the place; nothing on
// disk is changed. `parley journal dump DIR` lists what can still be read.
//
// Without a Dir the journal is in memory. Everything holds but for crashes: then all
// is lost, and peers see a node that has forgotten everything.
//
// # Closing
//
// Close stops the node at once; it ends no exchange. All that is open goes on when
// [New] is called again with the same key and directory. Whoever waits in a call is
// told [ErrClosed]: what it asked for may be on disk or not. A request made with a
// [Message] Key can be made again then, and is the same exchange.
//
// # Limitations
//
//   - Messages are held whole in memory when they are given to the application, and
//     are at most Config.MaxMessageSize, 64 MiB unless changed.
//   - Durable means as durable as the disk's own word after fsync.
//   - A responder that never answers keeps its request open for ever, unless the
//     dialer gave a deadline. A dialer that never returns leaves a reply stored:
//     [Handler.Forget] drops it.
//   - Clocks may differ between peers. A deadline travels as the time that remains,
//     so that it is late at the responder by as long as the way took.
//   - Peers are reached at addresses that somebody knows: there is no discovery, no
//     relay and no hole punching.
//   - A member of the group can see when, and how much, it is sent. Noise hides
//     contents from others, not sizes and times.
package parley
