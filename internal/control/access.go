package control

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// Role is what a client may do.
type Role int

const (
	// ReadOnly looks, and changes nothing: it is given no payloads.
	ReadOnly Role = iota + 1
	// Admin does everything.
	Admin
)

// looking is what ReadOnly may call.
var looking = map[string]bool{
	parleyv1connect.NodeStatusProcedure:          true,
	parleyv1connect.NodeListExchangesProcedure:   true,
	parleyv1connect.NodeGetExchangeProcedure:     true,
	parleyv1connect.NodeListPeersProcedure:       true,
	parleyv1connect.NodeListPendingProcedure:     true,
	parleyv1connect.NodeListDeadLettersProcedure: true,
	healthPath: true,
}

// Token is a secret by which a client has a role.
type Token struct {
	Secret string
	Role   Role
}

// guarded lets in who has the token of a role that may make the call. Without tokens
// it lets everyone in: who may reach a socket is then up to its file's mode.
func guarded(next http.Handler, tokens []Token) http.Handler {
	if len(tokens) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == healthPath {
			next.ServeHTTP(w, r) // whoever asks it needn't be able to ask more
			return
		}
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		role := Role(0)
		for _, t := range tokens { // all of them, so that the time tells nothing
			if subtle.ConstantTimeCompare([]byte(given), []byte(t.Secret)) == 1 {
				role = t.Role
			}
		}
		switch {
		case role == 0:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "no valid token: send the header \"Authorization: Bearer TOKEN\", with the token from a file in the node's directory", http.StatusUnauthorized)
		case role == ReadOnly && !looking[r.URL.Path]:
			http.Error(w, "the token may only look: use the admin token", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
