package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// workers are the goroutines that run handlers, at most Config.Concurrency. Their
// numbers are guarded by Consumer.mu.
//
// Invariant: if a delivery can run and fewer than Concurrency handlers run, a worker
// is looking for it, or waking is set and one is about to. One worker is woken at a
// time, and it wakes the next: a burst of n messages costs n wake-ups, not n².
type workers struct {
	c      *Consumer
	number int
	idle   int
	waking bool // an idle worker was woken and has not looked yet
	work   sync.Cond
}

// maxIdle bounds the workers that wait for work: starting one costs less than keeping
// thousands.
const maxIdle = 256

// An outcome is the effect of a handled delivery on others.
type outcome struct {
	ended  time.Time // when the handler returned; zero if none was called
	took   time.Duration
	waited time.Duration // in hand for a worker
	done   bool          // the delivery is done
	park   bool          // the delivery is parked
	// postponed is set if the handler postponed the message, so that took says
	// nothing about handlers.
	postponed bool
	group     groupOutcome
	stage     stage         // of the work on the delivery
	delay     time.Duration // of the retry, if the group is given back
}

// A stage is how far a worker's work on a delivery is, so that another one can continue
// if its goroutine ends.
type stage uint8

const (
	stageStarted stage = iota + 1 // observers are called: the handler is about to start
	stageCalled                   // the handler is called
	stageHandled                  // observers are called: the handler has returned
)

// enqueue makes a delivery whose turn has come run as soon as a worker is free. It
// takes a slot, over the limit if need be: the message is not new, and receiving
// pauses until the slot is released. Consumer.mu is held.
func (w *workers) enqueue(d *delivery, now time.Time) {
	if w.c.isolation.isSuspect(d) {
		w.c.isolation.setAside(d)
		return
	}
	d.started = at(now)
	w.c.slots.take(d.source, 1)
	w.c.hand.ready.push(d)
}

// wake makes sure that a worker takes what can run. Consumer.mu is held.
func (w *workers) wake() {
	if w.waking || !w.runnable() {
		return
	}
	if w.idle > 0 {
		w.waking = true
		w.work.Signal()
		return
	}
	if w.number < w.c.cfg.Concurrency {
		w.waking = true
		w.number++
		go w.run(nil)
	}
}

// runnable reports whether a delivery can run now. Consumer.mu is held.
func (w *workers) runnable() bool {
	h, i := &w.c.hand, &w.c.isolation
	switch {
	case i.alone != nil && !w.c.drain.stopping: // a drain would give the others back
		return false
	case h.ready.len() > 0:
		return true
	default:
		return i.chosen != nil && h.running == 0 && h.unsettled() == 0
	}
}

// take removes and returns the delivery that runs next. runnable must be true.
// Consumer.mu is held.
func (w *workers) take() *delivery {
	if w.c.hand.ready.len() > 0 {
		return w.c.hand.ready.pop()
	}
	return w.c.isolation.start()
}

// run is a worker: it runs handlers until it is not needed any more. rest is what another
// worker could not finish, nil if there is nothing.
func (w *workers) run(rest *unfinished) {
	var d *delivery
	var o outcome
	defer func() {
		if d != nil {
			// The handler or an observer called runtime.Goexit, which ends this
			// goroutine. Another one does the rest.
			w.replace(d, &o)
		}
	}()
	woken := rest == nil
	if rest != nil {
		d = rest.d
		w.resume(d, rest, &o)
	}
	for {
		var waited bool
		last := d
		d = nil // a worker that waits keeps no message alive, and so none of its receive
		if d, waited = w.next(last, &o, woken); d == nil {
			return
		}
		woken = false
		if w.start(d, waited, &o) {
			w.handle(d, &o)
		}
	}
}

// An unfinished is the work of a worker whose goroutine has ended.
type unfinished struct {
	d *delivery
	o outcome
}

// replace starts a worker that continues on a delivery.
//
//go:noinline
func (w *workers) replace(d *delivery, o *outcome) { go w.run(&unfinished{d, *o}) }

// resume continues the work on a delivery after its goroutine has ended.
//
//go:noinline
func (w *workers) resume(d *delivery, rest *unfinished, o *outcome) {
	*o = rest.o
	switch o.stage {
	case stageStarted:
		w.handle(d, o)
	case stageHandled:
		err := d.rare.result
		v, failure := w.verdict(d, err, o.ended)
		w.conclude(d, v, failure, err, o)
	default:
		// The handler ended it. The message is retried.
		w.settle(d, invoke.ErrGoexit, o)
	}
}

