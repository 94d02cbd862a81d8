// Package parleyv1connect is the calls of a node's local API, generated from node.proto.
package parleyv1connect
