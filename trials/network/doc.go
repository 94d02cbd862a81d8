// Package network tries whole nodes on networks as they are at their worst. It has
// tests alone, for Linux; those that need a network of their own need root, and say
// so when they are skipped.
//
//	host      a network namespace with an address that isn't loopback, in which
//	          nodes run as processes, by the public API alone
//	cable     what lies between hosts: a switch of Ethernet frames in the test's own
//	          process, which loses, doubles and delays each by chance, from a seed
//	forwarder TCP between two hosts: cut, stalled, throttled, in pieces, or passing
//	          in one direction only
//	node      asks all its peers, answers them, and keeps a ledger
//
// A test brings traffic about, does something to the network in its midst, and
// waits until as much again has come through. At the end the ledgers of all nodes
// must agree: every request ended, and had its effect once on each side, in the
// order of its lane; and nobody was blamed, since a bad line is no violation.
//
// Nothing depends on speed: what is waited for is progress, and a test fails when
// there was none for longer than any timeout.
//
//	go test ./trials/network
//	go test ./trials/network -run Together -v -seed 7 -exchanges 2000
//	go test ./trials/network -run AtOnce -v -crossings 1000
//	go test ./trials/network -run Persistence -v -every
package network