// next ends the worker's work on one delivery and returns another, and whether it had
// to wait for it. It returns nil if the worker must end. Consumer.mu is not held.
func (w *workers) next(last *delivery, o *outcome, woken bool) (d *delivery, waited bool) {
	c := w.c
	c.mu.Lock()
	if woken {
		w.waking = false
	}
	if last != nil {
		if back := w.release(last, o); back != nil {
			c.mu.Unlock()
			c.nack(back)
			c.mu.Lock()
			waited = true
		}
	}
	for {
		if w.runnable() {
			d = w.take()
			if c.drain.stopping && !c.drain.inTime(d.source, time.Now()) {
				w.nackLate(d)
				waited = true
				continue
			}
			c.hand.running++
			w.wake()
			c.mu.Unlock()
			return d, waited
		}
		waited = true
		if c.hand.running == 0 && !w.expecting() {
			// Nothing will come to share a request with the verdicts that wait.
			c.mu.Unlock()
			for _, s := range c.sources {
				s.settler.flush()
			}
			c.mu.Lock()
			if w.runnable() {
				continue
			}
		}
		if c.drain.closing || w.idle >= maxIdle {
			w.number--
			c.drain.signal()
			c.mu.Unlock()
			return nil, false
		}
		w.idle++
		w.work.Wait()
		w.idle--
		w.waking = false
	}
}

// nackLate releases a delivery that cannot be handled within the drain, and the
// messages that wait in its group. Consumer.mu is held, and unlocked in between.
func (w *workers) nackLate(d *delivery) {
	c := w.c
	c.slots.release(d.source, 1)
	if d.alone {
		c.isolation.end(d, time.Now())
	}
	back := append([]*delivery{d}, d.source.groups.resolve(d, groupNacked, 0)...)
	c.drain.signal()
	if !c.drain.hurried {
		c.drain.late = append(c.drain.late, back...)
		return
	}
	c.mu.Unlock()
	c.nack(back)
	c.mu.Lock()
}

// withdraw gives back a delivery whose lease is due for an extension if it has waited for
// a tenth of the lease, behind Concurrency others or more: handlers have slowed down since
// it was requested, and a process with idle handlers could work on it. It reports whether
// it did. None is requested in advance until a handler has returned. A message that would
// lose one of its attempts is kept. No lock is held.
func (w *workers) withdraw(d *delivery, now time.Time) bool {
	c, s := w.c, d.source
	if !s.releasesFree() {
		return false
	}
	c.mu.Lock()
	// While it is ready, started is when its turn came, and guarded by Consumer.mu.
	long := func() bool { return at(now).sub(d.started) >= d.lease.length/waitShare }
	if c.drain.stopping || !c.hand.ready.removeBehind(c.cfg.Concurrency, d, long) {
		c.mu.Unlock()
		return false
	}
	s.forecast.stall(d.lease.length, now)
	c.slots.release(s, 1)
	back := append([]*delivery{d}, s.groups.resolve(d, groupNacked, 0)...)
	c.slots.grant()
	c.mu.Unlock()
	c.nack(back)
	return true
}

// expecting reports whether more messages are likely to come immediately.
// Consumer.mu is held.
func (w *workers) expecting() bool {
	for _, s := range w.c.sources {
		if s.busy {
			return true
		}
	}
	return false
}

// release releases the slot of a handled delivery and applies the outcome to its
// group. It returns the deliveries to nack once Consumer.mu is unlocked. Consumer.mu
// is held.
func (w *workers) release(d *delivery, o *outcome) []*delivery {
	c, s := w.c, d.source
	c.hand.running--
	c.slots.release(s, 1)
	s.times.add(o.took)
	if !o.postponed && !o.ended.IsZero() {
		s.times.learn(o.took, c.drain.stopping)
		s.forecast.handled(o.took)
		s.forecast.waited(o.waited, d.lease.length, o.ended)
	}
	if o.done {
		c.hand.unlink(d)
	}
	back := s.groups.resolve(d, o.group, o.delay)
	if d.alone {
		c.isolation.end(d, time.Now())
	}
	c.slots.grant()
	c.drain.signal()
	return back
}

