// Package crash kills real processes: nodes on real disks and sockets, in pairs of
// an asker and an answerer. It has tests alone.
//
// Either process writes a ledger of all that it was told and did, as an application
// would that commits its effects together with the exchange's ID. At the end both
// ledgers are compared: every request that was accepted has ended once; no effect
// was had twice, on either side; a lane kept its order; what came again was marked;
// every reply is the one that was given.
//
//   - random_test.go: SIGKILL at any moment, also amid a recovery
//   - places_test.go: at the places that package failpoints names
//   - commits_test.go: at each commit of a session in turn
//   - stopped_test.go: SIGSTOP for longer than every timeout
//   - full_test.go: a disk that fills up
//
// By default a few of each are tried. -kills N says how many processes are killed at
// random, -thorough has every place tried at several passes and on both sides.
package crash
