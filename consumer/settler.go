package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
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
}

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
		c.heap.Remove(&d.timer)
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
	waits := d.verdict.waits
	d.mu.Unlock()

	if v.Action != handler.ActionAck {
		c.report.unsupported(d, &v, u, now)
		c.report.postponed(d, &v)
	}
	if !waits {
		c.heap.Remove(&d.timer)
		st.submit(d, now)
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
			d.verdict.failure = failure
			o.group = groupWaits
		} else if d.group != nil && s.c.parking.parkRerun(d, v, now) {
			// It is a retry, and like any failed head it is retried in place: to give
			// back its tail would spend an attempt of each message.
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
			// It failed because it was cancelled, not for a reason of its own.
			d.verdict.delayed = true
		}
	default:
		// An action that this runtime does not know: never lose the message.
	}
	u := unsupported{noDLQ: v.Action == handler.ActionDeadLetter && d.verdict.action != handler.ActionDeadLetter}
	if d.verdict.delayed {
		asked := d.verdict.delay
		d.verdict.delay = d.lease.capDelay(asked, now)
		if s.caps.MaxDelay <= 0 {
			u.undelayed = asked
		}
	}
	if m := s.caps.MaxDelay; d.verdict.delayed && m > 0 && d.verdict.delay > m {
		if s.c.parking.parkDelay(d, now) {
			o.park = true
			if d.group != nil {
				o.group = groupWaits
			}
			return u
		}
		u.cut = d.verdict.delay
		d.verdict.delay = m
	}
	o.delay = d.verdict.delay
	return u
}

// submit hands a settlement to its batch. The delivery is settling.
func (st *settler) submit(d *delivery, now time.Time) {
	cfg := &st.source.c.cfg
	// Near the end of the lease there is no time to wait.
	due := now.Add(cfg.linger())
	if left := d.leaseLeft(now); left != endless && due.After(now.Add(left-time.Second)) {
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
	st.source.c.sleepClock.shortenLeases()
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
	s := st.source
	ss := make([]drivers.Settlement, len(ds))
	for i, d := range ds {
		v := &d.verdict
		ss[i] = drivers.Settlement{
			Receipt: d.receipt, Message: d.msg, Action: v.action, Delay: v.delay, Delayed: v.delayed,
			Released: v.released, Failure: v.failure,
		}
	}
	sent := time.Now()
	ctx, cancel := context.WithTimeout(s.c.ops, min(st.requestTimeout(), left))
	var errs []error
	if ctx.Err() == nil {
		errs = s.driver.Settle(ctx, ss)
	} else {
		errs = s.endedErrors(len(ss))
	}
	cancel()
	now := time.Now()
	refused := s.outage.settled(ds[0].verdict.action, errs, len(ss), now)
	settled := ds[:0]
	for i, d := range ds {
		if st.answer(d, sent, now, itemError(errs, i, len(ss)), refused) {
			settled = append(settled, d)
		}
	}
	s.c.hand.remove(settled...)
}

// answer takes the answer to one settlement that was sent at the given time. It
// reports whether the settlement has ended; otherwise it is submitted again later.
// refused reports whether the whole request was refused.
func (st *settler) answer(d *delivery, sent, now time.Time, err error, refused bool) (ended bool) {
	s, v := st.source, &d.verdict
	c := s.c
	if err == nil {
		kind := handler.EventSettled
		if v.released {
			kind = handler.EventReleased
		}
		c.report.observe(handler.Event{Kind: kind, Origin: s.origin, Message: d.msg, Action: v.action, Delay: v.delay})
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
	// A refusal of the whole request may pass: permissions change. So may that of a
	// rejection: the dead-letter queue may come back.
	refused = refused || v.tries > 0 && refusal(code)
	again := code.Retryable() || refused || v.action == handler.ActionDeadLetter && code != drivers.Closed
	v.tries++
	wait := backoffDelay(v.tries, 100*time.Millisecond, 5*time.Second)
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
		c.heap.Set(&d.timer, now.Add(wait))
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
var errResults = errors.New("the driver returned another number of results than it was given items")

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
