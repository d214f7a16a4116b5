package console

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// maxTasks bounds the memory of tasks. Those that ended first are forgotten first.
const maxTasks = 100

// tasks has what viewers have started. Its methods may be called concurrently.
type tasks struct {
	work  *work
	audit *audit

	mu   sync.Mutex
	list []*task // the oldest first
}

// start starts t and returns it. If a task runs on the queue already it returns that
// and false: two would bring each other's letters back.
func (ts *tasks) start(t *task, extent string, do func(ctx context.Context, t *task) (string, error)) (*task, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, other := range ts.list {
		if other.Queue == t.Queue && other.now().Running {
			return other, false
		}
	}
	t.ID, t.Begin, t.total = rand.Text()[:12], time.Now(), drivers.Unknown
	if len(ts.list) >= maxTasks {
		i := max(slices.IndexFunc(ts.list, func(t *task) bool { return !t.now().Running }), 0)
		ts.list = slices.Delete(ts.list, i, i+1)
	}
	ts.list = append(ts.list, t)
	ready := make(chan context.Context, 1)
	ts.audit.add(t.Who, t.Queue, t.Past, "begins: "+extent, nil)
	ts.work.Go(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		t.mu.Lock()
		t.cancel = cancel
		t.mu.Unlock()
		ready <- ctx
		result, err := do(ctx, t)
		t.finish(result, err)
		if err != nil && result != "" {
			ts.audit.add(t.Who, t.Queue, t.Past, result, nil)
		}
		ts.audit.add(t.Who, t.Queue, t.Past, result, err)
	})
	<-ready
	return t, true
}

// get returns a task, or nil.
func (ts *tasks) get(id string) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.list {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// running returns the tasks that run, the newest first.
func (ts *tasks) running() []progress {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var out []progress
	for _, t := range ts.list {
		if p := t.now(); p.Running {
			out = append(out, p)
		}
	}
	slices.Reverse(out)
	return out
}
