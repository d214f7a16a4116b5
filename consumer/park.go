package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// Bounds of what is kept in hand: messages that are parked, and messages that
// wait for their group.
const (
	// maxHand is how many messages may be in hand before receiving pauses. A
	// message that was received and is postponed then is parked all the same.
	maxHand = 10_000
	// maxHandBytes is the same for the bodies' bytes. Beyond twice as many
	// nothing is parked.
	maxHandBytes = 64 << 20
	// maxParked bounds the parked messages. Beyond it a message is given back.
	maxParked = 2 * maxHand
	// minPark is the shortest time that a message is parked for, so that one
	// that is postponed for no time at all does not keep a worker busy.
	minPark = 10 * time.Millisecond
)

// A parked message is kept in hand for a time, with its lease, off its handler
// slot. There are three reasons:
//
//   - It was postponed: its handler runs again here, as the same attempt.
//   - It is the failed head of an ordered group: its handler runs again here, as
//     the next attempt, and the group waits behind it.
//   - Its retry's delay is longer than the provider's longest (Pub/Sub: 600 s):
//     it is given back when the rest of the delay fits into one settlement.
//
// The first two are reruns. A parked message whose lease can't be kept, or that
// is in the way of a shutdown, is given back with what is left of its delay.

// rerun parks a flight for the given time, or until its lease would have ended
// if the handler named no time, which is when the provider would deliver it
// again. It reports whether that is within the bounds. f.mu is held.
func (f *flight) rerun(v *handler.Verdict, now time.Time) bool {
	if f.stopped && !v.Postponed || !v.Delayed && !f.leased() {
		return false
	}
	delay := v.Delay
	if !v.Delayed {
		delay = f.deadline.Sub(now)
	}
	delay = max(delay, minPark)
	if f.leased() && delay > f.leaseLimit().Sub(now)-f.length/2 {
		return false // too little of the lease would be left for the handler
	}
	until := now.Add(delay)
	if !f.lane.c.takeRoom(f, until, true) {
		return false
	}
	f.state = parked
	f.verdict = settlement{action: handler.ActionRetry, delay: delay, released: v.Postponed, until: until, rerun: true}
	if f.attempt == 1 && !v.Postponed {
		f.failed = &now
	}
	f.schedulePark(now)
	return true
}

// leaseLimit is when the lease ends at the latest. Without an end it is far
// away. f.mu is held.
func (f *flight) leaseLimit() time.Time {
	caps := &f.lane.caps
	if caps.MaxExtension < 0 || f.keep != nil && f.keep.refused {
		return f.deadline
	}
	if caps.MaxLease <= 0 {
		return f.received.Add(100 * 365 * 24 * time.Hour)
	}
	return f.received.Add(caps.MaxLease - leaseMargin(caps.MaxLease))
}

// park holds back a retry whose delay is longer than the provider's longest. It
// reports whether that is within the bounds. f.mu is held.
func (f *flight) park(now time.Time) bool {
	until := now.Add(f.verdict.delay)
	if !f.leased() || !f.lane.c.takeRoom(f, until, false) {
		return false
	}
	f.state = parked
	f.verdict.until = until
	f.schedulePark(now)
	return true
}

// takeRoom makes room for a parked flight, if there is any. A consumer that
// stops parks only what can run before its drain ends.
func (c *Consumer) takeRoom(f *flight, until time.Time, rerun bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping && !(rerun && c.inTime(f.lane, until)) {
		return false
	}
	if c.parked >= maxParked || c.handBytes+len(f.body) > 2*maxHandBytes {
		return false
	}
	c.parked++
	c.handBytes += len(f.body)
	if rerun {
		c.reruns++
	}
	return true
}

// leaveRoom undoes takeRoom. c.mu is held; grant is the caller's to call.
func (c *Consumer) leaveRoom(f *flight) {
	c.parked--
	c.handBytes -= len(f.body)
	if f.verdict.rerun {
		c.reruns--
	}
}

