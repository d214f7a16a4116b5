package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/time/rate"
)

const (
	loginPath  = "/login"
	logoutPath = "/logout"
	staticPath = "/static/"
	// refreshHeader is set by the script when it fetches a page that is shown.
	refreshHeader = "X-Sluice-Refresh"
	// csrfField is the field of a form that has the session's token.
	csrfField = "csrf"
	// maxForm bounds the body of a request, in bytes.
	maxForm = 1 << 20
	// policy is the content security policy: the console's own files and no others,
	// nothing inline.
	policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

// loopbackHosts are the names by which a console on the loopback interface is reached.
var loopbackHosts = []string{"localhost", "127.0.0.1", "::1"}

// A guard lets requests through whose sender may do what they ask for. Its methods may
// be called concurrently.
type guard struct {
	c        *Config
	sessions *sessions
	logins   *rate.Limiter
}

func newGuard(c *Config) *guard {
	// Ten tries, then one every ten seconds, for all senders together: the address of a
	// sender is that of a proxy, or one of many.
	return &guard{c: c, sessions: newSessions(), logins: rate.NewLimiter(rate.Limit(0.1), 10)}
}

// protect returns a handler that lets to next what g lets through.
func (g *guard) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers(w.Header())
		defer func() {
			if p := recover(); p != nil {
				g.c.Logger.Error("a page failed", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				http.Error(w, "internal error: the console's log says more", http.StatusInternalServerError)
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if !g.knownHost(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "this console is not reached by the name "+printable(r.Host)+"; --host permits one")
			return
		}
		if strings.HasPrefix(r.URL.Path, staticPath) {
			next.ServeHTTP(w, r)
			return
		}
		id, ok := g.identify(w, r)
		switch {
		case !ok:
			refuse(w, http.StatusUnauthorized, "the proxy before this console must say who you are in "+g.c.TrustedHeader)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && !g.sound(r, id):
			g.c.Logger.Warn("a forged request was refused", "path", r.URL.Path, "origin", printable(r.Header.Get("Origin")), "who", id.Who)
			refuse(w, http.StatusForbidden, "the form is not this console's, or its session has ended: go back, reload the page and try again")
		case !id.In && r.URL.Path != loginPath:
			if r.Method == http.MethodGet && r.Header.Get(refreshHeader) == "" {
				http.Redirect(w, r, loginPath+"?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
				return
			}
			refuse(w, http.StatusUnauthorized, "log in first")
		default:
			next.ServeHTTP(w, id.on(r))
		}
	})
}

// headers sets what keeps a browser from doing with a page what it is not for.
func headers(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers send forms without their origin
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }

// knownHost reports whether a Host header names this console. A page of another name
// that resolves to this machine must not read it.
func (g *guard) knownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case slices.Contains(g.c.Hosts, host):
		return true
	case len(g.c.Hosts) > 0:
		return slices.Contains(loopbackHosts, host) && !g.c.guarded()
	case g.c.guarded():
		return true // a page of another name has no session, and its sender no identity
	default:
		return slices.Contains(loopbackHosts, host)
	}
}

// identify returns who sends a request. It begins a session if there is none. It returns
// false if the proxy must say who it is and does not.
func (g *guard) identify(w http.ResponseWriter, r *http.Request) (identity, bool) {
	id := identity{session: g.sessions.of(r)}
	switch {
	case g.c.TrustedHeader != "":
		vs := r.Header.Values(g.c.TrustedHeader)
		if len(vs) != 1 || strings.TrimSpace(vs[0]) == "" {
			return id, false // two of them: one is the sender's own
		}
		id.Who, id.In = printable(strings.TrimSpace(vs[0])), true
	case g.c.Token != "":
		id.In = id.session != "" && g.sessions.loggedIn(id.session)
		if id.In {
			id.Who = "session " + id.session[:6]
		}
	default:
		id.Who, id.In = "loopback", true
	}
	if id.session == "" {
		id.session = g.sessions.begin(w, r)
	}
	id.CSRF = g.sessions.csrf(id.session, id.Who)
	return id, true
}

// sound reports whether a request that changes something comes from a form of this
// console, in the session that it was made for.
func (g *guard) sound(r *http.Request, id identity) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	return hmac.Equal([]byte(r.PostFormValue(csrfField)), []byte(id.CSRF)) && id.CSRF != ""
}

// tokenIs reports whether a viewer has given the token. It takes as long for any other.
func (g *guard) tokenIs(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(g.c.Token))
	return hmac.Equal(a[:], b[:])
}

// printable is a text of a request as a log or an answer may have it.
func printable(s string) string {
	const most = 100
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
