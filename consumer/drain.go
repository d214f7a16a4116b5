package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// pollGrace is how long a receive may go on once the consumer stops. To end it
	// immediately would hide the messages that the provider has just granted until their
	// leases end.
	pollGrace = time.Second
	// leastClose is how long closing may take if the budget is used up.
	leastClose = 10 * time.Millisecond
)

// A drain ends a consumer. It handles the held messages as far as time allows, because
// releasing a message costs an attempt on most providers. It releases messages that
// would not be handled in time, judging by how long handlers take, and at the end all
// messages whose handler has not started.
//
// A shutdown has one budget, DrainTimeout and StopTimeout together, of which its parts
// take their share:
//
//	began            by                     flushBy  end
//	  | handlers go on | they are canceled,   | what is left is
//	  |                | verdicts are sent     | closed
//
// If the handlers are done early, or after an Abort, the next part begins then.
type drain struct {
	c       *Consumer
	stop    chan struct{} // closed when stopping begins
	changes chan struct{} // something that wait waits for has changed; has room for one

	// The fields below are guarded by Consumer.mu.
	cut bool // an Abort found handlers running

	// These are set in this order.
	stopping bool        // nothing more is received
	by       time.Time   // when handlers that have not started are given back
	hurried  bool        // late messages are given back when they are found
	late     []*delivery // found before that
	closing  bool        // idle workers end
	ended    bool
}

func newDrain(c *Consumer) drain {
	return drain{c: c, stop: make(chan struct{}), changes: make(chan struct{}, 1)}
}

// begun reports whether the consumer stops.
func (r *drain) begun() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// sleep waits for d. It reports false if the consumer stops before that.
func (r *drain) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.stop:
		return false
	}
}

