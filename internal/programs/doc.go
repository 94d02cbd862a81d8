// Package programs answers requests by running programs, so that a shell script is
// an application: the request is its standard input, and what it prints is the reply.
//
// # What a program is given
//
// It runs in the node's directory, with the environment of the node and besides
//
//	PARLEY_EXCHANGE     the exchange's ID, the same whenever the request comes again
//	PARLEY_PEER         the ID of who asks
//	PARLEY_NAME         what the allow list calls it; may be empty
//	PARLEY_LANE         may be empty; control characters in it are replaced by U+FFFD
//	PARLEY_DEADLINE     when the peer gives up, as 2030-01-02T15:04:05Z; empty: never
//	PARLEY_REDELIVERED  1 if a program may have been given the request before, else empty
//	PARLEY_DIR          the node's directory, so that it can call parley itself
//
// # How it ends
//
//	0      what it printed is the reply
//	100    the request is rejected, with what it printed as the reason, or else with
//	       what it wrote to standard error; at most 1,024 bytes
//	other  it has failed, as it has when it prints more than a message may have, takes
//	       longer than its time limit, or leaves processes behind that hold its output
//
// Standard error goes to the node's log, the last 4 KiB of it. At the time limit the
// program and all it has started, unless that has left its process group, are killed.
// (Windows has no process groups: there it is the program alone.)
//
// # After a failure
//
// It runs again, after a delay that doubles each time, until its attempts are used
// up. Then the request is a dead letter: clients of the node are given it, and an
// operator retries, answers or rejects it. Attempts are counted anew when the node
// starts; dead letters stay what they are. When there are maxDead of them the
// requests that fail are tried again without end.
//
// That its answer can't be stored, as on a full disk, is no failure: the answer is kept
// and stored later, and nothing runs again, unless the node stops before.
//
// A crash of the node between a program's end and its reply's being stored has it run
// again, with PARLEY_REDELIVERED: what it does should bear that.
//
// On Linux a node that dies in any way takes the programs that run with it, and what
// these have started is killed at the next start, before anything runs; the folder
// running tells which that is. Elsewhere they go on, and a program may run again
// beside itself: let it take a lock there.
//
// # Whose turn it is
//
// Peers take turns, and the requests of one come in their order. A request whose
// dialer gives it up, or that somebody answers meanwhile, has its program killed.
package programs
