package console

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/internal/lookonly"
)

const (
	// examineEvery is the pause between examinations of all queues. They ask more of a
	// provider than counts do, and change less.
	examineEvery = 5 * time.Minute
	// examineAgain is the least time between two examinations that viewers ask for.
	examineAgain = 5 * time.Second
)

// An examination is what doctor finds, of all queues. Its methods may be called
// concurrently.
type examination struct {
	fleet *admin.Fleet

	running sync.Mutex // one examines at a time
	mu      sync.Mutex
	report  report
}

// A report is the result of an examination.
type report struct {
	// At is when it ended; zero before the first.
	At       time.Time
	begun    time.Time
	Findings []admin.Finding
	// Err has the failure of each queue that could not be examined.
	Err error
}

// run examines all queues, unless that was done just now.
func (e *examination) run(ctx context.Context) { e.runFor(ctx, time.Now()) }

// runFor examines all queues for a viewer who has asked for it at a time, unless that was
// done just before, or was begun since. An examination that was under way then does not do:
// what the viewer has mended may still be among its findings.
func (e *examination) runFor(ctx context.Context, asked time.Time) {
	e.running.Lock()
	defer e.running.Unlock()
	last := e.latest()
	justDone := !last.At.IsZero() && !last.At.After(asked) && asked.Sub(last.At) < examineAgain
	if justDone || last.begun.After(asked) {
		return
	}
	begun := time.Now()
	found, err := e.fleet.Examine(lookonly.Context(ctx))
	if ctx.Err() != nil {
		return // what was found is not all
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report = report{At: time.Now(), begun: begun, Findings: found, Err: err}
}

func (e *examination) latest() report {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.report
}

// of returns the findings of one queue.
func (r *report) of(queue string) []admin.Finding {
	var out []admin.Finding
	for _, f := range r.Findings {
		if f.Queue == queue {
			out = append(out, f)
		}
	}
	return out
}