// signal wakes wait. Consumer.mu is held.
func (r *drain) signal() {
	if !r.stopping {
		return
	}
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

// inTime reports whether a handler of s that starts at the given time is likely to
// return within the drain. Consumer.mu is held.
func (r *drain) inTime(s *source, at time.Time) bool {
	return !at.Add(s.times.likely()).After(r.by)
}

// handled takes in how long the handler of a message of a group took, before the verdict
// is carried out: by that the next message of the group has its turn, which may come
// before the worker goes on. Consumer.mu is not held.
func (r *drain) handled(d *delivery, took time.Duration) {
	if d.group == nil || d.alone || !r.begun() {
		return
	}
	r.c.mu.Lock()
	d.source.times.atLeast(took)
	r.c.mu.Unlock()
}

// run stops receiving, waits while held messages are handled as far as time allows, and
// releases the rest. It returns when Run must return. A drain that was asked for is
// logged once it has begun, unless QuietStop is set.
func (r *drain) run(asked bool) (end time.Time, err error) {
	c := r.c
	began := time.Now()
	by := began.Add(max(c.cfg.DrainTimeout, 0))
	r.begin(began, by)
	if asked && !c.cfg.QuietStop {
		c.log.Info("stopping: nothing more is received, and held messages are handled", "at_most", by.Sub(began))
	}
	grace := time.AfterFunc(min(pollGrace, by.Sub(began)), c.endPolls)
	defer grace.Stop()
	// No message is released while a receive is pending, which would receive it
	// again, at the cost of an attempt.
	r.wait(earlier(by, began.Add(2*pollGrace)), c.aborted, func() bool { return r.polling() == 0 })
	r.nackLate(time.Now())
	r.wait(by, c.aborted, func() bool { return c.hand.running+c.hand.unstarted() == 0 })
	c.endPolls()
	drained := r.nackUnstarted(time.Now())
	end = time.Now().Add(c.cfg.StopTimeout)
	flushBy := end.Add(-r.closeTime())
	if !drained {
		for _, d := range c.hand.list() {
			d.cancelForStop()
		}
		r.wait(flushBy, nil, func() bool { return c.hand.running == 0 })
	}
	r.wait(earlier(flushBy, time.Now().Add(2*pollGrace)), nil, func() bool { return r.polling() == 0 })
	settled := r.wait(flushBy, nil, func() bool { return c.hand.alive <= c.hand.running })
	return end, r.report(drained && settled)
}

// closeTime is the part of StopTimeout that is reserved for closing.
func (r *drain) closeTime() time.Duration { return min(r.c.cfg.StopTimeout/10, 500*time.Millisecond) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// begin stops receiving. The held messages must be handled by the given time.
func (r *drain) begin(now, by time.Time) {
	c := r.c
	for _, d := range c.hand.list() {
		age := d.age(now) // running handlers already show how long handlers take
		c.mu.Lock()
		d.source.times.atLeast(age)
		c.mu.Unlock()
	}
	c.mu.Lock()
	r.stopping, r.by = true, by
	c.workers.wake() // messages that wait for a suspect to end run now
	c.mu.Unlock()
	close(r.stop)
}

// nackLate releases messages that cannot be handled within the drain. From then on such
// messages are released when they are found. Consumer.mu is not held.
func (r *drain) nackLate(now time.Time) {
	c := r.c
	c.mu.Lock()
	r.hurried = true
	back := r.late
	r.late = nil
	for _, s := range c.sources {
		back = append(back, s.groups.takeLate()...)
	}
	c.mu.Unlock()
	c.nack(back)
	for _, d := range c.hand.list() {
		c.parking.nackLate(d, now)
	}
	for _, s := range c.sources {
		s.settler.retries.Flush()
	}
}

// nackUnstarted releases all messages whose handler has not started. It reports
// whether no handler runs or was cut short. Consumer.mu is not held.
func (r *drain) nackUnstarted(now time.Time) bool {
	c := r.c
	c.mu.Lock()
	r.by = time.Time{} // nothing is in time any more
	drained := c.hand.running == 0 && !r.cut
	back := c.hand.ready.takeAll()
	for _, d := range back {
		c.slots.release(d.source, 1)
	}
	back = append(back, c.isolation.takeAll()...)
	for _, s := range c.sources {
		back = append(back, s.groups.takeAllWaiting()...)
	}
	r.late = append(r.late, back...)
	c.mu.Unlock()
	r.nackLate(now)
	return drained
}

// wait waits until done, which is called with Consumer.mu held, returns true, or until
// the given time, or until early is closed. It reports whether done returned true.
// Consumer.mu is not held.
func (r *drain) wait(by time.Time, early <-chan struct{}, done func() bool) bool {
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	for {
		r.c.mu.Lock()
		ok := done()
		r.c.mu.Unlock()
		if ok {
			return true
		}
		for _, s := range r.c.sources {
			s.settler.flush()
		}
		select {
		case <-r.changes:
		case <-early:
			return false
		case <-t.C:
			return false
		}
	}
}

// polling returns the number of pollers. Consumer.mu is held.
func (r *drain) polling() int {
	n := 0
	for _, s := range r.c.sources {
		n += s.pollers
	}
	return n
}

// report logs and returns an error for messages that were not settled.
func (r *drain) report(drained bool) error {
	c := r.c
	c.mu.Lock()
	running, alive := c.hand.running, c.hand.alive
	c.mu.Unlock()
	if drained {
		return nil
	}
	err := ErrDrainTimeout
	if running > 0 || alive > 0 {
		err = fmt.Errorf("%w: %d handlers are still running and %d messages are not settled; they are redelivered when their leases end",
			ErrDrainTimeout, running, alive)
	}
	c.log.Error("stopped before everything was drained", "handlers_running", running, "unsettled", alive)
	return err
}

// close ends the workers, the timers and the batches, and closes the sources, by the
// given time. Consumer.mu is not held.
func (r *drain) close(end time.Time) error {
	c := r.c
	c.mu.Lock()
	r.closing = true
	c.workers.work.Broadcast()
	c.mu.Unlock()
	waitBy := end.Add(-r.closeTime() / 2)
	// Handlers that never return keep their workers; nothing else is left.
	r.wait(waitBy, nil, func() bool { return c.workers.number <= c.hand.running })
	within(waitBy, c.heap.Close)
	within(waitBy, c.shuts.Close)
	ctx, cancel := context.WithDeadline(c.base, waitBy)
	defer cancel()
	for _, s := range c.sources {
		s.stopBatches(ctx)
	}
	err := r.closeSources(end)
	c.mu.Lock()
	r.ended = true
	c.mu.Unlock()
	return err
}

// closeSources closes all sources. It does not wait for one that takes too long.
func (r *drain) closeSources(end time.Time) error {
	if least := time.Now().Add(leastClose); end.Before(least) {
		end = least
	}
	faults := make([]error, len(r.c.sources))
	var closed sync.WaitGroup
	var mu sync.Mutex
	for i, s := range r.c.sources {
		faults[i] = fmt.Errorf("close the source of queue %q: Close has not returned: %w", s.caps.Queue, ErrDrainTimeout)
		closed.Go(func() {
			err := s.close()
			mu.Lock()
			defer mu.Unlock()
			faults[i] = err
		})
	}
	within(end, closed.Wait)
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(slices.Clone(faults)...)
}

// within calls f and waits until it returns, or until the given time.
func within(by time.Time, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
