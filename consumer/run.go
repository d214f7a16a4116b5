package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// pollGrace is how long a receive may go on once the consumer stops. Ending it
// at once would leave what the provider has just granted hidden until its lease
// ends.
const pollGrace = time.Second

// Run receives and handles until ctx is done, drains, closes the sources and
// returns nil, or [ErrDrainTimeout] if it could not drain in time. It returns
// within [Config.DrainTimeout] and [Config.StopTimeout] together, whatever hangs.
// With [Config.UntilEmpty] it returns nil when the queue is drained. It returns
// the provider's error, drained as well, if a queue refuses requests at the
// start, or for [Config.GiveUpAfter]; the package comment has the rule. Any other
// outage is waited out. It blocks, and runs once.
func (c *Consumer) Run(ctx context.Context) error {
	if !c.started.CompareAndSwap(false, true) {
		return ErrRunTwice
	}
	// Handlers and requests outlive ctx: they are what is drained.
	c.base = detach(ctx)
	var endOps context.CancelFunc
	c.ops, endOps = context.WithCancel(c.base)
	c.polls, c.endPolls = context.WithCancel(c.base)
	defer c.endPolls()
	c.slept.Store(int64(c.asleep()))
	c.progressed(time.Now())

	c.mu.Lock()
	for _, l := range c.lanes {
		if ctx.Err() == nil { // otherwise there is nothing to receive for
			l.pollers = 1
			l.beginCaution(time.Now())
			go l.poll()
		}
	}
	c.mu.Unlock()

	var err error
	asked := false
	select {
	case <-ctx.Done():
		asked = true
	case err = <-c.failed:
	case <-c.aborted:
	}
	end, drainErr := c.drain(asked)
	if err == nil {
		select { // it was refused while draining
		case err = <-c.failed:
		default:
		}
	}
	endOps()
	return errors.Join(append([]error{err, drainErr}, c.close(end)...)...)
}

// Abort ends the grace period of a shutdown at once, and begins the shutdown
// where that has not happened: handlers are cancelled, and Run returns after at
// most [Config.StopTimeout]. It does not block.
func (c *Consumer) Abort() { c.abortOnce.Do(func() { close(c.aborted) }) }

// A shutdown has one budget, DrainTimeout and StopTimeout together, of which all
// its parts take their share:
//
//	began            by                     flushBy  end
//	  | handlers go on | they are cancelled,   | what is left is
//	  |                | verdicts are sent     | closed
//
// If the handlers are done early, or after an Abort, what follows begins then.

// drain stops receiving, has what is in hand handled as far as there is time,
// and gives the rest back. It returns when Run must return. A drain that was
// asked for is logged, once it has begun.
func (c *Consumer) drain(asked bool) (end time.Time, err error) {
	began := time.Now()
	by := began.Add(max(c.cfg.DrainTimeout, 0))
	c.beginDrain(began, by)
	if asked {
		c.log.Info("stopping: nothing more is received, and what is in hand is handled", "at_most", by.Sub(began))
	}
	grace := time.AfterFunc(min(pollGrace, by.Sub(began)), c.endPolls)
	defer grace.Stop()
	// Nothing is given back while a receive is on its way: that would bring it
	// here again, at the cost of an attempt.
	c.until(earlier(by, began.Add(2*pollGrace)), c.aborted, func() bool { return c.polling() == 0 })
	c.hurry(time.Now())
	c.until(by, c.aborted, func() bool { return c.running+c.unstarted() == 0 })
	c.endPolls()
	drained := c.endDrain(time.Now())
	end = time.Now().Add(c.cfg.StopTimeout)
	flushBy := end.Add(-c.closeTime())
	if !drained {
		c.cancelHandlers()
		c.until(flushBy, nil, func() bool { return c.running == 0 })
	}
	c.until(earlier(flushBy, time.Now().Add(2*pollGrace)), nil, func() bool { return c.polling() == 0 })
	settled := c.until(flushBy, nil, func() bool { return c.alive <= c.running })
	return end, c.report(drained && settled)
}

// closeTime is the part of StopTimeout that is kept for closing.
func (c *Consumer) closeTime() time.Duration { return min(c.cfg.StopTimeout/10, 500*time.Millisecond) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// until waits until done, which is called with c.mu held, or until the given
// time, or until early is closed. It reports whether done was reached.
func (c *Consumer) until(by time.Time, early <-chan struct{}, done func() bool) bool {
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	for {
		c.mu.Lock()
		ok := done()
		c.mu.Unlock()
		if ok {
			return true
		}
		for _, l := range c.lanes {
			l.flushSettled()
		}
		select {
		case <-c.poke:
		case <-early:
			return false
		case <-t.C:
			return false
		}
	}
}

// polling counts pollers. c.mu is held.
func (c *Consumer) polling() int {
	n := 0
	for _, l := range c.lanes {
		n += l.pollers
	}
	return n
}

// cancelHandlers ends the grace period.
func (c *Consumer) cancelHandlers() {
	for _, f := range c.flights() {
		f.mu.Lock()
		running := f.state == running
		f.stopped = running
		f.mu.Unlock()
		if running {
			f.ctx.cancel(handler.ErrStopped)
		}
	}
}

// report says what was left undone.
func (c *Consumer) report(drained bool) error {
	c.mu.Lock()
	running, alive := c.running, c.alive
	c.mu.Unlock()
	if drained {
		return nil
	}
	err := ErrDrainTimeout
	if running > 0 || alive > 0 {
		err = fmt.Errorf("%w: %d handlers still run, %d messages are not settled; they are delivered again when their leases end",
			ErrDrainTimeout, running, alive)
	}
	c.log.Error("stopped before everything was drained", "handlers_running", running, "unsettled", alive)
	return err
}

// close ends what is left and closes the sources, by the given time.
func (c *Consumer) close(end time.Time) []error {
	c.mu.Lock()
	c.closing = true
	c.work.Broadcast()
	c.mu.Unlock()
	waitBy := end.Add(-c.closeTime() / 2)
	// Handlers that never return keep their workers; nothing else is left.
	c.until(waitBy, nil, func() bool { return c.workers <= c.running })
	within(waitBy, c.heap.Close)
	ctx, cancel := context.WithDeadline(c.base, waitBy)
	defer cancel()
	for _, l := range c.lanes {
		for _, b := range l.batchers() {
			_ = b.Wait(ctx) // its requests' context has ended: they are over, or hang
			b.Stop()
		}
	}
	faults := c.closeSources(end)
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	return faults
}

// leastClose is the time that closing has if nothing is left of the budget.
const leastClose = 10 * time.Millisecond

// closeSources closes all sources. One that takes too long is left to itself.
func (c *Consumer) closeSources(end time.Time) []error {
	if least := time.Now().Add(leastClose); end.Before(least) {
		end = least
	}
	faults := make([]error, len(c.lanes))
	var closed sync.WaitGroup
	var mu sync.Mutex
	for i, l := range c.lanes {
		faults[i] = fmt.Errorf("close the source of %q: it has not returned: %w", l.caps.Queue, ErrDrainTimeout)
		closed.Go(func() {
			err := l.source.Close()
			if err != nil {
				err = fmt.Errorf("close the source: %w", err)
			}
			mu.Lock()
			defer mu.Unlock()
			faults[i] = err
		})
	}
	within(end, closed.Wait)
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(faults)
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
