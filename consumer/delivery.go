package consumer

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
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
	lease   // its source never changes; mu guards the rest
	msg     *handler.Message
	receipt string

	// The message as it was received. Middleware may change it for the handler,
	// but a copy in the dead-letter queue must be of the original.
	body  []byte
	attrs map[string]string

	ctx  contextState
	rare *rarity // nil if it has none

	// group is set before the delivery is ready. It is nil unless the queue is
	// ordered and the message has a group.
	group      *group
	prev, next *delivery // in hand; guarded by Consumer.mu

	// mu guards the fields below, the lease and the context's state. It is taken before
	// Consumer.mu.
	mu      sync.Mutex
	started instant // its handler; before that, since when its turn has come
	verdict settlement
	state   state
	stopped bool // the handler was canceled because the consumer stops

	// cleared is set once isolation has decided whether the delivery is a suspect;
	// alone is set if it runs alone. Both are guarded by Consumer.mu, but once its
	// handler has started, alone belongs to the worker.
	cleared, alone bool

	attempt int32 // as received; 0 if unknown
}

// A rarity has what few deliveries have. It belongs to whoever moves the delivery.
type rarity struct {
	probe        *probe           // the restricted receive that brought it; nil otherwise
	firstFailure time.Time        // when the handler failed first, if it failed here
	failure      *drivers.Failure // of a dead letter
	result       error            // of the handler, if an observer ended its goroutine after it
}

// slabSize is the number of deliveries allocated together: few enough that one
// that lives long keeps little memory of others. Ten, as many as SQS delivers together,
// fill two KiB with the header that the allocator adds.
const slabSize = 10

// newDeliveries appends the deliveries of a receive to ds.
func newDeliveries(ds []*delivery, s *source, received []drivers.Delivery, now time.Time, p *probe) []*delivery {
	ds = slices.Grow(ds, len(received))
	var slab []delivery
	var l lease
	for i := range received {
		from := &received[i]
		if i == 0 || from.Deadline != received[i-1].Deadline || from.Lease != received[i-1].Lease {
			l = newLease(s, from, now) // most often one for all
		}
		if len(slab) == 0 {
			slab = make([]delivery, min(slabSize, len(received)-i))
		}
		d := &slab[0]
		slab = slab[1:]
		d.msg, d.receipt = from.Message, from.Receipt
		d.body, d.attrs = from.Message.Body, from.Message.Attributes
		d.attempt = int32(min(from.Message.Attempt, math.MaxInt32))
		d.lease = l
		if p != nil {
			d.rare = &rarity{probe: p}
		}
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
		msg: &m, attempt: d.attempt, receipt: d.receipt, body: d.body, attrs: d.attrs,
		group: d.group, cleared: true, lease: d.lease.successor(),
	}
	if first := d.firstFailure(); !first.IsZero() {
		next.rarity().firstFailure = first
	}
	if !d.verdict.released && next.attempt > 0 {
		next.attempt++ // the runtime counts; the provider sees one delivery
	}
	m.Attempt = int(next.attempt)
	m.Bind(d.source.origin, (*handlerLease)(next))
	return next
}

