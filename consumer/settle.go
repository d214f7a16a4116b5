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

// finish takes a flight whose handler has returned to its settlement.
func (f *flight) finish(v handler.Verdict, failure *drivers.Failure, now time.Time, o *outcome) {
	f.msg.Body, f.msg.Attributes = f.body, f.attrs

	f.mu.Lock()
	if f.over(now) {
		f.lost = true // the timer was late, or has not told yet
	}
	if k := f.keep; k != nil {
		k.on, k.hooks = false, nil
		f.answerAll(handler.ErrLeaseLost)
	}
	var a aside
	switch {
	case f.lost:
		f.state = done
		f.mu.Unlock()
		f.lane.c.heap.Remove(&f.timer)
		f.lane.c.late(f, v.Action, handler.ErrLeaseLost)
		o.gone, o.group = true, groupLost
		return
	case v.Action == handler.ActionAck || v.Action == handler.ActionDrop:
		f.verdict = settlement{action: v.Action}
		o.group = groupWaits
	default:
		if a = f.fails(&v, failure, now, o); o.park {
			f.mu.Unlock()
			if a.noDLQ {
				f.tellAside(&v, a, now)
			}
			f.lane.c.notePostponed(f, &v)
			return
		}
	}
	f.state = settling
	if k := f.keep; k != nil && k.sent {
		// The extension that is on its way must not overwrite the verdict's
		// delay; its answer sends the verdict.
		f.verdict.waits = true
	}
	waits := f.verdict.waits
	f.mu.Unlock()

	if v.Action != handler.ActionAck {
		f.tellAside(&v, a, now)
		f.lane.c.notePostponed(f, &v)
	}
	if !waits {
		f.lane.c.heap.Remove(&f.timer)
		f.submit(now)
	}
}

// aside is what a verdict asked for that cannot be.
type aside struct {
	noDLQ     bool          // there is no dead-letter queue
	undelayed time.Duration // the delay that the provider cannot give
	cut       time.Duration // the delay that was cut to the provider's longest
}

// fails decides what becomes of a message whose handler neither acked nor
// dropped it. f.mu is held.
//
//go:noinline
func (f *flight) fails(v *handler.Verdict, failure *drivers.Failure, now time.Time, o *outcome) aside {
	l := f.lane
	f.verdict = settlement{action: handler.ActionRetry}
	o.group = groupFails
	switch v.Action {
	case handler.ActionDeadLetter:
		if has, _ := l.policy(); has {
			f.verdict.action = handler.ActionDeadLetter
			f.verdict.failure = failure
			o.group = groupWaits
		} else if f.group != nil && f.rerun(v, now) {
			// It is a retry, and like any failed head it is retried in place: giving
			// its tail back would spend an attempt of each.
			o.park, o.group = true, groupWaits
			return aside{noDLQ: true}
		}
	case handler.ActionRetry:
		if (v.Postponed || f.group != nil) && f.rerun(v, now) {
			o.park, o.group = true, groupWaits
			return aside{}
		}
		f.verdict.delayed, f.verdict.delay, f.verdict.released = v.Delayed, v.Delay, v.Postponed
		if f.stopped && !v.Delayed {
			// It failed because it was cancelled, not for a reason of its own.
			f.verdict.delayed = true
		}
	default:
		// An action that this runtime does not know: never lose the message.
	}
	a := aside{noDLQ: v.Action == handler.ActionDeadLetter && f.verdict.action != handler.ActionDeadLetter}
	if f.verdict.delayed {
		asked := f.verdict.delay
		f.verdict.delay = f.capDelay(asked, now)
		if l.caps.MaxDelay < 0 {
			a.undelayed = asked
		}
	}
	if m := l.caps.MaxDelay; f.verdict.delayed && m > 0 && f.verdict.delay > m {
		if f.park(now) {
			o.park = true
			if f.group != nil {
				o.group = groupWaits
			}
			return a
		}
		a.cut = f.verdict.delay
		f.verdict.delay = m
	}
	o.delay = f.verdict.delay
	return a
}

// tellAside reports what is to be known of a verdict other than an ack.
//
//go:noinline
func (f *flight) tellAside(v *handler.Verdict, a aside, now time.Time) {
	c, l := f.lane.c, f.lane
	if a.noDLQ {
		c.noDeadLetter(f, v.Err, now)
	}
	if a.undelayed > 0 {
		if missed, ok := l.noDelay.Allow(now, time.Minute); ok {
			c.log.Warn("the queue cannot delay a retry: the message is given back at once, without the delay",
				"queue", l.caps.Queue, "message", f.msg.ID, "delay", a.undelayed, "not_logged", missed)
		}
	}
	if a.cut > 0 {
		if missed, ok := l.noDelay.Allow(now, time.Minute); ok {
			c.log.Warn("the message is given back with a shorter delay than its retry's: it comes back early",
				"queue", l.caps.Queue, "message", f.msg.ID, "delay", a.cut, "longest", l.caps.MaxDelay, "not_logged", missed)
		}
	}
	if v.Action == handler.ActionDrop {
		c.log.Info("message dropped", "queue", l.caps.Queue, "message", f.msg.ID, "attempt", f.msg.Attempt, "reason", invoke.Text(v.Err))
	}
}

