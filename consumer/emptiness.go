package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

const (
	// emptyWait is how long a receive waits while the end of the queue is looked for.
	emptyWait = time.Second
	// depthTimeout bounds the request for a queue's depth.
	depthTimeout = 10 * time.Second
	// zeroDepths is how often in a row the queue must count no message, and
	// emptyReceives how many receives in a row must bring none if the queue can't be
	// counted.
	zeroDepths    = 2
	emptyReceives = 3
	// A retry that has not come back retryGrace after it was due is taken to be
	// elsewhere; nativeRetry is when one is due whose delay is the provider's own
	// (Pub/Sub: at most 600 s).
	retryGrace  = 30 * time.Second
	nativeRetry = 10 * time.Minute
)

// emptiness decides whether a source is drained (Config.UntilEmpty).
type emptiness struct {
	source *source

	mu      sync.Mutex
	resets  int  // how often messages came
	looked  bool // the quick first look was taken
	zeros   int  // depths of zero in a row
	misses  int  // empty receives in a row
	drained bool
	blind   bool                 // the request for the depth failed
	retries map[string]time.Time // message IDs that are to come back, and when
}

// wait returns how long the next receive waits: the first that might find the queue
// empty only looks.
func (e *emptiness) wait(idle bool) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if idle && !e.looked {
		e.looked = true
		return 0
	}
	return emptyWait
}

// reset notes that messages came.
func (e *emptiness) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resets++
	e.looked, e.zeros, e.misses, e.drained = false, 0, 0, false
}

// noteRetry records a message that will be redelivered.
func (e *emptiness) noteRetry(d *delivery, now time.Time) {
	if !e.source.c.cfg.UntilEmpty || d.verdict.action != handler.ActionRetry {
		return
	}
	if _, most := e.source.policy(); most > 0 && d.msg.Attempt >= most && !d.verdict.released {
		return // the provider dead-letters it
	}
	due := now.Add(max(nativeRetry, e.source.caps.Lease))
	if d.verdict.delayed {
		due = now.Add(d.verdict.delay)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.retries == nil {
		e.retries = make(map[string]time.Time)
	}
	e.retries[d.msg.ID] = due.Add(retryGrace)
}

// noteReceived forgets messages that were redelivered.
func (e *emptiness) noteReceived(ds []*delivery) {
	if !e.source.c.cfg.UntilEmpty {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range ds {
		delete(e.retries, d.msg.ID)
	}
}

// check looks, after a receive that brought nothing, whether the source is drained,
// and ends Run if all sources are. It reports whether it did.
func (e *emptiness) check() bool {
	c := e.source.c
	e.mu.Lock()
	resets := e.resets
	e.mu.Unlock()
	if !c.hand.empty() {
		e.reset()
		return false
	}
	depth, known := e.depth()
	e.mu.Lock()
	if e.resets != resets { // another poller received messages, which the depth may lack
		e.mu.Unlock()
		return false
	}
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
	for _, s := range c.sources {
		if !s.emptiness.reached() {
			return false
		}
	}
	if !c.hand.empty() {
		return false
	}
	c.abortRun(nil)
	return true
}

// reached reports whether the source was drained when it was looked at last.
func (e *emptiness) reached() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.drained
}

// depth counts every message of the queue, as far as the source can.
func (e *emptiness) depth() (n int64, known bool) {
	s := e.source
	if s.inspector == nil {
		return 0, false
	}
	ctx, cancel := s.inspection()
	defer cancel()
	d, err := s.inspector.Depth(ctx)
	e.mu.Lock()
	first := err != nil && !e.blind && ctx.Err() == nil
	e.blind = err != nil && (e.blind || first)
	e.mu.Unlock()
	if first {
		s.c.log.Warn("the queue's depth cannot be read: the queue counts as empty when receives return nothing",
			"queue", s.caps.Queue, "error", err)
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
