package consumer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/batch"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A settler carries out the verdicts on a source's deliveries. Verdicts of one kind
// share a request, so each kind has its batches: a mixed batch would cost a request
// for each kind.
//
// Invariant: a settlement is submitted at most once at a time, by whoever moved its
// delivery to settling, and never while an extension of its lease is on its way. No
// request outlasts the leases that it speaks for, and no verdict is sent after the
// provider has reported that the lease is lost.
type settler struct {
	source                 *source
	acks, retries, letters *batch.Batcher[*delivery]

	spare sync.Pool // of *request
}

// A request has the slices that a request needs, for the next ones to reuse. A driver does
// not keep the settlements, nor does the caller of observers the events.
type request struct {
	settlements []drivers.Settlement
	events      []handler.Event
}

// uncountedDelay is the delay of a retry without one if the attempt is unknown. No limit of
// attempts ends such a message, and a queue that delivers it again immediately, as Pub/Sub
// does without a retry policy, would have it handled thousands of times a second.
const uncountedDelay = time.Second

// parallelRequests bounds the requests of one kind that are on their way, for each
// source.
const parallelRequests = 32

func newSettler(s *source) *settler {
	st := &settler{source: s}
	// A driver that leaves a batch size out is faulty; it gets batches of one.
	cfg := batch.Config[*delivery]{Max: max(s.caps.MaxSettle, 1), Parallel: parallelRequests, Flush: st.send}
	st.acks, st.retries, st.letters = batch.New(cfg), batch.New(cfg), batch.New(cfg)
	return st
}

// accept takes a delivery whose handler has returned to its settlement, or parks it,
// and completes the outcome. No lock is held.
func (st *settler) accept(d *delivery, v handler.Verdict, failure *drivers.Failure, now time.Time, o *outcome) {
	c := st.source.c
	d.msg.Body, d.msg.Attributes = d.body, d.attrs

	d.mu.Lock()
	if d.lease.over(now) {
		d.lease.lost = true // the timer is late
	}
	if k := d.lease.keep; k != nil {
		k.on, k.hooks = false, nil
		k.answerWaiting(handler.ErrLeaseLost)
	}
	var u unsupported
	switch {
	case d.lease.lost:
		d.state = done
		d.mu.Unlock()
		c.heap.Remove(d)
		c.report.lateVerdict(d, v.Action, handler.ErrLeaseLost)
		o.done, o.group = true, groupHeadLost
		return
	case v.Action == handler.ActionAck || v.Action == handler.ActionDrop:
		d.verdict = settlement{action: v.Action}
		o.group = groupWaits
	default:
		if u = st.decide(d, &v, failure, now, o); o.park {
			d.mu.Unlock()
			if u.noDLQ {
				c.report.unsupported(d, &v, u, now)
			}
			c.report.postponed(d, &v)
			return
		}
	}
	d.state = settling
	// An extension on its way must not overwrite the verdict's delay; its answer
	// submits the verdict.
	d.verdict.waits = d.lease.keep != nil && d.lease.keep.sent
	waits, left := d.verdict.waits, d.lease.left(now)
	d.mu.Unlock()

	if v.Action != handler.ActionAck {
		c.report.unsupported(d, &v, u, now)
		c.report.postponed(d, &v)
	}
	if !waits {
		st.add(d, left, now)
	}
}

