package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-go/sluice/admin"
)

// concurrentCounts bounds the queues that are counted at the same time.
const concurrentCounts = 8

// A Console has the pages and what they are made from. Its methods may be called
// concurrently, Run once.
type Console struct {
	c       Config
	queues  []*watched
	byName  map[string]*watched
	doctor  *examination
	pauses  *pauses
	delays  *delays
	pages   *pages
	guard   *guard
	work    *work
	audit   *audit
	tasks   *tasks
	handler http.Handler
}

// New returns a console that knows nothing yet: Run lets it look.
func New(c *Config) (*Console, error) {
	full, err := c.complete()
	if err != nil {
		return nil, err
	}
	out := &Console{c: full, byName: make(map[string]*watched), doctor: &examination{fleet: &admin.Fleet{Mux: full.Mux}},
		pauses: &pauses{controls: full.Controls}, delays: &delays{table: full.Outbox, schedules: full.Schedules}, work: new(work), audit: &audit{log: full.Logger}}
	out.tasks = &tasks{work: out.work, audit: out.audit}
	for i := range full.Queues {
		q := full.Queues[i]
		t := admin.Target{Name: q.Name, URL: q.URL()}
		if q.Configured {
			t.Spec = &q.Spec
		}
		if full.Handlers != nil {
			t.Handlers = full.Handlers(&q)
		}
		w := &watched{queue: q, target: t, c: &out.c, look: look{redact: full.RedactBodies, compile: full.Compile}}
		out.queues = append(out.queues, w)
		out.byName[q.Name] = w
		out.doctor.fleet.Targets = append(out.doctor.fleet.Targets, t)
	}
	if out.pages, err = newPages(); err != nil {
		return nil, err
	}
	out.guard = newGuard(&out.c)
	out.handler = out.guard.protect(out.routes())
	return out, nil
}

// ServeHTTP serves the pages.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Run counts and examines the queues until ctx is done, and closes them then. Tasks
// of viewers end with ctx, too.
func (c *Console) Run(ctx context.Context) error {
	c.work.open(ctx)
	var background sync.WaitGroup
	background.Go(func() { repeat(ctx, examineEvery, c.doctor.run) })
	repeat(ctx, c.c.Every, c.count)
	background.Wait()
	c.work.wait()
	var faults []error
	for _, w := range c.queues {
		faults = append(faults, w.close())
	}
	return errors.Join(faults...)
}

// count counts all queues once, and reads the outbox.
func (c *Console) count(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(concurrentCounts)
	g.Go(func() error {
		c.delays.read(ctx)
		return nil
	})
	for _, w := range c.queues {
		g.Go(func() error {
			w.count(ctx)
			return nil
		})
	}
	c.pauses.read(ctx)
	_ = g.Wait() // it has no error
}

// repeat calls do immediately and then with a pause between the beginnings, until ctx is
// done.
func repeat(ctx context.Context, every time.Duration, do func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// routes has the pages.
func (c *Console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", overview{c})
	mux.Handle("GET /queues/{queue}", queuePage{c})
	mux.Handle("GET /queues/{queue}/letters", lettersPage{c})
	mux.Handle("POST /queues/{queue}/letters", lettersPage{c})
	mux.Handle("GET /queues/{queue}/letters/{letter}", letterPage{c})
	for _, a := range actions() {
		mux.Handle("GET /queues/{queue}/"+a.Name, actionPage{c, a})
		mux.Handle("POST /queues/{queue}/"+a.Name, actionPage{c, a})
	}
	mux.Handle("GET /queues/{queue}/letters/{letter}/edit", editPage{c})
	mux.Handle("POST /queues/{queue}/letters/{letter}/edit", editPage{c})
	mux.Handle("POST /queues/{queue}/pause", pausePage{c, true})
	mux.Handle("POST /queues/{queue}/resume", pausePage{c, false})
	mux.Handle("GET /tasks/{task}", taskPage{c})
	mux.Handle("POST /tasks/{task}", taskPage{c})
	mux.Handle("GET /schedules", schedulesPage{c})
	mux.Handle("GET /audit", auditPage{c})
	mux.Handle("GET /doctor", doctorPage{c})
	mux.Handle("POST /doctor", doctorPage{c})
	mux.Handle("GET "+loginPath, login{c})
	mux.Handle("POST "+loginPath, login{c})
	mux.HandleFunc("POST "+logoutPath, func(w http.ResponseWriter, r *http.Request) {
		c.guard.sessions.logOut(whose(r).session)
		http.Redirect(w, r, loginPath, http.StatusSeeOther)
	})
	mux.Handle("GET "+staticPath, static())
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, http.StatusNotFound, "There is no such page.")
	})
	return mux
}

