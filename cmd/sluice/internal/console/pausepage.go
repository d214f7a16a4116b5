package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-go/sluice/middleware/control"
)

// A pausePage takes the forms that pause and resume a queue.
type pausePage struct {
	*Console
	paused bool
}

func (p pausePage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.mayWrite(w, r) {
		return
	}
	q := p.find(w, r)
	if q == nil {
		return
	}
	name := q.queue.Name
	if !p.pauses.of(name).Can {
		p.fail(w, r, http.StatusConflict, name+" has no control store, so that no consumer would obey. Set service.control in the configuration.")
		return
	}
	reason, what := strings.TrimSpace(r.PostFormValue("reason")), "resumed"
	if p.paused {
		what = "paused"
	}
	who := whose(r).Who
	err := p.pauses.set(r.Context(), name, p.paused, control.Change{By: who + " (console)", At: time.Now().UTC().Truncate(time.Second), Reason: cut(reason, 200)})
	p.audit.add(who, name, what, cut(reason, 200), err)
	if err != nil {
		p.fail(w, r, http.StatusBadGateway, name+" could not be "+what+": "+problem(err))
		return
	}
	http.Redirect(w, r, "/queues/"+url.PathEscape(name), http.StatusSeeOther)
}
