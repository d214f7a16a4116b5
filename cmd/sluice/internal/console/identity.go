package console

import (
	"context"
	"net/http"
)

// An identity is who sends a request, and the session in which.
type identity struct {
	// Who is the viewer as the audit log names it.
	Who string
	// session is the session's random name.
	session string
	// In reports whether the viewer may see the pages.
	In bool
	// CSRF is the token that the session's forms carry.
	CSRF string
}

type identityKey struct{}

// whose returns who sends a request that guard has let through.
func whose(r *http.Request) identity {
	id, _ := r.Context().Value(identityKey{}).(identity)
	return id
}

func (id identity) on(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
}
