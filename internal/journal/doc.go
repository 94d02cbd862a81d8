// Package journal keeps what a node must not lose: opaque records, each a key
// and a value, and payloads, each under a number.
package journal
