package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

const (
	// emptyWait is how long a receive waits while the end of the queue is
	// looked for.
	emptyWait = time.Second
	// depthTimeout bounds the question for a queue's depth.
	depthTimeout = 10 * time.Second
	// zeroDepths is how often in a row the queue must count no message, and
	// emptyReceives how many receives in a row must bring none where the queue
	// cannot be counted.
	zeroDepths    = 2
	emptyReceives = 3
	// A retry that has not come back so long after it was due is taken to be
	// elsewhere; nativeRetry is when one is due whose delay is the provider's
	// own (Pub/Sub: at most 600 s).
	retryGrace  = 30 * time.Second
	nativeRetry = 10 * time.Minute
)

// emptiness is how far a lane is on its way to be drained (Config.UntilEmpty).
type emptiness struct {
	mu      sync.Mutex
	asked   bool // the quick first look was taken
	zeros   int  // depths of zero in a row
	misses  int  // empty receives in a row
	drained bool
	blind   bool                 // asking for the depth failed
	retries map[string]time.Time // message IDs that are to come back, and when
}

// wait is how long the next receive waits: the first that might find the queue
// empty only looks.
func (e *emptiness) wait(idle bool) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if idle && !e.asked {
		e.asked = true
		return 0
	}
	return emptyWait
}

// reset notes that messages came.
func (e *emptiness) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked, e.zeros, e.misses, e.drained = false, 0, 0, false
}

// noteRetry remembers a message that will come back.
func (l *lane) noteRetry(f *flight, now time.Time) {
	if !l.c.cfg.UntilEmpty || f.verdict.action != handler.ActionRetry {
		return
	}
	if _, most := l.policy(); most > 0 && f.msg.Attempt >= most && !f.verdict.released {
		return // the provider dead-letters it
	}
	due := now.Add(max(nativeRetry, l.caps.Lease))
	if f.verdict.delayed {
		due = now.Add(f.verdict.delay)
	}
	e := &l.empty
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.retries == nil {
		e.retries = make(map[string]time.Time)
	}
	e.retries[f.msg.ID] = due.Add(retryGrace)
}

// noteBack forgets those that have come.
func (l *lane) noteBack(fs []*flight) {
	if !l.c.cfg.UntilEmpty {
		return
	}
	e := &l.empty
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range fs {
		delete(e.retries, f.msg.ID)
	}
}

// checkEmpty looks whether the queue is drained, after a receive that brought
// nothing, and ends Run if all queues are. It reports whether it did.
func (c *Consumer) checkEmpty(l *lane) bool {
	e := &l.empty
	if !c.idleNow() {
		e.reset()
		return false
	}
	depth, known := l.depth()
	e.mu.Lock()
	e.misses++
	if known {
		e.zeros++
		if depth > 0 {
			e.zeros = 0
		}
		e.drained = e.zeros >= zeroDepths
	} else {
		now := time.Now()
		for id, overdue := range e.retries {
			if now.After(overdue) {
				delete(e.retries, id)
			}
		}
		e.drained = e.misses >= emptyReceives && len(e.retries) == 0
	}
	e.mu.Unlock()
	for _, l := range c.lanes {
		l.empty.mu.Lock()
		drained := l.empty.drained
		l.empty.mu.Unlock()
		if !drained {
			return false
		}
	}
	if !c.idleNow() {
		return false
	}
	c.fail(nil)
	return true
}

// depth counts every message of the queue, as far as the source can.
func (l *lane) depth() (n int64, known bool) {
	if l.inspector == nil {
		return 0, false
	}
	ctx, cancel := l.question()
	defer cancel()
	d, err := l.inspector.Depth(ctx)
	e := &l.empty
	e.mu.Lock()
	first := err != nil && !e.blind && ctx.Err() == nil
	e.blind = err != nil && (e.blind || first)
	e.mu.Unlock()
	if first {
		l.c.log.Warn("the queue's depth cannot be read: it is taken to be empty when receives bring nothing",
			"queue", l.caps.Queue, "error", err)
	}
	if err != nil {
		return 0, false
	}
	for _, v := range []int64{d.Visible, d.InFlight, d.Delayed} {
		if v == drivers.Unknown {
			return 0, false
		}
		n += v
	}
	return n, true
}

// question returns the context of a question about the queue.
func (l *lane) question() (context.Context, context.CancelFunc) {
	return context.WithTimeout(l.c.polls, depthTimeout)
}