// A worker's stack holds the functions below for as long as its handler runs, and
// there may be thousands of workers. Code that runs seldom, or for observers only, is
// therefore in functions that are not inlined: with their frames the stack would
// exceed the two KiB that a goroutine begins with.

// start prepares a delivery for its handler, and reports it to observers. o is the outcome of the
// worker's last delivery, and becomes that of d. It reports whether the lease still holds;
// if not, the delivery is done.
//
//go:noinline
func (w *workers) start(d *delivery, waited bool, o *outcome) (ok bool) {
	now := o.ended
	if waited || now.IsZero() {
		now = time.Now() // otherwise one handler begins when the last one ended
		w.c.progress.note(now)
	}
	*o = outcome{}
	if o.waited, ok = d.start(now); !ok {
		w.skipLost(d)
		o.done, o.group = true, groupHeadLost
		return false
	}
	if d.alone {
		w.c.report.runsAlone(d, now)
	}
	if len(w.c.cfg.Observers) > 0 {
		o.stage = stageStarted
		w.c.report.started(d, o.waited)
	}
	return true
}

// handle runs the handler on a delivery that has started, and starts to carry out its
// verdict.
func (w *workers) handle(d *delivery, o *outcome) {
	o.stage = stageCalled
	d.probe().started()
	p, err := invoke.Call((*handlerContext)(d), d.source.handler, d.msg) // a panic becomes an error
	if p != nil {
		w.c.report.handlerPanicked(d, p, err)
	}
	w.settle(d, err, o)
}

// skipLost reports a delivery whose lease ended before its turn came: someone else
// may have the message.
//
//go:noinline
func (w *workers) skipLost(d *delivery) {
	w.c.report.observe(handler.Event{Kind: handler.EventLeaseLost, Origin: d.source.origin, Message: d.msg, Err: handler.ErrLeaseLost})
	d.probe().started()
	d.probe().finished()
}

// settle reads the verdict in a handler's error and starts to carry it out.
func (w *workers) settle(d *delivery, err error, o *outcome) {
	now := time.Now()
	w.c.progress.note(now)
	(*handlerContext)(d).cancelReturned()
	v, failure := w.verdict(d, err, now)
	o.ended, o.took = now, at(now).sub(d.started)
	if len(w.c.cfg.Observers) > 0 {
		w.observeHandled(d, v.Action, err, o)
	}
	w.conclude(d, v, failure, err, o)
}

// observeHandled reports that a handler has returned err. If an observer ends the
// goroutine, the delivery keeps err for the one that continues.
//
//go:noinline
func (w *workers) observeHandled(d *delivery, a handler.Action, err error, o *outcome) {
	o.stage = stageHandled
	ended := true
	defer func() {
		if ended {
			d.rarity().result = err
		}
	}()
	w.c.report.handled(d, a, o.took, err)
	ended = false
}

// conclude hands the verdict in a handler's error to the settler and completes the
// outcome.
func (w *workers) conclude(d *delivery, v handler.Verdict, failure *drivers.Failure, err error, o *outcome) {
	d.probe().finished()
	o.postponed = v.Postponed
	if err != nil && w.c.drain.begun() && invoke.Is(err, handler.ErrStopped) {
		// Its process, or another resource, was ended before its context.
		d.markStopped()
	}
	if !o.postponed {
		w.c.drain.handled(d, o.took)
	}
	d.source.settler.accept(d, v, failure, o.ended, o)
}

// verdict returns the verdict in a handler's error, and the failure that goes with a
// dead letter. Both call methods of the error, so no lock may be held.
func (w *workers) verdict(d *delivery, err error, now time.Time) (handler.Verdict, *drivers.Failure) {
	if err == nil {
		return handler.Verdict{Action: handler.ActionAck}, nil
	}
	return w.failure(d, err, now)
}

//go:noinline
func (w *workers) failure(d *delivery, err error, now time.Time) (handler.Verdict, *drivers.Failure) {
	w.c.report.handlerPanicked(d, nil, err)
	deadLetter, limit := d.source.policy()
	if d.interrupted() {
		limit = 0 // it was canceled, which is not a failure
	}
	v := verdict.Of(err, int(d.attempt), limit, deadLetter)
	if v.Action != handler.ActionDeadLetter {
		return v, nil
	}
	failure := verdict.Failure(v.Err, d.msg, now, w.c.cfg.Name)
	if failure.First.IsZero() {
		failure.First = d.firstFailure()
	}
	return v, failure
}
