// Package attackers turns on a Parley node what an attacker has at hand who
// writes no code of his own: a stock go-libp2p host, with all that comes with it.
// It has a module of its own because that host brings QUIC, WebRTC and WebTransport,
// which Parley doesn't need.
//
// The tests say that such a host, when it is listed and speaks
// /parley/exchange/1, exchanges with a node in both directions; and that refusing
// a stranger costs a node less than it costs the stranger to be refused.
package attackers
