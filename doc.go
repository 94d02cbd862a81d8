// Package parley holds many request/reply exchanges at once between parties who
// need not trust one another, and loses none.
package parley
