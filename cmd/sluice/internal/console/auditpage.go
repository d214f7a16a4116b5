package console

import "net/http"

// An auditPage is the page of the audit log.
type auditPage struct{ *Console }

func (p auditPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "audit", &view{Title: "Audit log", At: "audit", Refresh: p.c.Every, Data: p.audit.latest()})
}
