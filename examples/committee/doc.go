// Package committee signs a set of Bitcoin transactions together: a complete
// application of Parley's handler, to be copied from.
//
// The members of a committee, who needn't trust one another, make BIP-340
// signatures of their common key by MuSig2 (BIP-327): real transactions, in
// chains that are signed before any of it is published, as the operators of
// protocols such as BitVMX sign them. Each member asks each other one for its
// public key, for a public nonce of each transaction, and for a partial
// signature of each: requests and replies, one lane for each program.
//
//	          committee's key            nonces of a round            signature
//	keys ──▶ and transactions ──▶ nonces ──▶ aggregate ──▶ partials ──▶ verified
//
// A [Member] is turned by its program, also after its own part is done, since
// others may still ask:
//
//	for {
//		worked, err := member.Turn()
//		if err != nil {
//			return err
//		}
//		if !worked {
//			time.Sleep(time.Millisecond)
//		}
//	}
//
// # How a member lives with crashes
//
// It is a synchronous program in one goroutine: [Member.Receive] takes one event
// in, [Member.Tick] does all that can be done, and neither waits. What
// it must not forget is in a [State], a file of its own beside the handler's
// journal. Four habits make the two agree, whenever the process dies:
//
//   - A reply's effect is stored, together with the exchange's ID, before the
//     next event is asked for, which commits it. A reply that is given again is
//     known by its ID.
//   - A request's effect is stored, together with the exchange's ID and the
//     answer, before the answer is given to the handler. A request that is given
//     again gets the stored answer.
//   - A request that can't be answered yet is kept in memory alone: the handler
//     gives it again after a crash.
//   - What is to be asked follows from the state, and each request has a key that
//     follows from what is asked. Asked again after a crash, it is the same
//     exchange.
//
// So [Audit] can count, in the members' files alone, that no exchange was lost
// and no effect applied twice.
//
// # Nonces
//
// A secret nonce is stored before its public nonce leaves, is consumed, durably,
// before it signs, and never signs twice. See nonce.go; copy that file with care.
// A member's state must never be restored from a backup: it would use its nonces
// a second time. Start the member anew, with a new key, instead.
//
// # Limitations
//
// The keys lie in the state file unencrypted, and consumed nonces stay in it. A
// member that answers wrongly or not at all keeps the committee from signing,
// as it lies in n-of-n signatures; a wrong partial signature names who sent it.
package committee
