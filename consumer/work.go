package consumer

import (
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// maxIdle bounds the workers that wait for work: making one costs less than
// keeping thousands.
const maxIdle = 256

// wake sees to it that someone takes what is ready. One worker at a time is
// woken: it wakes the next if there is more. c.mu is held.
func (c *Consumer) wake() {
	if c.waking || !c.runnable() {
		return
	}
	if c.idle > 0 {
		c.waking = true
		c.work.Signal()
		return
	}
	if c.workers < c.cfg.Concurrency {
		c.waking = true
		c.workers++
		go c.worker(true)
	}
}

// worker runs handlers until it is not needed any more.
func (c *Consumer) worker(woken bool) {
	var f *flight
	defer func() {
		if f == nil {
			return
		}
		// The handler called runtime.Goexit: this goroutine is lost, the
		// message is not.
		o := c.handled(f, invoke.ErrGoexit)
		c.mu.Lock()
		c.workers--
		back := c.leave(f, o)
		c.wake()
		c.mu.Unlock()
		c.release(back)
	}()
	var o outcome
	for {
		var waited bool
		if f, waited = c.next(f, o, woken); f == nil {
			return
		}
		woken = false
		began := o.ended
		if waited || began.IsZero() {
			began = time.Now() // otherwise one handler begins where the last one ended
			c.progressed(began)
		}
		o = c.run(f, began)
	}
}

// next ends the worker's work on one flight and returns another, and whether it
// had to wait for it; nil is the end of the worker.
func (c *Consumer) next(last *flight, o outcome, woken bool) (f *flight, waited bool) {
	c.mu.Lock()
	if woken {
		c.waking = false
	}
	if last != nil {
		if back := c.leave(last, o); back != nil {
			c.mu.Unlock()
			c.release(back)
			c.mu.Lock()
			waited = true
		}
	}
	for {
		if c.runnable() {
			f = c.take()
			if c.stopping && !c.inTime(f.lane, time.Now()) {
				c.giveUp(f)
				waited = true
				continue
			}
			c.running++
			c.wake()
			c.mu.Unlock()
			return f, waited
		}
		waited = true
		if c.running == 0 && !c.expecting() {
			// Nothing will come to share a request with what waits.
			c.mu.Unlock()
			for _, l := range c.lanes {
				l.flushSettled()
			}
			c.mu.Lock()
			if c.runnable() {
				continue
			}
		}
		if c.closing || c.idle >= maxIdle {
			c.workers--
			c.changed()
			c.mu.Unlock()
			return nil, false
		}
		c.idle++
		c.work.Wait()
		c.idle--
		c.waking = false
	}
}

// giveUp gives a ready flight back that is not in time, and with it what waits in
// its group. c.mu is held, but not meanwhile.
func (c *Consumer) giveUp(f *flight) {
	c.give(f.lane, 1)
	if f.alone {
		c.leftAlone(f, time.Now())
	}
	back := append([]*flight{f}, c.groupDone(f, groupFails, 0)...)
	c.changed()
	if !c.hurried {
		c.unfit = append(c.unfit, back...)
		return
	}
	c.mu.Unlock()
	c.release(back)
	c.mu.Lock()
}

// expecting says whether more messages are likely to come at once. c.mu is held.
func (c *Consumer) expecting() bool {
	for _, l := range c.lanes {
		if l.busy {
			return true
		}
	}
	return false
}

// outcome is what a handled flight means for the others.
type outcome struct {
	ended time.Time // when the handler returned; zero where none was called
	took  time.Duration
	gone  bool // nothing is left to be done
	park  bool // it is parked
	// postponed is true if no one has worked on it, so that took tells nothing.
	postponed bool
	group     groupOutcome  // for the later ones of its group
	delay     time.Duration // of its retry, where the group fails
}

// learn takes note of how long a handler took. In a drain, which may begin before
// the first one has ended, the longest counts: one that is started and can't end in
// time is cut short. c.mu is held.
func (l *lane) learn(took time.Duration, draining bool) {
	switch {
	case l.usual == 0, draining && took > l.usual:
		l.usual = took
	default:
		l.usual += (took - l.usual) / 8
	}
}

// leave gives a handled flight's slot back and lets its group go on. It returns
// the flights that are to be given back unhandled. c.mu is held.
func (c *Consumer) leave(f *flight, o outcome) []*flight {
	c.running--
	c.give(f.lane, 1)
	l := f.lane
	l.took += (o.took - l.took) / 16
	if !o.postponed && !o.ended.IsZero() {
		l.learn(o.took, c.stopping)
	}
	if o.gone {
		c.unlink(f)
	}
	back := c.groupDone(f, o.group, o.delay)
	if f.alone {
		c.leftAlone(f, time.Now())
	}
	c.grant()
	c.changed()
	return back
}

// A worker's stack holds what is called here for as long as its handler runs, and
// there may be thousands of workers. What happens seldom, or to observers only,
// is therefore in functions of its own that are not inlined: with their frames the
// stack would outgrow the two KiB that a goroutine begins with.

// run runs the handler on one flight and has its verdict carried out.
func (c *Consumer) run(f *flight, now time.Time) outcome {
	if !f.start(now) {
		return c.lapsed(f)
	}
	if len(c.cfg.Observers) > 0 {
		c.tellStarted(f)
	}
	f.probe.started()
	if f.alone {
		c.tellAlone(f, now)
	}
	return c.handled(f, c.call(f))
}

// lapsed ends a flight whose lease ended before its turn came: someone else may
// have the message.
//
//go:noinline
func (c *Consumer) lapsed(f *flight) outcome {
	c.observe(handler.Event{Kind: handler.EventLeaseLost, Origin: f.lane.origin, Message: f.msg, Err: handler.ErrLeaseLost})
	f.probe.started()
	f.probe.finished()
	return outcome{gone: true, group: groupLost}
}

//go:noinline
func (c *Consumer) tellStarted(f *flight) {
	c.observe(handler.Event{Kind: handler.EventStarted, Origin: f.lane.origin, Message: f.msg})
}

// call calls the handler. A panic becomes an error.
func (c *Consumer) call(f *flight) error {
	p, err := invoke.Call(&f.ctx, c.handler, f.msg)
	if p != nil {
		c.reportFault(f, p, err)
	}
	return err
}

// handled reads the verdict and sends it on its way.
func (c *Consumer) handled(f *flight, err error) outcome {
	now := time.Now()
	c.progressed(now)
	f.ctx.end()
	v, failure := c.verdictOf(f, err, now)
	o := outcome{ended: now, took: now.Sub(f.started)}
	if len(c.cfg.Observers) > 0 {
		c.tellHandled(f, v.Action, o.took, err)
	}
	f.probe.finished()
	o.postponed = v.Postponed
	if err != nil && c.isStopping() && invoke.Is(err, handler.ErrStopped) {
		// Its process, or another resource, was ended before its context.
		f.mu.Lock()
		f.stopped = true
		f.mu.Unlock()
	}
	f.finish(v, failure, now, &o)
	return o
}

// verdictOf reads the verdict out of a handler's error, and makes the failure
// that goes with a dead letter. Both call methods of the error: no lock is held.
func (c *Consumer) verdictOf(f *flight, err error, now time.Time) (handler.Verdict, *drivers.Failure) {
	if err == nil {
		return handler.Verdict{Action: handler.ActionAck}, nil
	}
	return c.failureOf(f, err, now)
}

//go:noinline
func (c *Consumer) failureOf(f *flight, err error, now time.Time) (handler.Verdict, *drivers.Failure) {
	c.reportFault(f, nil, err)
	deadLetter, limit := f.lane.policy()
	if f.interrupted() {
		limit = 0 // it ended because it was cancelled, which is no failure
	}
	v := verdict.Of(err, f.attempt, limit, deadLetter)
	if v.Action != handler.ActionDeadLetter {
		return v, nil
	}
	failure := verdict.Failure(v.Err, f.msg, now, c.cfg.Name)
	if failure.First.IsZero() && f.failed != nil {
		failure.First = *f.failed
	}
	return v, failure
}

//go:noinline
func (c *Consumer) tellHandled(f *flight, a handler.Action, took time.Duration, err error) {
	c.observe(handler.Event{
		Kind: handler.EventHandled, Origin: f.lane.origin, Message: f.msg, Action: a, Duration: took, Err: err,
	})
}
