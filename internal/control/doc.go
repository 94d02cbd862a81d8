// Package control is the local API of a running node: what the daemon serves to its
// owner's programs, in whatever language they are, and how the command line asks it.
// The calls are those of proto/parley/v1/node.proto, by Connect, so that each can be
// made as gRPC or as plain JSON; raw.go has the same few that carry payloads as the
// bodies of plain HTTP.
//
// A node's events go into an inbox and stay there until somebody is done with them,
// so that a client that dies loses nothing: a request until it is answered, rejected
// or abandoned, an outcome until it is committed. The inbox holds no payloads: those
// are read from the journal as they are given.
package control
