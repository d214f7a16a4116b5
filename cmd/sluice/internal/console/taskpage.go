package console

import (
	"net/http"
)

// A taskPage is the page of a task, with its progress.
type taskPage struct{ *Console }

func (p taskPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := p.tasks.get(r.PathValue("task"))
	if t == nil {
		p.fail(w, r, http.StatusNotFound, "There is no such task, or it was long ago.")
		return
	}
	if r.Method == http.MethodPost {
		if !p.mayWrite(w, r) {
			return
		}
		p.audit.add(whose(r).Who, t.Queue, "stopped a task", t.Title, nil)
		t.stop()
		http.Redirect(w, r, taskPath(t), http.StatusSeeOther)
		return
	}
	now := t.now()
	v := &view{Title: now.Title, At: "queues", Data: now}
	if now.Running {
		v.Refresh = lookRefresh
	}
	p.show(w, r, http.StatusOK, "task", v)
}

func taskPath(t *task) string { return "/tasks/" + t.ID }
