// Package attack is what a hostile peer does, on real sockets: tests and
// `parley demo --chaos` turn it on a node.
//
// A [Peer] speaks TCP, Noise and yamux as any peer does, from a source address
// of its choice, and on its streams whatever it likes. On it stand the
// behaviours of [Attacks], each a function that goes on until its context ends
// or it has done what it does [Attacker.Times] times:
//
//	a := &attack.Attacker{Target: attack.Target{Address: address, Peer: id}, Key: key}
//	err := attack.RequestFlood(ctx, a)
//	fmt.Println(a.Report())
//
// An error is the attacker's own failure: it can't open sockets, say. What the
// node does about it, refusing, resetting, hanging up, is no error but what the
// [Report] counts.
//
// Behaviours come in three kinds, by what the node owes to whom shows them. A
// [Stranger] is to get nothing. A [Violation] is to be disconnected, and named
// with the rule that it broke. A [Nuisance] keeps to the protocol, or can't be
// told from bad luck: it is to be bounded, and not blamed.
//
// The package knows the wire and nothing of the node: it is written against
// docs/protocol.md, as a stranger would.
package attack
