package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/timer"
)

// A state is a delivery's place in its life; the package comment draws it.
// States only increase.
type state uint8

const (
	held     state = iota // received; the handler has not started
	running               // the handler runs
	parked                // the handler has returned; the message is kept in hand for a time
	settling              // the verdict is being carried out
	done                  // settled, lost, or taken over by a successor
)

// A delivery is one delivery of a message, from its receive until it is settled
// or lost. Deliveries have no key: the same message can be in flight twice. They
// are made in slabs and never reused, so that a handler that keeps its context or
// its lease for too long finds them ended, not another message's.
type delivery struct {
	source  *source
	msg     *handler.Message
	attempt int // as received; 0 if unknown
	receipt string

	// The message as it was received. Middleware may change it for the handler,
	// but a copy in the dead-letter queue must be of the original.
	body  []byte
	attrs map[string]string

	ctx   handlerContext
	timer timer.Item
	probe *probe // the restricted receive that brought it; nil otherwise

	// group is set before the delivery is ready. It is nil unless the queue is
	// ordered and the message has a group.
	group *group
	// cleared is set once isolation has decided whether the delivery is a suspect;
	// alone is set if it runs alone. Both are guarded by Consumer.mu, but once its
	// handler has started, alone belongs to the worker.
	cleared, alone bool
	// firstFailure is when the handler failed first, if it failed here.
	firstFailure *time.Time

	prev, next *delivery // in hand; guarded by Consumer.mu

	waited time.Duration // in hand for a worker; the worker's from its start on

	// mu guards the fields below and is taken before Consumer.mu.
	mu      sync.Mutex
	state   state
	stopped bool      // the handler was cancelled because the consumer stops
	started time.Time // its handler; before that, since when its turn has come
	lease   lease
	verdict settlement
}

// slabSize is the number of deliveries allocated together: few enough that one
// that lives long keeps little memory of others.
const slabSize = 8

// newDeliveries returns the deliveries of a receive. The caller owns the slice.
func newDeliveries(s *source, received []drivers.Delivery, now time.Time, p *probe) []*delivery {
	ds := make([]*delivery, 0, len(received))
	var slab []delivery
	for i := range received {
		from := &received[i]
		if len(slab) == 0 {
			slab = make([]delivery, min(slabSize, len(received)-i))
		}
		d := &slab[0]
		slab = slab[1:]
		d.source, d.msg, d.receipt, d.probe = s, from.Message, from.Receipt, p
		d.body, d.attrs, d.attempt = from.Message.Body, from.Message.Attributes, from.Message.Attempt
		d.lease = newLease(&s.caps, from, now)
		d.ctx.base = s.c.base
		d.timer.Owner = d
		from.Message.Bind(s.origin, (*handlerLease)(d))
		ds = append(ds, d)
	}
	return ds
}

// successor returns a delivery that takes over from d for another run of the
// handler. A handler that has kept its message, context or lease for too long
// finds them ended, and cannot reach those of the next run.
func (d *delivery) successor() *delivery {
	m := *d.msg
	next := &delivery{
		source: d.source, msg: &m, attempt: d.attempt, receipt: d.receipt, body: d.body, attrs: d.attrs,
		group: d.group, cleared: true, firstFailure: d.firstFailure, lease: d.lease.successor(),
	}
	if !d.verdict.released && next.attempt > 0 {
		next.attempt++ // the runtime counts; the provider sees one delivery
	}
	m.Attempt = next.attempt
	next.ctx.base = d.source.c.base
	next.timer.Owner = next
	m.Bind(d.source.origin, (*handlerLease)(next))
	return next
}

// start moves a held delivery to running. It reports whether the lease still
// holds; if not, the delivery is done.
func (d *delivery) start(now time.Time) bool {
	d.mu.Lock()
	if !d.started.IsZero() {
		d.waited = now.Sub(d.started)
	}
	d.started = now
	l := &d.lease
	if l.lost || l.over(now) {
		l.lost = true
		d.state = done
		d.mu.Unlock()
		d.ctx.cancelReturned()
		d.source.c.heap.Remove(&d.timer)
		return false
	}
	d.state = running
	if k := l.keep; k != nil {
		k.on = false
		if !k.sent {
			k.want = 0
		}
	}
	// A message that waited for its group starts with a full lease, as its
	// handler expects.
	if l.timed() && now.Sub(l.received) > l.length/10 && l.deadline.Sub(now) < l.length*9/10 {
		if k := l.keeper(); !k.sent {
			k.want = l.length
			d.source.extender.add(d, now.Add(d.source.c.cfg.linger()))
		}
	}
	d.mu.Unlock()
	return true
}

// Fire implements timer.Owner. It extends the lease or ends it, wakes a parked
// delivery, or submits a settlement again.
func (d *delivery) Fire(now time.Time) {
	d.mu.Lock()
	switch d.state {
	case held, running:
		if d.lease.timed() && !now.Before(d.lease.deadline) {
			d.mu.Unlock()
			d.loseLease(handler.ErrLeaseLost)
			return
		}
		if d.expiring(now) {
			d.mu.Unlock()
			d.source.groups.nackExpiring(d)
			return
		}
		d.requestBeat(now)
		d.reschedule(now)
	case parked:
		d.mu.Unlock()
		d.source.c.parking.wake(d, now)
		return
	case settling:
		if d.verdict.again {
			d.verdict.again = false
			d.mu.Unlock()
			d.source.settler.submit(d, now)
			return
		}
	case done:
	}
	d.mu.Unlock()
}

