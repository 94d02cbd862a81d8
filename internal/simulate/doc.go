// Package simulate runs whole groups of nodes in one goroutine on virtual time:
// the production machine and mediator turn of every node, over a network, disks
// and applications that fail as real ones do. Every promise is looked at in every
// step; promises.go numbers them.
//
// # What fails
//
//   - The network: frames are late, overtake each other on other streams, are lost
//     with their stream or connection, vanish on one that both ends think open, and
//     come once more when all is over. Ways between two nodes are cut, in one
//     direction or both; one end learns of a broken connection much later than the
//     other; both dial at once; nodes move to other addresses.
//   - The disk: what wasn't synced is lost in a power cut, from any batch on; a sync
//     fails, and nobody knows what is on disk; the disk is full for a while; journals
//     are lost, or set back to an older state, in the runs that are about that.
//   - The process: it dies before, in and after a commit, between two actions, while
//     its application has an event in hand, in recovery and in its sweep. Its clock
//     is another when it returns, or is set while it runs.
//   - The application: it is slow, takes nothing for a while, answers late or never,
//     rejects, cancels, sets deadlines, waits and gives up waiting, and asks again
//     with the same key when it doesn't know whether its request was accepted.
//   - The operator: takes peers off the allow list and puts them back, hangs up,
//     drops answers that nobody fetches, renews what is halted.
//   - One peer that breaks every rule, in the runs that are about that.
//
// # One seed, one run
//
// Whatever is left to chance is a function of the seed, the kind of choice, where it
// is made, and how many of its kind were made there before (dice.go): so a choice can
// be left out and the others stay as they are. [Run] gives the hash of all that
// happened, the same for the same seed. [Shrink] leaves out of a run that broke a
// promise whatever isn't needed to break it, and tells what remains.
//
// # What is not simulated
//
// Pebble, libp2p and the mediator's channels: the journal, p2p and mediator packages
// try those for real. A torn tail of the log is a batch that isn't there. All of a
// machine is looked at every checkEvery turns.
package simulate