// start moves a held delivery to running. It returns how long the delivery waited in
// hand for a worker, and whether the lease still holds; if not, the delivery is done.
func (d *delivery) start(now time.Time) (waited time.Duration, ok bool) {
	d.mu.Lock()
	began := at(now)
	if d.started != 0 {
		waited = began.sub(d.started)
	}
	d.started = began
	l := &d.lease
	if l.lost || l.over(now) {
		l.lost = true
		d.state = done
		d.mu.Unlock()
		(*handlerContext)(d).cancelReturned()
		d.source.c.heap.Remove(d)
		return waited, false
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
	if l.timed() && began.sub(l.received) > l.length/10 && l.deadline.sub(began) < l.length*9/10 {
		if k := l.keeper(); !k.sent {
			k.want = l.length
			d.source.extender.add(d, now.Add(d.source.c.cfg.linger()))
		}
	}
	d.mu.Unlock()
	return waited, true
}

// Fire implements timer.Owner. It extends the lease or ends it, gives back a delivery
// that waits behind too many others, wakes a parked one, or submits a settlement again.
func (d *delivery) Fire(now time.Time) {
	d.mu.Lock()
	switch d.state {
	case held, running:
		if d.lease.ended(at(now)) {
			d.mu.Unlock()
			d.loseLease(handler.ErrLeaseLost)
			return
		}
		if d.expiring(now) {
			d.mu.Unlock()
			d.source.groups.nackExpiring(d)
			return
		}
		if d.state == held {
			d.mu.Unlock()
			if d.source.c.workers.withdraw(d, now) {
				return
			}
			d.mu.Lock()
			if d.state > running {
				d.mu.Unlock()
				return
			}
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
// canceled; a parked delivery is done; a held one is found when its turn comes;
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
	c.heap.Remove(d)
	switch was {
	case running:
		(*handlerContext)(d).cancel(handler.ErrLeaseLost)
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
	d.verdict = settlement{action: handler.ActionRetry, delayed: true, delay: d.lease.capDelay(delay, at(now)), released: true}
	// An extension that is on its way must not hide the message again.
	d.verdict.waits = !lost && d.lease.keep != nil && d.lease.keep.sent
	waits := d.verdict.waits
	d.mu.Unlock()
	d.probe().started()
	d.probe().finished()
	d.source.c.heap.Remove(d)
	if lost {
		d.source.c.hand.remove(d)
		return
	}
	if !waits {
		d.source.settler.submit(d, now)
	}
}

// settledEvent is the event of d's settlement.
func (d *delivery) settledEvent() handler.Event {
	v := &d.verdict
	e := handler.Event{Kind: handler.EventSettled, Origin: d.source.origin, Message: d.msg, Action: v.action, Delay: v.delay}
	if v.released {
		e.Kind = handler.EventReleased
	}
	return e
}

// cancelForStop cancels the handler, if it runs, with cause [handler.ErrStopped].
func (d *delivery) cancelForStop() {
	d.mu.Lock()
	running := d.state == running
	d.stopped = running
	d.mu.Unlock()
	if running {
		(*handlerContext)(d).cancel(handler.ErrStopped)
	}
}

// markStopped notes that the handler ended because the consumer stops.
func (d *delivery) markStopped() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
}

// interrupted reports whether the handler was canceled, because the lease was
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
	return at(now).sub(d.started)
}

// detachProbe makes the restricted receive that brought d stop waiting for it.
func (d *delivery) detachProbe() {
	d.probe().started()
	d.probe().finished()
	if d.rare != nil {
		d.rare.probe = nil
	}
}

// probe returns the restricted receive that brought d, nil if none did.
func (d *delivery) probe() *probe {
	if d.rare == nil {
		return nil
	}
	return d.rare.probe
}

// firstFailure returns when the handler failed first, the zero time if it has not failed
// here.
func (d *delivery) firstFailure() time.Time {
	if d.rare == nil {
		return time.Time{}
	}
	return d.rare.firstFailure
}

// failure returns why the message is dead-lettered, nil if no reason is known.
func (d *delivery) failure() *drivers.Failure {
	if d.rare == nil {
		return nil
	}
	return d.rare.failure
}

// rarity returns d's rarity, making it if need be.
func (d *delivery) rarity() *rarity {
	if d.rare == nil {
		d.rare = &rarity{}
	}
	return d.rare
}

// reschedule sets the timer to the next moment at which the lease needs care.
// d.mu is held.
func (d *delivery) reschedule(now time.Time) {
	if d.lease.timed() {
		d.source.c.heap.Set(d, d.nextCare(now).time())
	}
}

// nextCare returns when the lease needs care next. d.mu is held.
func (d *delivery) nextCare(now time.Time) instant {
	return d.lease.nextCare(now, d.state, d.verdict.until)
}

// expiring reports whether the lease is about to end for good while no handler
// runs, so that a nack is better than a lost lease. d.mu is held.
func (d *delivery) expiring(now time.Time) bool {
	return d.lease.expiring(now, d.state, d.verdict.until)
}

// requestBeat requests an extension if one is due. d.mu is held.
func (d *delivery) requestBeat(now time.Time) {
	beat, by, ok := d.lease.nextBeat(now, d.state, d.verdict.until)
	if !ok || beat > at(now) {
		return
	}
	d.lease.keeper().want = by
	// The request can wait for others to share it, but leaves most of the rest of
	// the lease for a second try.
	slack := min(d.lease.deadline.sub(at(now))/4, beatSlack)
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
	by = l.capExtension(k.want, at(now))
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
func (d *delivery) endLeaseBy(end, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lease.timed() {
		d.lease.deadline = min(d.lease.deadline, at(end))
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
	d.lease.deadline, d.lease.received = d.lease.deadline.add(-by), d.lease.received.add(-by)
	if d.state <= parked {
		d.source.c.heap.Set(d, time.Now())
	}
}
