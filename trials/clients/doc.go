// Package clients has programs in other languages work with daemons as they are built
// and run: those of the folder clients, by curl, in Python and in Rust. It has tests
// alone, which skip what isn't there to run them.
//
// Two daemons list each other. At one of them a program in each language asks, at the
// other one in another language answers. Each writes a ledger of what it was told, of
// the effects it had, and of what it has told its daemon. At the end the ledgers are
// compared: every request was answered and had its effect once on either side; what
// came again was marked; nothing came that a program was done with.
//
//   - exchange_test.go: each language with each; and all at once while the daemons,
//     and now and then the programs, are killed at any moment. -exchanges says how
//     many exchanges there are to be, -every how many come on each kill
//   - committee_test.go: a signing session with a member in Python
//   - call_test.go: every call of the clients in Python and Rust
//   - manual_test.go: the examples of docs/api.md
package clients