// capDelay bounds a retry's delay by what is left of the provider's longest
// lease, and takes it away where the provider has no delays.
func (f *flight) capDelay(d time.Duration, now time.Time) time.Duration {
	if f.lane.caps.MaxDelay < 0 {
		return 0
	}
	return max(f.capLease(d, now), 0)
}

// capRetry is capDelay for a delay that is given in one settlement.
func (f *flight) capRetry(d time.Duration, now time.Time) time.Duration {
	d = f.capDelay(d, now)
	if m := f.lane.caps.MaxDelay; m > 0 {
		d = min(d, m)
	}
	return d
}

// notePostponed counts a postponement.
//
//go:noinline
func (c *Consumer) notePostponed(f *flight, v *handler.Verdict) {
	if !v.Postponed {
		return
	}
	c.observe(handler.Event{Kind: handler.EventPostponed, Origin: f.lane.origin, Message: f.msg, Delay: v.Delay, Err: v.Err})
}

// late reports a verdict that was not carried out.
func (c *Consumer) late(f *flight, a handler.Action, err error) {
	c.log.Warn("verdict not carried out: the lease was lost before", "queue", f.lane.caps.Queue,
		"message", f.msg.ID, "attempt", f.msg.Attempt, "verdict", a.String())
	c.observe(handler.Event{Kind: handler.EventLateVerdict, Origin: f.lane.origin, Message: f.msg, Action: a, Err: err})
}

// noDeadLetter reports a rejection that has nowhere to go.
func (c *Consumer) noDeadLetter(f *flight, err error, now time.Time) {
	if missed, ok := f.lane.noDLQ.Allow(now, time.Minute); ok {
		c.log.Error("message rejected, but the queue has no dead-letter queue: it is retried; give the queue one (sluice apply)",
			"queue", f.lane.caps.Queue, "message", f.msg.ID, "reason", invoke.Text(err), "not_logged", missed)
	}
	c.observe(handler.Event{Kind: handler.EventNoDeadLetter, Origin: f.lane.origin, Message: f.msg, Action: handler.ActionDeadLetter, Err: err})
}

// linger is how long a request may wait for others to share it.
func (c *Consumer) linger() time.Duration { return max(c.cfg.SettleDelay, 0) }

// submit hands a settlement to its batch.
func (f *flight) submit(now time.Time) {
	l := f.lane
	// Near the lease's end there is no time to wait.
	due := now.Add(l.c.linger())
	if f.leased() {
		if limit := f.deadline.Add(-time.Second); due.After(limit) {
			due = now
		}
	}
	if f.group != nil {
		// Its group waits for it.
		f.batcher().AddSoon(f, due)
	} else {
		f.batcher().Add(f, due)
	}
	if l.c.cfg.SettleDelay < 0 {
		f.batcher().Flush()
	}
}

func (f *flight) batcher() *batch.Batcher[*flight] {
	switch f.verdict.action {
	case handler.ActionAck, handler.ActionDrop:
		return f.lane.acks
	case handler.ActionDeadLetter:
		return f.lane.letters
	default:
		return f.lane.retries
	}
}

// settleTimeout bounds a request of settlements, so that one that hangs leaves
// time for another.
func (l *lane) settleTimeout() time.Duration {
	return min(max(l.caps.Lease/2, 5*time.Second), 30*time.Second)
}

// flushSettlements carries out a batch of verdicts, each of them within its
// lease: after that it would be carried out on someone else's delivery.
func (l *lane) flushSettlements(fs []*flight) {
	l.c.noteSleep()
	inTime(fs, l.settle, l.lapsed)
}

// lapsed ends settlements whose lease has ended before they could be sent. A
// release is not needed any more.
func (l *lane) lapsed(fs []*flight) {
	for _, f := range fs {
		if !f.verdict.released {
			l.c.late(f, f.verdict.action, handler.ErrLeaseLost)
		}
		l.close(f, false)
	}
	l.c.finished(fs)
}

