package handlertest

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errEnded = errors.New("the handler ended its goroutine (runtime.Goexit)")

// Drain delivers messages until none is left, retries included, and returns the
// records of the deliveries that it made, in the order in which they ended. It
// waits for messages that are not due yet: with a [Clock] it moves the clock to
// the next of them once no handler runs, otherwise it waits by the time package,
// which takes no time in a testing/synctest bubble.
//
// It ends early, with the context's cause, when ctx is done; a handler that runs
// then is waited for. The handlers' contexts end with ctx too.
func (q *Queue) Drain(ctx context.Context) ([]*Delivery, error) {
	q.mu.Lock()
	from := len(q.deliveries)
	q.mu.Unlock()

	var err error
	if q.config.Concurrency == 1 {
		err = q.work(ctx)
	} else {
		errs := make([]error, q.config.Concurrency)
		var workers sync.WaitGroup
		for i := range errs {
			workers.Go(func() { errs[i] = q.work(ctx) })
		}
		workers.Wait()
		err = errs[0]
	}
	return q.Deliveries()[from:], err
}

// work delivers until the queue is empty and nothing is in flight.
func (q *Queue) work(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		changed := q.watch()
		d, reopened := q.deliver(ctx)
		if d != nil {
			continue
		}
		wait, empty := q.idle()
		if empty {
			return nil
		}
		if reopened == nil && wait == 0 {
			continue // the clock was moved, or something fell due meanwhile
		}
		if err := pause(ctx, changed, reopened, wait); err != nil {
			return err
		}
	}
}

// watch returns a channel that is closed at the next change.
func (q *Queue) watch() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// forever is the wait for what only a change of the queue can bring.
const forever time.Duration = 1<<63 - 1

// idle says that nothing is left to do, or how long it is until the next message
// is due. With a clock of its own it moves that instead, unless a handler runs:
// what that one needs of the time is the test's to give.
func (q *Queue) idle() (wait time.Duration, empty bool) {
	q.mu.Lock()
	running := q.inFlight > 0
	none := len(q.waiting) == 0
	var next time.Time
	if !none {
		next = q.waiting[0].due
	}
	q.mu.Unlock()

	wait = next.Sub(q.time.now())
	switch {
	case none:
		return forever, !running
	case wait <= 0:
		return 0, false
	case q.config.Clock == nil:
		return wait, false
	case running:
		return forever, false
	default:
		q.config.Clock.advanceTo(next)
		return 0, false
	}
}

// pause waits for a change or, where a gate is closed, for that gate; the time
// counts only where no gate is in the way.
func pause(ctx context.Context, changed, reopened <-chan struct{}, wait time.Duration) error {
	var due <-chan time.Time
	if reopened == nil && wait != forever {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-changed:
	case <-reopened:
	case <-due:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
