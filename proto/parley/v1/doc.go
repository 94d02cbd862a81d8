// Package parleyv1 is the messages of a node's local API, generated from node.proto.
package parleyv1
