package handlertest

import (
	"container/heap"
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// deliver returns the record, or nil and what to wait for: nil where a change
// of the queue or the time will do, a gate's channel otherwise.
func (q *Queue) deliver(ctx context.Context) (*Delivery, <-chan struct{}) {
	for _, g := range q.config.Gates {
		if n, reopened := g.Admit(1); n == 0 {
			if reopened == nil { // a gate that never says so is closed for good
				reopened = make(chan struct{})
			}
			return nil, reopened
		}
	}
	e := q.take()
	if e == nil {
		return nil, nil
	}
	m := clone(e.message)
	if !q.config.HideAttempt {
		m.Attempt = e.attempts
	}
	d := &Delivery{Message: clone(m), Attempt: e.attempts, At: q.time.now()}
	d.Message.Bind(q.origin, nil)

	settled := false
	// Deferred for a handler that ends its goroutine, as testing.T.FailNow does:
	// the message then goes back instead of being in flight for ever.
	defer func() {
		if !settled {
			q.giveBack(e, d)
		}
	}()
	held := q.call(ctx, m, d)
	d.Duration = q.time.now().Sub(d.At)
	if !held {
		d.Outcome = Lost
	}
	settled = true
	q.settle(e, d)
	return d, nil
}

// take removes and returns the message that has been due for the longest.
func (q *Queue) take() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.waiting[0].due.After(q.time.now()) {
		return nil
	}
	e := heap.Pop(&q.waiting).(*entry)
	e.attempts++
	q.inFlight++
	return e
}

// call runs the handler and says whether the lease was held to the end.
func (q *Queue) call(ctx context.Context, m *handler.Message, d *Delivery) (held bool) {
	held = true
	ctx = handler.WithShared(ctx)
	if q.config.NoLease {
		m.Bind(q.origin, nil)
	} else {
		lease := NewLease(q.config.Lease, q.config.Clock)
		m.Bind(q.origin, lease)
		ctx = lease.Context(ctx)
		defer func() {
			held = lease.End()
			d.Extensions = len(lease.Extensions())
		}()
	}
	defer func() {
		if v := recover(); v != nil {
			d.Panic = v
			d.Verdict = handler.Verdict{Err: fmt.Errorf("panic: %v", v)}
		}
	}()
	d.Verdict = handler.VerdictOf(q.handler.Handle(ctx, m))
	return held
}

// settle carries out the verdict.
func (q *Queue) settle(e *entry, d *Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.time.now()
	switch {
	case d.Outcome == Lost:
	case d.Verdict.Action == handler.ActionAck:
		d.Outcome = Acked
	case d.Verdict.Action == handler.ActionDrop:
		d.Outcome = Dropped
	case d.Verdict.Action == handler.ActionDeadLetter && !q.config.NoDeadLetter:
		d.Outcome = DeadLettered
	case d.Verdict.Postponed:
		d.Outcome = Postponed
		d.Delay = q.delay(d.Verdict)
		e.attempts--
	default:
		d.Outcome = Redelivered
		d.Delay = q.delay(d.Verdict)
	}
	reason := d.Verdict.Err
	limited := q.config.MaxAttempts > 0 && !q.config.NoDeadLetter
	rejected := d.Outcome == DeadLettered
	if (d.Outcome == Redelivered || d.Outcome == Lost) && limited && e.attempts >= q.config.MaxAttempts {
		d.Outcome, d.Delay = DeadLettered, 0
		reason = handler.Exhausted(e.attempts, q.config.MaxAttempts, reason)
	}
	switch d.Outcome {
	case Redelivered, Lost, Postponed:
		q.schedule(e, now.Add(d.Delay))
	case DeadLettered:
		q.deadLetters = append(q.deadLetters, DeadLetter{
			Message: clone(e.message), Attempt: e.attempts, Err: reason, Rejected: rejected, At: now,
		})
	case Acked, Dropped:
	}
	q.deliveries = append(q.deliveries, d)
	q.inFlight--
	q.change()
}

func (q *Queue) giveBack(e *entry, d *Delivery) {
	d.Verdict = handler.Verdict{Err: errEnded}
	q.settle(e, d)
}

func (q *Queue) delay(v handler.Verdict) time.Duration {
	d := q.config.RetryDelay
	if v.Action == handler.ActionRetry && v.Delayed {
		d = v.Delay
	}
	if q.config.MaxDelay > 0 {
		d = min(d, q.config.MaxDelay)
	}
	return d
}