// settle sends one request of settlements, of whose leases the shortest has the
// given time left.
func (l *lane) settle(fs []*flight, left time.Duration) {
	ss := make([]drivers.Settlement, len(fs))
	for i, f := range fs {
		v := &f.verdict
		ss[i] = drivers.Settlement{
			Receipt: f.receipt, Message: f.msg, Action: v.action, Delay: v.delay, Delayed: v.delayed,
			Released: v.released, Failure: v.failure,
		}
	}
	sent := time.Now()
	ctx, cancel := context.WithTimeout(l.c.ops, min(l.settleTimeout(), left))
	var errs []error
	if ctx.Err() == nil {
		errs = l.source.Settle(ctx, ss)
	} else {
		errs = l.overErrors(len(ss))
	}
	cancel()
	now := time.Now()
	refused := l.noteSettled(fs[0].verdict.action, errs, len(ss), now)
	ended := fs[:0]
	for i, f := range fs {
		if l.settled(f, sent, now, itemError(errs, i, len(ss)), refused) {
			ended = append(ended, f)
		}
	}
	l.c.finished(ended)
}

// overErrors answers requests that come after Run has returned, of handlers that
// it did not wait for.
func (l *lane) overErrors(n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = &drivers.Error{Code: drivers.Closed, Queue: l.caps.Queue, Op: "answer", Err: errOver}
	}
	return errs
}

var errOver = errors.New("the consumer has ended")

// settled takes the answer to one settlement that was sent at the given time. It
// reports whether the flight has ended; otherwise it is tried again.
func (l *lane) settled(f *flight, sent, now time.Time, err error, refused bool) bool {
	c, v := l.c, &f.verdict
	if err == nil {
		kind := handler.EventSettled
		if v.released {
			kind = handler.EventReleased
		}
		c.observe(handler.Event{Kind: kind, Origin: l.origin, Message: f.msg, Action: v.action, Delay: v.delay})
		l.noteRetry(f, now)
		if v.action == handler.ActionRetry {
			l.noteKnown(f)
		}
		return l.close(f, true)
	}
	if invoke.Is(err, drivers.ErrLeaseLost) {
		if v.released {
			return l.close(f, false)
		}
		c.late(f, v.action, err)
		return l.close(f, false)
	}
	code := drivers.CodeOf(err)
	// A refusal of all may pass: permissions are changed. So may one of a
	// rejection: the dead-letter queue may come back.
	refused = refused || v.tries > 0 && refusal(code)
	again := code.Retryable() || refused || v.action == handler.ActionDeadLetter && code != drivers.Closed
	v.tries++
	wait := backoffDelay(v.tries, 100*time.Millisecond, 5*time.Second)
	left := f.remaining(now)
	ended := left <= 0
	if l.caps.StaleReceiptActs && v.action == handler.ActionRetry && code != drivers.Throttled && !refusal(code) {
		// It may have been carried out. From the end of its delay on, another
		// worker may have the message, whose lease a repetition would change.
		left = f.shorten(sent.Add(v.delay), now)
	}
	inTime := left > wait
	if again && inTime && c.ops.Err() == nil {
		f.mu.Lock()
		f.verdict.again = true
		c.heap.Set(&f.timer, now.Add(wait))
		f.mu.Unlock()
		return false
	}
	if v.released && !inTime {
		return l.close(f, false) // the end of the lease releases it
	}
	if again && ended {
		// It was cut off at the end of its lease, carried out or not.
		c.late(f, v.action, err)
		return l.close(f, false)
	}
	c.log.Error("verdict could not be carried out: the message is delivered again when its lease ends",
		"queue", l.caps.Queue, "message", f.msg.ID, "attempt", f.msg.Attempt, "verdict", v.action.String(), "tries", v.tries, "error", err)
	c.observe(handler.Event{Kind: handler.EventSettled, Origin: l.origin, Message: f.msg, Action: v.action, Err: err})
	l.noteRetry(f, now)
	return l.close(f, false)
}

// close ends a settlement; its group goes on where it waited for this.
func (l *lane) close(f *flight, ok bool) bool {
	if f.group == nil || f.verdict.action == handler.ActionRetry {
		return true
	}
	o, delay := groupGoesOn, time.Duration(0)
	if !ok {
		// It is delivered again when its lease ends; the later ones must not be
		// handled before it.
		o = groupLost
		if f.leased() {
			delay = time.Until(f.deadline)
		}
	}
	l.c.mu.Lock()
	back := l.c.groupDone(f, o, delay)
	l.c.grant()
	l.c.mu.Unlock()
	l.c.release(back)
	return true
}

// finished ends settled flights.
func (c *Consumer) finished(fs []*flight) {
	if len(fs) > 0 {
		c.gone(fs...)
	}
}

// backoffDelay is the wait before a further try: it doubles from base up to
// limit, with half of it random, so that many do not try at the same time.
func backoffDelay(tries int, base, limit time.Duration) time.Duration {
	d := limit
	if shift := tries - 1; shift < 20 {
		d = min(base<<shift, limit)
	}
	return d/2 + rand.N(d/2+1)
}