// find returns the queue that the path of a request names. If there is none it answers
// and returns nil.
func (c *Console) find(w http.ResponseWriter, r *http.Request) *watched {
	q := c.byName[r.PathValue("queue")]
	if q == nil {
		c.fail(w, r, http.StatusNotFound, "The configuration has no queue "+strconv.Quote(printable(r.PathValue("queue")))+".")
	}
	return q
}

// letter returns the letter that the path of a request names, and the look that has brought
// it. If there is none it answers and returns nil.
func (c *Console) letter(w http.ResponseWriter, r *http.Request, q *watched) (*seen, *snapshot) {
	if snap, _, _ := q.look.state(); snap != nil {
		if one := snap.letter(r.PathValue("letter")); one != nil {
			return one, snap
		}
	}
	c.fail(w, r, http.StatusNotFound, "The letter is not in the latest look at the dead letters of "+q.queue.Name+". Look again.")
	return nil, nil
}

// do starts a task on a queue, and leads to its progress. title names the task, past is what
// the audit log says of it, and extent how much it takes.
func (c *Console) do(w http.ResponseWriter, r *http.Request, q *watched, title, past, extent string, do func(context.Context, *task) (string, error)) {
	t, fresh := c.tasks.start(&task{Queue: q.queue.Name, Title: title, Past: past, Who: whose(r).Who}, extent, do)
	if !fresh {
		c.fail(w, r, http.StatusConflict, "Something runs on "+t.Queue+" already: "+strings.ToLower(t.Title)+", started by "+t.Who+". Try again when it has ended.")
		return
	}
	http.Redirect(w, r, taskPath(t), http.StatusSeeOther)
}

// mayWrite reports whether viewers may change queues. If not, it answers.
func (c *Console) mayWrite(w http.ResponseWriter, r *http.Request) bool {
	if !c.c.Write {
		c.c.Logger.Warn("a change was refused: the console is read-only", "path", r.URL.Path, "who", whose(r).Who)
		c.fail(w, r, http.StatusForbidden, "This console is read-only. Start it with --write to change queues.")
	}
	return c.c.Write
}

// show answers with a page.
func (c *Console) show(w http.ResponseWriter, r *http.Request, status int, page string, v *view) {
	v.Viewer, v.Every = whose(r), c.c.Every
	v.Delays = c.delays.table != nil
	v.CanLogOut = c.c.Token != "" && v.Viewer.In
	body, err := c.pages.render(page, v)
	if err != nil {
		c.c.Logger.Error("a page cannot be made", "page", page, "error", err)
		http.Error(w, "internal error: the console's log says more", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the viewer may have gone
}

// fail answers with a page that says why there is no other.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	c.show(w, r, status, "error", &view{Title: http.StatusText(status), Data: text})
}

// worded gives findings the commands that mend them.
func (c *Console) worded(found []admin.Finding) []finding {
	out := make([]finding, len(found))
	for i := range found {
		out[i] = finding{Finding: found[i]}
		if c.c.Command != nil {
			out[i].Command, out[i].Note = c.c.Command(&found[i])
		}
	}
	return out
}
