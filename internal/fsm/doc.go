// Package fsm holds every rule of an exchange: both roles, lanes, retries,
// deduplication, epochs and connections. It is pure: a [Machine] steps one
// [Input] at a time, given the time, and collects what follows into one [Ready];
// nothing in it starts a goroutine, looks at a clock, rolls dice or touches a
// disk. So the same code runs in a node and in a simulation, and every state can
// be driven to in a test.
//
// # The way of an exchange
//
//	dialer                                          responder
//	Enqueue ─▶ queued
//	           dialing ──────── connection ────────▶
//	           sending ──────── HELLO, REQUEST ────▶ (receiving) stored
//	           awaiting ◀────── WELCOME, ACK ───────
//	                                                 delivered ◀─ Taken
//	                     ◀───── REPLY ────────────── replying  ◀─ Respond
//	           answered ─────── ACK ───────────────▶ answered
//
// The dialer's side goes to backoff after a failed dial, a lost connection, a
// timeout or a NACK, and dials or sends again; to suspended while the peer is off
// the allow list; to halted until the operator renews; and to cancelling when it
// was cancelled or has expired and the responder may have it. docs/state-machines.md
// has the diagrams, made from the code; docs/protocol.md has the rules.
//
// # What owns what
//
// A peer has connections, a dialer's side and a responder's side. An outbound is
// an exchange made here, an inbound one that a peer made; both belong to their
// names, never to a connection. A stream binds one exchange to a connection for
// as long as its acknowledgements count there.
//
// Files follow the flow: input.go, machine.go, peer.go and connection.go; enqueue.go,
// dialer.go, dialer_frames.go and dialer_end.go; epoch.go; responder.go,
// responder_answer.go and responder_end.go; outbox.go on the way to the
// application; record.go and restore.go to the disk and back.
package fsm