// decide chooses between a retry, a dead letter and parking for a message whose
// handler neither acked nor dropped it. The delivery's lock is held.
//
//go:noinline
func (st *settler) decide(d *delivery, v *handler.Verdict, failure *drivers.Failure, now time.Time, o *outcome) unsupported {
	s := st.source
	d.verdict = settlement{action: handler.ActionRetry}
	o.group = groupNacked
	switch v.Action {
	case handler.ActionDeadLetter:
		if has, _ := s.policy(); has {
			d.verdict.action = handler.ActionDeadLetter
			d.rarity().failure = failure
			o.group = groupWaits
		} else if d.group != nil && s.c.parking.parkRerun(d, v, now) {
			// It is a retry and, like any failed head, retried in place: releasing its
			// tail would spend an attempt of each message.
			o.park, o.group = true, groupWaits
			return unsupported{noDLQ: true}
		}
	case handler.ActionRetry:
		if (v.Postponed || d.group != nil) && s.c.parking.parkRerun(d, v, now) {
			o.park, o.group = true, groupWaits
			return unsupported{}
		}
		d.verdict.delayed, d.verdict.delay, d.verdict.released = v.Delayed, v.Delay, v.Postponed
		if d.stopped && !v.Delayed {
			// It failed because it was canceled, not for a reason of its own.
			d.verdict.delayed = true
		}
	default:
		// An action that this runtime does not know: never lose the message.
	}
	if d.verdict.action == handler.ActionRetry && !d.verdict.delayed && d.attempt <= 0 {
		d.verdict.delayed, d.verdict.delay = true, uncountedDelay
	}
	u := unsupported{noDLQ: v.Action == handler.ActionDeadLetter && d.verdict.action != handler.ActionDeadLetter}
	if !d.verdict.delayed {
		return u
	}
	asked := d.verdict.delay
	d.verdict.delay = max(d.lease.cap(asked, at(now)), 0)
	if m := s.caps.MaxDelay; d.verdict.delay > m {
		if s.c.parking.parkDelay(d, now) {
			o.park = true
			if d.group != nil {
				o.group = groupWaits
			}
			return u
		}
		if m > 0 {
			u.cut = d.verdict.delay
		} else {
			u.undelayed = asked
		}
		d.verdict.delay = m
	}
	o.delay = d.verdict.delay
	return u
}

// submit hands a settlement to its batch. The delivery is settling.
func (st *settler) submit(d *delivery, now time.Time) { st.add(d, d.leaseLeft(now), now) }

// add is submit for a delivery whose lease has the given time left.
func (st *settler) add(d *delivery, left time.Duration, now time.Time) {
	cfg := &st.source.c.cfg
	// Near the end of the lease there is no time to wait.
	due := now.Add(cfg.linger())
	if left != endless && due.After(now.Add(left-time.Second)) {
		due = now
	}
	b := st.batcher(d.verdict.action)
	if d.group != nil {
		b.AddSoon(d, due) // its group waits for it
	} else {
		b.Add(d, due)
	}
	if cfg.SettleDelay < 0 {
		b.Flush()
	}
}

func (st *settler) batcher(a handler.Action) *batch.Batcher[*delivery] {
	switch a {
	case handler.ActionAck, handler.ActionDrop:
		return st.acks
	case handler.ActionDeadLetter:
		return st.letters
	default:
		return st.retries
	}
}

// flush sends the verdicts that wait for others to share their request.
func (st *settler) flush() {
	st.acks.Flush()
	st.retries.Flush()
	st.letters.Flush()
}

// send carries out a batch of verdicts, each of them within its lease: after that it
// would be carried out on someone else's delivery.
func (st *settler) send(ds []*delivery) {
	c := st.source.c
	c.sleepClock.shortenLeases()
	// Until here the timer did nothing: Fire ignores a settling delivery.
	c.heap.RemoveAll(ds)
	byLeaseLeft(ds, st.request, st.expire)
}

// expire ends settlements whose lease ended before they could be sent. A nack is not
// needed any more.
func (st *settler) expire(ds []*delivery) {
	for _, d := range ds {
		if !d.verdict.released {
			st.source.c.report.lateVerdict(d, d.verdict.action, handler.ErrLeaseLost)
		}
		st.source.groups.settled(d, false)
	}
	st.source.c.hand.remove(ds...)
}

// requestTimeout bounds a request, so that one that hangs leaves time for another.
func (st *settler) requestTimeout() time.Duration {
	return min(max(st.source.caps.Lease/2, 5*time.Second), 30*time.Second)
}

// request sends one request of settlements. The shortest of their leases has the
// given time left.
func (st *settler) request(ds []*delivery, left time.Duration) {
	s, n := st.source, len(ds)
	r, _ := st.spare.Get().(*request)
	if r == nil {
		r = new(request)
	}
	ss := slices.Grow(r.settlements, n)[:n]
	for i, d := range ds {
		v := &d.verdict
		ss[i] = drivers.Settlement{
			Receipt: d.receipt, Message: d.msg, Action: v.action, Delay: v.delay, Delayed: v.delayed,
			Released: v.released, Failure: d.failure(),
		}
	}
	sent := time.Now()
	ctx, cancel := context.WithTimeout(s.c.ops, min(st.requestTimeout(), left))
	var errs []error
	if ctx.Err() == nil {
		errs = s.driver.Settle(ctx, ss)
	} else {
		errs = s.endedErrors(n)
	}
	cancel()
	if len(s.c.cfg.Observers) > 0 {
		r.events = st.passSettled(ds, errs, r.events)
	}
	clear(ss)
	r.settlements = ss[:0]
	st.spare.Put(r)
	now := time.Now()
	refused := s.outage.settled(ds[0].verdict.action, errs, n, now)
	settled := ds[:0]
	for i, d := range ds {
		if st.answer(d, sent, now, itemError(errs, i, n), refused) {
			settled = append(settled, d)
		}
	}
	s.c.hand.remove(settled...)
}

