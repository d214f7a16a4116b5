package console

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// A task is something that a viewer has started and that takes a while. Its methods may
// be called concurrently.
type task struct {
	// Title names it, and Past is what the audit log says of it.
	ID, Queue, Title, Past, Who string
	Begin                       time.Time
	cancel                      context.CancelFunc

	mu          sync.Mutex
	done, total int64
	note        string
	end         time.Time
	result      string
	err         error
}

// A progress is a task at one time.
type progress struct {
	*task
	// Done of Total letters are dealt with; Total may be drivers.Unknown.
	Done, Total int64
	Running     bool
	Took        time.Duration
	// Note is what it does while it runs. Result and Problem are how it ended.
	Note, Result, Problem string
}

// set records how far the task is.
func (t *task) set(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done, t.total = done, total
}

// say records what the task does.
func (t *task) say(note string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note = note
}

// finish records how the task ended.
func (t *task) finish(result string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end, t.result, t.err = time.Now(), result, err
	t.cancel()
}

// stop has the task end early.
func (t *task) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel()
}

// now returns the task's progress.
func (t *task) now() progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := progress{task: t, Done: t.done, Total: t.total, Running: t.end.IsZero(), Note: t.note, Result: t.result}
	end := t.end
	if p.Running {
		end = time.Now()
	}
	p.Took = end.Sub(t.Begin)
	if t.err != nil {
		p.Problem = problem(t.err)
	}
	if p.Total == drivers.Unknown || p.Total < p.Done {
		p.Total = drivers.Unknown
	}
	return p
}