// loseLease ends the right to work on the message. A running handler is
// cancelled; a parked delivery is done; a held one is found when its turn comes;
// a settling one is judged when its verdict is sent.
func (d *delivery) loseLease(cause error) {
	c := d.source.c
	d.mu.Lock()
	if d.lease.lost || d.state >= settling {
		d.mu.Unlock()
		return
	}
	d.lease.lost = true
	was := d.state
	rerun := was == parked && d.verdict.rerun
	if was == parked {
		d.state = done
	}
	d.lease.keep.answerWaiting(handler.ErrLeaseLost)
	d.mu.Unlock()
	c.heap.Remove(&d.timer)
	switch was {
	case running:
		d.ctx.cancel(handler.ErrLeaseLost)
		c.report.leaseLost(d, true, cause)
	case parked:
		c.mu.Lock()
		c.parking.freeRoom(d)
		back := d.source.groups.resolve(d, groupHeadLost, 0)
		c.mu.Unlock()
		c.nack(back)
		c.hand.remove(d)
		if rerun {
			c.report.leaseLost(d, false, cause)
		}
	case held, settling, done:
	}
}

// nack gives a held delivery back unhandled, visible again after delay. It does
// nothing in any other state.
func (d *delivery) nack(delay time.Duration, now time.Time) {
	d.mu.Lock()
	if d.state != held {
		d.mu.Unlock()
		return
	}
	d.state = settling
	lost := d.lease.lost || d.lease.revoked
	d.verdict = settlement{action: handler.ActionRetry, delayed: true, delay: d.lease.capDelay(delay, now), released: true}
	// An extension that is on its way must not hide the message again.
	d.verdict.waits = !lost && d.lease.keep != nil && d.lease.keep.sent
	waits := d.verdict.waits
	d.mu.Unlock()
	d.probe.started()
	d.probe.finished()
	d.source.c.heap.Remove(&d.timer)
	if lost {
		d.source.c.hand.remove(d)
		return
	}
	if !waits {
		d.source.settler.submit(d, now)
	}
}

// cancelForStop cancels the handler, if it runs, with cause [handler.ErrStopped].
func (d *delivery) cancelForStop() {
	d.mu.Lock()
	running := d.state == running
	d.stopped = running
	d.mu.Unlock()
	if running {
		d.ctx.cancel(handler.ErrStopped)
	}
}

// markStopped notes that the handler ended because the consumer stops.
func (d *delivery) markStopped() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
}

// interrupted reports whether the handler was cancelled, because the lease was
// lost or the consumer stops.
func (d *delivery) interrupted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lease.lost || d.stopped
}

// age returns how long the handler has run, 0 if it does not run. A suspect's age
// says nothing about other messages and is 0 as well.
func (d *delivery) age(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != running || d.alone {
		return 0
	}
	return now.Sub(d.started)
}

// detachProbe makes the restricted receive that brought d stop waiting for it.
func (d *delivery) detachProbe() {
	d.probe.started()
	d.probe.finished()
	d.probe = nil
}

// reschedule sets the timer to the next moment at which the lease needs care.
// d.mu is held.
func (d *delivery) reschedule(now time.Time) {
	if d.lease.timed() {
		d.source.c.heap.Set(&d.timer, d.nextCare(now))
	}
}

// nextCare returns when the lease needs care next. d.mu is held.
func (d *delivery) nextCare(now time.Time) time.Time {
	return d.lease.nextCare(now, d.state, d.verdict.until)
}

// expiring reports whether the lease is about to end for good while no handler
// runs, so that a nack is better than a lost lease. d.mu is held.
func (d *delivery) expiring(now time.Time) bool {
	return d.lease.expiring(now, d.state, d.verdict.until)
}

// requestBeat requests an extension if one is due. d.mu is held.
func (d *delivery) requestBeat(now time.Time) {
	at, by, ok := d.lease.nextBeat(now, d.state, d.verdict.until)
	if !ok || at.After(now) {
		return
	}
	d.lease.keeper().want = by
	// The request can wait for others to share it, but leaves most of the rest of
	// the lease for a second try.
	slack := min(d.lease.deadline.Sub(now)/4, beatSlack)
	d.source.extender.add(d, now.Add(slack))
}

// takeExtension returns the extension that is wanted, if it still is, and marks
// it as sent.
func (d *delivery) takeExtension(now time.Time) (by time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.lease
	k := l.keep
	if k.want <= 0 || k.sent || l.lost || d.state > parked {
		return 0, false
	}
	by = l.capExtension(k.want, now)
	k.want = 0
	if by <= 0 || l.over(now) {
		k.answerWaiting(handler.ErrLeaseLost)
		return 0, false
	}
	k.sent = true
	k.current, k.waiters = k.waiters, nil
	return by, true
}

// leaseLeft returns the rest of the lease.
func (d *delivery) leaseLeft(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lease.left(now)
}

// endLeaseBy makes the lease end at the given time, if it would end later, and
// returns the rest of it.
func (d *delivery) endLeaseBy(at, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lease.timed() && at.Before(d.lease.deadline) {
		d.lease.deadline = at
	}
	return d.lease.left(now)
}

// shiftLease moves the lease back by the length of a suspend.
func (d *delivery) shiftLease(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.lease.timed() || d.state == done {
		return
	}
	d.lease.deadline, d.lease.received = d.lease.deadline.Add(-by), d.lease.received.Add(-by)
	if d.state <= parked {
		d.source.c.heap.Set(&d.timer, time.Now())
	}
}
