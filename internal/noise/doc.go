// Package noise is libp2p's Noise security transport, driven so that a handshake
// costs half. On the wire it is go-libp2p's own p2p/security/noise, which it can
// stand in for on either side:
// https://github.com/libp2p/specs/tree/master/noise.
//
// A handshake is Noise_XX_25519_ChaChaPoly_SHA256. Each message is a frame, and
// so is each piece of what is sent afterwards:
//
//	 0       2                          2+length, at most 65,537
//	┌────────┬──────────────────────────┐
//	│ length │ Noise message            │
//	└────────┴──────────────────────────┘
//
//	dialer                              listener
//	  │ ──── e ─────────────────────────▶ │
//	  │ ◀─── e, ee, s, es, payload ────── │
//	  │ ──── s, se, payload ────────────▶ │
//
// A payload is the protobuf message NoiseHandshakePayload: the sender's identity
// key, that key's signature of the sender's static key s, and the stream muxers
// that the sender offers, which spares a negotiation later.
//
// # What is saved
//
// All primitives are those of github.com/flynn/noise and of the standard library.
// Only the way in which they are called differs:
//
//   - A DH and a key pair cost one scalar multiplication each. The usual path
//     through byte slices makes a new ecdh.PrivateKey for every call, which
//     computes the public key again: 10 of them for a handshake instead of 4.
//   - The static key is made, and signed, once for a [Transport] instead of once
//     for each handshake.
//   - The signature of a peer that was let in before, under the same static key,
//     isn't verified again.
//   - The handshake runs on the goroutine of its caller.
//
// That is half of the processor time of go-libp2p's own on either side, and with
// peers that are remembered 0.4 of it (BenchmarkHandshake).
//
// # One static key
//
// A [Transport] has one static key as long as it lives, which the specification
// allows. Ephemeral keys are fresh in every handshake, and with them the keys of
// every connection: whoever learns the static key later reads nothing of what was
// recorded before. It is sent encrypted, beside the identity key, and so tells
// nothing that the identity doesn't tell. Whoever steals it and its signature from
// memory can pose as this node, and could do so with the identity key, which lies
// there too. It is never written down.
//
// # Limits
//
// A message of the handshake is at most 4,094 bytes long. Identity keys are
// Ed25519 or secp256k1; other kinds are refused before any of their arithmetic is
// done. How long a handshake may take is for the caller's context to say. A
// connection holds 5 KiB, and 128 KiB while a message of more than 4 KiB is read or
// one of more than 1 KiB is written.
package noise