// schedulePark sets the timer to the next extension, or to the moment at which
// the parking ends. f.mu is held.
func (f *flight) schedulePark(now time.Time) {
	at := f.verdict.until
	if !f.verdict.rerun {
		at = at.Add(-f.lane.caps.MaxDelay)
	}
	if f.leased() {
		if next := f.nextCare(now); next.Before(at) {
			at = next
		}
	}
	f.lane.c.heap.Set(&f.timer, at)
}

// unpark goes on with a parked message whose timer fired.
func (f *flight) unpark(now time.Time) {
	f.mu.Lock()
	if f.state != parked {
		f.mu.Unlock()
		return
	}
	rest := f.verdict.until.Sub(now)
	switch {
	case f.leased() && !now.Before(f.deadline):
		f.mu.Unlock()
		f.lose(handler.ErrLeaseLost)
	case f.verdict.rerun && rest <= 0:
		if f.keep != nil && f.keep.sent {
			// The extension's answer goes on with it.
			f.verdict.due = true
			f.mu.Unlock()
			return
		}
		f.state = done
		f.answerAll(handler.ErrLeaseLost)
		f.mu.Unlock()
		f.runAgain(now)
	case !f.verdict.rerun && rest <= f.lane.caps.MaxDelay, f.ending(now):
		f.unparkLocked(rest, now)
	default:
		f.beat(now)
		f.schedulePark(now)
		f.mu.Unlock()
	}
}

// runAgain has the handler run again on a parked message whose time has come.
// f's state is done, so that it is the caller's alone.
func (f *flight) runAgain(now time.Time) {
	c, l := f.lane.c, f.lane
	next := f.successor()
	next.reschedule(now)
	c.heap.Remove(&f.timer)
	if !f.verdict.released {
		e := handler.Event{Kind: handler.EventSettled, Origin: l.origin, Message: f.msg, Action: handler.ActionRetry, Delay: f.verdict.delay}
		c.count.Observe(e)
		go c.told.Observe(e) // the timer of all leases must not wait for observers
	}
	c.mu.Lock()
	c.unlink(f)
	c.link(next)
	c.leaveRoom(f)
	c.enqueue(next)
	c.wake()
	c.grant()
	c.mu.Unlock()
}

// successor returns the flight that takes a delivery over for another run of
// its handler: a handler that has kept its message, context or lease too long
// finds them ended, and nothing of the next run's.
func (f *flight) successor() *flight {
	m := *f.msg
	next := &flight{
		lane: f.lane, cleared: true, msg: &m, attempt: f.attempt, receipt: f.receipt, received: f.received, length: f.length,
		body: f.body, attrs: f.attrs, deadline: f.deadline, group: f.group, failed: f.failed,
	}
	if !f.verdict.released {
		if next.attempt > 0 {
			next.attempt++ // the runtime counts; the provider sees one delivery
		}
	}
	m.Attempt = next.attempt
	if k := f.keep; k != nil {
		next.keep = &keeper{tries: k.tries, retryAt: k.retryAt, refused: k.refused}
	}
	next.ctx.base = f.lane.c.base
	next.timer.Owner = next
	m.Bind(f.lane.origin, (*lease)(next))
	return next
}

// unparkLocked gives a parked message back with what is left of its delay, as far
// as the provider takes it. f.mu is held and released.
func (f *flight) unparkLocked(delay time.Duration, now time.Time) {
	c := f.lane.c
	f.state = settling
	f.verdict.delay, f.verdict.delayed = f.capRetry(max(delay, 0), now), true
	delay = f.verdict.delay
	f.answerAll(handler.ErrLeaseLost)
	f.verdict.waits = f.keep != nil && f.keep.sent
	waits := f.verdict.waits
	f.mu.Unlock()
	c.mu.Lock()
	c.leaveRoom(f)
	back := c.groupDone(f, groupFails, delay)
	c.grant()
	c.mu.Unlock()
	if !waits {
		c.heap.Remove(&f.timer)
		f.submit(now)
	}
	c.release(back)
}