// passSettled passes to the observers that messages of a request are settled, before
// their groups go on. es is its buffer, which it returns.
func (st *settler) passSettled(ds []*delivery, errs []error, es []handler.Event) []handler.Event {
	if es == nil {
		es = make([]handler.Event, 0, min(len(ds), eventsTogether))
	}
	for i, d := range ds {
		if itemError(errs, i, len(ds)) == nil {
			es = append(es, d.settledEvent())
		}
		if len(es) == eventsTogether || i == len(ds)-1 {
			st.source.c.report.observers.ObserveAll(es)
			clear(es)
			es = es[:0]
		}
	}
	return es
}

// eventsTogether is how many events are passed together at most. More would take memory
// and save little.
const eventsTogether = 64

// answer takes the answer to one settlement that was sent at the given time, of which
// passSettled has passed the event. It reports whether the settlement has ended; otherwise it is submitted again later.
// refused reports whether the whole request was refused.
func (st *settler) answer(d *delivery, sent, now time.Time, err error, refused bool) (ended bool) {
	s, v := st.source, &d.verdict
	c := s.c
	if err == nil {
		c.report.count(d.settledEvent())
		s.emptiness.noteRetry(d, now)
		if v.action == handler.ActionRetry {
			c.isolation.remember(d)
		}
		s.groups.settled(d, true)
		return true
	}
	if invoke.Is(err, drivers.ErrLeaseLost) {
		if !v.released {
			c.report.lateVerdict(d, v.action, err)
		}
		s.groups.settled(d, false)
		return true
	}
	code := drivers.CodeOf(err)
	// A refusal of the whole request may pass: permissions change. A rejection may
	// be repeated too: the dead-letter queue may become available again.
	refused = refused || v.tries > 0 && refusal(code)
	again := code.Retryable() || refused || v.action == handler.ActionDeadLetter && code != drivers.Closed
	v.tries = min(v.tries, math.MaxUint8-1) + 1
	wait := backoffDelay(int(v.tries), 100*time.Millisecond, 5*time.Second)
	left := d.leaseLeft(now)
	over := left <= 0
	if !s.caps.StaleReceiptHarmless && v.action == handler.ActionRetry && code != drivers.Throttled && !refusal(code) {
		// It may have been carried out. From the end of its delay on, another worker
		// may have the message, whose lease a repetition would change.
		left = d.endLeaseBy(sent.Add(v.delay), now)
	}
	inTime := left > wait
	if again && inTime && c.ops.Err() == nil {
		d.mu.Lock()
		d.verdict.again = true
		c.heap.Set(d, now.Add(wait))
		d.mu.Unlock()
		return false
	}
	switch {
	case v.released && !inTime:
		// The end of the lease gives the message back.
	case again && over:
		// It was cut off at the end of its lease, carried out or not.
		c.report.lateVerdict(d, v.action, err)
	default:
		c.report.unsettled(d, err)
		s.emptiness.noteRetry(d, now)
	}
	s.groups.settled(d, false)
	return true
}

// refusal reports whether code is that of a queue that is missing or forbidden.
func refusal(code drivers.Code) bool { return code == drivers.Denied || code == drivers.NotFound }

// errEnded answers requests that come after Run has returned.
var errEnded = errors.New("the consumer has ended")

// errResults stands for a driver's faulty answer.
var errResults = errors.New("the driver returned a wrong number of results")

// itemError returns the i-th of n errors in a driver's answer. A nil answer means
// that all items succeeded.
func itemError(errs []error, i, n int) error {
	if errs == nil {
		return nil
	}
	if len(errs) != n {
		return errResults
	}
	return errs[i]
}

// backoffDelay returns the wait before a further try: it doubles from base up to
// limit, with half of it random, so that many do not try at the same time.
func backoffDelay(tries int, base, limit time.Duration) time.Duration {
	d := limit
	if shift := tries - 1; shift < 20 {
		d = min(base<<shift, limit)
	}
	return d/2 + rand.N(d/2+1)
}
