package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// pollGrace is how long a receive may go on once the consumer stops. Ending it
// at once would leave what the provider has just granted hidden until its lease
// ends.
const pollGrace = time.Second

// Run receives and handles until ctx is done, drains, closes the sources and
// returns nil, or [ErrDrainTimeout] where it could not drain in time. With
// [Config.UntilEmpty] it returns nil when the queue is drained. It returns the
// provider's error, drained as well, where a queue does not exist or is
// forbidden: at start-up, or when it refuses to settle. Any other outage is
// waited out. It blocks, and runs once.
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
		l.pollers = 1
		go l.poll()
	}
	c.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-c.failed:
	case <-c.aborted:
	}
	drainErr := c.drain()
	if err == nil {
		select { // it was refused while draining
		case err = <-c.failed:
		default:
		}
	}
	endOps()
	return errors.Join(append([]error{err, drainErr}, c.close()...)...)
}

// Abort ends the grace period of a shutdown at once, and begins the shutdown
// where that has not happened: handlers are cancelled, and Run returns after at
// most [Config.StopTimeout]. It does not block.
func (c *Consumer) Abort() { c.abortOnce.Do(func() { close(c.aborted) }) }

// drain stops receiving, has what is in hand handled as far as there is time,
// and gives the rest back.
func (c *Consumer) drain() error {
	began, budget := time.Now(), max(c.cfg.DrainTimeout, 0)
	c.beginDrain(began, began.Add(budget))
	grace := time.AfterFunc(min(pollGrace, budget), c.endPolls)
	defer grace.Stop()
	// Nothing is given back while a receive is on its way: that would bring it
	// here again, at the cost of an attempt.
	c.until(2*pollGrace, c.aborted, func() bool { return c.polling() == 0 })
	c.hurry(time.Now())
	c.until(budget-time.Since(began), c.aborted, func() bool { return c.running+c.unstarted() == 0 })
	c.endPolls()
	drained := c.endDrain(time.Now())
	if !drained {
		c.cancelHandlers()
		c.until(c.cfg.StopTimeout, nil, func() bool { return c.running == 0 })
	}
	c.until(2*pollGrace, nil, func() bool { return c.polling() == 0 })
	settled := c.until(c.cfg.StopTimeout, nil, func() bool { return c.alive <= c.running })
	return c.report(drained && settled)
}

// until waits until done, which is called with c.mu held, or for at most d, or
// until early is closed. It reports whether done was reached.
func (c *Consumer) until(d time.Duration, early <-chan struct{}, done func() bool) bool {
	t := time.NewTimer(d)
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

// close ends what is left and closes the sources.
func (c *Consumer) close() []error {
	c.mu.Lock()
	c.closing = true
	c.work.Broadcast()
	c.mu.Unlock()
	// Handlers that never return keep their workers; nothing else is left.
	c.until(c.cfg.StopTimeout, nil, func() bool { return c.workers <= c.running })
	c.heap.Close()
	ctx, cancel := context.WithTimeout(c.base, c.cfg.StopTimeout)
	defer cancel()
	var faults []error
	for _, l := range c.lanes {
		for _, b := range l.batchers() {
			_ = b.Wait(ctx) // its requests' context has ended: they are over, or hang
			b.Stop()
		}
		if err := l.source.Close(); err != nil {
			faults = append(faults, fmt.Errorf("close the source: %w", err))
		}
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	return faults
}
