package console

import (
	"net/http"
	"strings"
)

// A login is the page on which viewers log in.
type login struct{ *Console }

// loginData is what the page shows.
type loginData struct {
	// To is the page that the viewer asked for.
	To string
	// Problem is why the last try failed.
	Problem string
}

func (l login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := local(r.FormValue("to"))
	if l.c.Token == "" || r.Method == http.MethodGet && whose(r).In {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	status, d := http.StatusOK, loginData{To: to}
	if r.Method == http.MethodPost {
		switch from := r.RemoteAddr; {
		case !l.guard.logins.Allow():
			l.c.Logger.Warn("too many logins", "from", from)
			status, d.Problem = http.StatusTooManyRequests, "There were too many tries. Wait a few seconds and try again."
			w.Header().Set("Retry-After", "10")
		case !l.guard.tokenIs(r.PostFormValue("token")):
			l.audit.add("unknown", "", "failed to log in", "from "+from, nil)
			status, d.Problem = http.StatusUnauthorized, "This is not the token."
		default:
			// A new name: whoever gave the browser the old one is not logged in by it.
			name := l.guard.sessions.begin(w, r)
			l.guard.sessions.logIn(name)
			l.audit.add("session "+name[:6], "", "logged in", "from "+from, nil)
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
	}
	l.show(w, r, status, "login", &view{Title: "Log in", Data: d})
}

// local returns a path of this console, or its first page if to is anything else.
func local(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}
