package console

import (
	"net/http"
	"time"
)

// A schedulesPage is the page of all schedules. A console without a delay_store has none.
type schedulesPage struct{ *Console }

func (p schedulesPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := p.delays.of("", p.byName, time.Now())
	if d == nil {
		p.fail(w, r, http.StatusNotFound, "The configuration has no delay_store, which schedules need.")
		return
	}
	p.show(w, r, http.StatusOK, "schedules", &view{Title: "Schedules", At: "schedules", Refresh: p.c.Every, Data: d})
}
