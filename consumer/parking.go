package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// parking holds messages for a time, with their leases extended, without handler
// slots. There are three reasons:
//
//   - The message was postponed: its handler runs again here, as the same attempt.
//   - It is the failed head of an ordered group: its handler runs again here, as the
//     next attempt, and the group waits behind it.
//   - Its retry's delay is longer than the provider's longest (Pub/Sub: 600 s), or the
//     provider has none (RabbitMQ): it is given back when the rest of the delay fits into
//     one settlement.
//
// The first two are reruns. A parked message is released with the rest of its delay
// if its lease cannot be extended or a shutdown needs to end.
//
// The counts are guarded by Consumer.mu.
type parking struct {
	c      *Consumer
	parked int // the parked deliveries
	reruns int // those of them whose handler runs again here
}

const (
	// maxParked bounds the parked messages. Beyond it a message is released.
	maxParked = 2 * maxHand
	// minPark is the shortest time for which a message is parked, so that one that is
	// postponed for no time at all does not keep a worker busy.
	minPark = 10 * time.Millisecond
)

// parkRerun parks a delivery whose handler is to run again here, after the verdict's
// delay. Without a delay it waits until its lease would have ended, which is when the
// provider would deliver it again. It reports whether that is within the bounds. The
// delivery's lock is held.
func (p *parking) parkRerun(d *delivery, v *handler.Verdict, now time.Time) bool {
	l := &d.lease
	if d.stopped && !v.Postponed || !v.Delayed && !l.timed() {
		return false
	}
	delay := v.Delay
	if !v.Delayed {
		delay = l.deadline.sub(at(now))
	}
	delay = max(delay, minPark)
	if l.timed() && delay > l.limit().sub(at(now))-l.length/2 {
		return false // too little of the lease would be left for the handler
	}
	until := now.Add(delay)
	if !p.takeRoom(d, until, true) {
		return false
	}
	d.state = parked
	d.verdict = settlement{action: handler.ActionRetry, delay: delay, released: v.Postponed, until: at(until), rerun: true}
	if d.attempt == 1 && !v.Postponed {
		d.rarity().firstFailure = now
	}
	p.reschedule(d, now)
	return true
}

// parkDelay parks a retry whose delay is longer than the provider's longest. It
// reports whether that is within the bounds. The delivery's lock is held.
func (p *parking) parkDelay(d *delivery, now time.Time) bool {
	until := now.Add(d.verdict.delay)
	if !p.takeRoom(d, until, false) {
		return false
	}
	d.state = parked
	d.verdict.until = at(until)
	p.reschedule(d, now)
	return true
}

// takeRoom makes room for a parked delivery, if there is any. A consumer that stops
// parks only what can run before its drain ends. Consumer.mu is not held.
func (p *parking) takeRoom(d *delivery, until time.Time, rerun bool) bool {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drain.stopping && !(rerun && c.drain.inTime(d.source, until)) {
		return false
	}
	if p.parked >= maxParked || c.hand.bytes+len(d.body) > 2*maxHandBytes {
		return false
	}
	p.parked++
	c.hand.bytes += len(d.body)
	if rerun {
		p.reruns++
	}
	return true
}

// freeRoom undoes takeRoom. The caller calls slots.grant. Consumer.mu is held.
func (p *parking) freeRoom(d *delivery) {
	p.parked--
	p.c.hand.bytes -= len(d.body)
	if d.verdict.rerun {
		p.reruns--
	}
}

// reschedule sets the timer to the next extension, or to the end of the parking. The
// delivery's lock is held.
func (p *parking) reschedule(d *delivery, now time.Time) {
	due := d.verdict.until
	if !d.verdict.rerun {
		due = due.add(-d.source.caps.MaxDelay)
	}
	if d.lease.timed() {
		due = min(due, d.nextCare(now))
	}
	p.c.heap.Set(d, due.time())
}

// wake continues with a parked delivery whose timer fired. No lock is held.
func (p *parking) wake(d *delivery, now time.Time) {
	d.mu.Lock()
	if d.state != parked {
		d.mu.Unlock()
		return
	}
	rest := d.verdict.until.sub(at(now))
	switch {
	case d.lease.ended(at(now)):
		d.mu.Unlock()
		d.loseLease(handler.ErrLeaseLost)
	case d.verdict.rerun && rest <= 0:
		if d.lease.keep != nil && d.lease.keep.sent {
			d.verdict.due = true // the extension's answer goes on with it
			d.mu.Unlock()
			return
		}
		d.state = done
		d.lease.keep.answerWaiting(handler.ErrLeaseLost)
		d.mu.Unlock()
		p.rerun(d, now)
	case !d.verdict.rerun && rest <= d.source.caps.MaxDelay, d.expiring(now):
		p.nack(d, rest, now)
	default:
		d.requestBeat(now)
		p.reschedule(d, now)
		d.mu.Unlock()
	}
}

// rerun makes the handler run again on a parked message whose time has come. The
// delivery is done, so that it belongs to the caller alone. No lock is held.
func (p *parking) rerun(d *delivery, now time.Time) {
	c := p.c
	next := d.successor()
	next.reschedule(now) // no one else knows it yet, so its lock is not needed
	c.heap.Remove(d)
	if !d.verdict.released {
		c.report.retriedHere(d)
	}
	c.mu.Lock()
	c.hand.unlink(d)
	c.hand.link(next)
	p.freeRoom(d)
	c.workers.enqueue(next, now)
	c.workers.wake()
	c.slots.grant()
	c.mu.Unlock()
}

// nack gives a parked message back with the rest of its delay, as far as the provider
// takes it. The delivery's lock is held, and unlocked on return.
func (p *parking) nack(d *delivery, delay time.Duration, now time.Time) {
	c := p.c
	d.state = settling
	d.verdict.delay, d.verdict.delayed = d.lease.capRetry(max(delay, 0), at(now)), true
	delay = d.verdict.delay
	d.lease.keep.answerWaiting(handler.ErrLeaseLost)
	d.verdict.waits = d.lease.keep != nil && d.lease.keep.sent
	waits := d.verdict.waits
	d.mu.Unlock()
	c.mu.Lock()
	p.freeRoom(d)
	back := d.source.groups.resolve(d, groupNacked, delay)
	c.slots.grant()
	c.mu.Unlock()
	if !waits {
		c.heap.Remove(d)
		d.source.settler.submit(d, now)
	}
	c.nack(back)
}

// nackLate gives a parked message back if it can't run again within the drain. No lock
// is held.
func (p *parking) nackLate(d *delivery, now time.Time) {
	d.mu.Lock()
	if d.state != parked {
		d.mu.Unlock()
		return
	}
	if d.verdict.rerun {
		p.c.mu.Lock()
		stays := p.c.drain.inTime(d.source, d.verdict.until.time())
		p.c.mu.Unlock()
		if stays {
			d.mu.Unlock()
			return
		}
	}
	p.nack(d, d.verdict.until.sub(at(now)), now)
}
