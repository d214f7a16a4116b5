package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// sessionTime is how long a login lasts.
	sessionTime = 12 * time.Hour
	// maxLogins bounds the memory of logins. The oldest ends when there are more.
	maxLogins = 1000
)

// sessions gives viewers their names. A cookie has a random name and its signature, so
// that nobody else can have the console take a name of theirs. Its methods may be called
// concurrently.
type sessions struct {
	key []byte
	now func() time.Time

	mu     sync.Mutex
	logins map[string]time.Time // of a session: when it logged in
}

func newSessions() *sessions {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return &sessions{key: key, now: time.Now, logins: make(map[string]time.Time)}
}

// sign returns a signature that nobody else can make, and that holds for one purpose.
func (s *sessions) sign(purpose, name string) string {
	h := hmac.New(sha256.New, s.key)
	_, _ = h.Write([]byte(purpose + "\x00" + name)) // it never fails
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// cookieName returns the name of the session's cookie. It has the port, since browsers give
// cookies to all ports of a host, and there may be another console.
func cookieName(r *http.Request) string {
	const name = "sluice_console"
	_, port, err := net.SplitHostPort(r.Host)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return name
	}
	return name + "_" + port
}

// of returns the name of a request's session, or "".
func (s *sessions) of(r *http.Request) string {
	c, err := r.Cookie(cookieName(r))
	if err != nil {
		return ""
	}
	name, signature, _ := strings.Cut(c.Value, ".")
	if !hmac.Equal([]byte(signature), []byte(s.sign("session", name))) {
		return ""
	}
	return name
}

// begin begins a session and returns its name.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request) string {
	name := rand.Text()
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: name + "." + s.sign("session", name), Path: "/", MaxAge: int(sessionTime / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
		// Whoever forges the header withholds the cookie from plain HTTP, and only from
		// themselves.
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	return name
}

// csrf returns the token that the forms of a session carry for a viewer.
func (s *sessions) csrf(name, who string) string { return s.sign("form", name+"\x00"+who) }

// logIn marks a session as logged in.
func (s *sessions) logIn(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, now := "", s.now()
	for other, at := range s.logins {
		if now.Sub(at) >= sessionTime {
			delete(s.logins, other)
		} else if oldest == "" || at.Before(s.logins[oldest]) {
			oldest = other
		}
	}
	if len(s.logins) >= maxLogins {
		delete(s.logins, oldest)
	}
	s.logins[name] = now
}

// loggedIn reports whether a session is logged in.
func (s *sessions) loggedIn(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.logins[name]
	return ok && s.now().Sub(at) < sessionTime
}

// logOut ends a session's login.
func (s *sessions) logOut(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logins, name)
}
