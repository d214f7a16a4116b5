package sqslambda

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

var (
	errUnhandled = errors.New("not handled: the time ran out, or an earlier message of the group failed")
	errAbandoned = errors.New("its handler had not returned when the time was over")
)

// An invocation is the handling of one event.
type invocation struct {
	f     *Function
	began time.Time
	// ctx is the context of handlers. ops is that of requests to SQS and ends later.
	ctx, ops context.Context
	cancel   func()
	grace    time.Duration // how long handlers may take to return once ctx is done

	items   []item
	heads   []*item // the first of each group; every item on a standard queue
	taken   atomic.Int64
	workers sync.WaitGroup
	settler settler
}

// bound sets the deadlines of handlers and requests. Requests go on if ctx is
// canceled, since handled messages must be settled.
func (i *invocation) bound(ctx context.Context) {
	margin := i.f.cfg.Margin
	i.ops = context.WithoutCancel(ctx)
	deadline, ok := ctx.Deadline()
	if !ok {
		i.ctx, i.cancel = context.WithCancel(ctx)
		i.grace = margin / 2
		return
	}
	// Lambda's deadline is by the wall clock, which may be set meanwhile. From here
	// on times are compared by the monotonic clock only.
	deadline = i.began.Add(deadline.Sub(i.began))
	margin = max(min(margin, deadline.Sub(i.began)/4), 0)
	i.grace = margin / 2
	var end context.CancelFunc
	i.ops, end = context.WithDeadline(i.ops, deadline.Add(-margin/4))
	i.ctx, i.cancel = context.WithDeadline(ctx, deadline.Add(-margin))
	handlers := i.cancel
	i.cancel = func() { handlers(); end() }
}

// end frees the resources of the invocation.
func (i *invocation) end() { i.cancel() }

// run handles all messages and carries out their verdicts, as far as time allows.
func (i *invocation) run() {
	for range min(i.f.cfg.Concurrency, len(i.heads)) {
		i.workers.Add(1)
		go i.work(nil)
	}
	done := make(chan struct{})
	go func() {
		i.workers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-i.ctx.Done():
		late := time.NewTimer(i.grace)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
			i.abandon()
			<-done // those whose handlers have returned
		}
	}
	i.settler.finish()
}

// work runs handlers until no message is left. It begins with it, unless that is nil.
func (i *invocation) work(it *item) {
	calling := false
	var m *handler.Message
	var began time.Time
	defer func() {
		if !calling {
			return
		}
		// The handler called runtime.Goexit. Another goroutine continues with the
		// message and those after it.
		if next, on := i.handled(it, m, began, nil, invoke.ErrGoexit); on {
			go i.work(next)
		}
	}()
	for {
		if it == nil {
			if it = i.take(); it == nil {
				i.workers.Done()
				return
			}
		}
		if i.ctx.Err() != nil {
			i.release(it, true, 0)
			it = nil
			continue
		}
		// After the exchange the item may be abandoned, and is then no longer this
		// worker's.
		m = it.delivery.Message
		if !it.state.CompareAndSwap(waiting, running) {
			it = nil
			continue
		}
		i.f.observe(handler.Event{Kind: handler.EventStarted, Origin: i.f.origin, Message: m})
		began = time.Now()
		calling = true
		p, err := invoke.Call(i.ctx, i.f.handler, m)
		calling = false
		var on bool
		if it, on = i.handled(it, m, began, p, err); !on {
			return
		}
	}
}

// take returns the first message of the next group, or nil.
func (i *invocation) take() *item {
	n := i.taken.Add(1) - 1
	if n >= int64(len(i.heads)) {
		return nil
	}
	return i.heads[n]
}

// handled takes the verdict of a handler that has returned. It returns the worker's
// next message, nil for that of the next group, and false if the invocation has
// abandoned the worker.
func (i *invocation) handled(it *item, m *handler.Message, began time.Time, p *handler.PanicError, err error) (next *item, on bool) {
	f := i.f
	now := time.Now()
	v := verdict.Of(err, it.attempt, f.caps.MaxAttempts, f.caps.DeadLetter)
	f.reportFault(it, p, err)
	to := returned
	if v.Action == handler.ActionRetry && v.Postponed {
		to = postponed
	}
	on = it.state.CompareAndSwap(running, to)
	f.observe(handler.Event{Kind: handler.EventHandled, Origin: f.origin, Message: m, Action: v.Action, Duration: now.Sub(began), Err: err})
	if !on {
		f.log.Warn("verdict lost: the invocation ended before the handler returned and reported the message as failed",
			"queue", f.caps.Queue, "message", it.id, "attempt", it.attempt, "verdict", v.Action.String())
		f.observe(handler.Event{Kind: handler.EventLateVerdict, Origin: f.origin, Message: m, Action: v.Action, Err: context.DeadlineExceeded})
		return nil, false
	}
	*m = it.received
	return i.decide(it, v, now), true
}

// decide carries out a verdict. It returns the next message of the group if that may be
// handled now.
func (i *invocation) decide(it *item, v handler.Verdict, now time.Time) *item {
	f := i.f
	it.verdict = v
	switch v.Action {
	case handler.ActionAck:
		it.ok = true
	case handler.ActionDrop:
		f.log.Info("message dropped", "queue", f.caps.Queue, "message", it.id, "attempt", it.attempt, "reason", invoke.Safe(v.Err))
		it.ok = true
	case handler.ActionDeadLetter:
		i.reject(it, v.Err, now)
		if !f.caps.Ordered {
			return nil // without waiting for the answer
		}
	case handler.ActionRetry:
		if v.Delayed {
			it.verdict.Delay = min(v.Delay, f.origin.MaxDelay)
			i.settler.add(it, now, drivers.Settlement{Action: handler.ActionRetry, Delayed: true, Delay: it.verdict.Delay, Released: v.Postponed})
		}
	default:
		// An unknown action must not lose the message.
		it.verdict.Action = handler.ActionRetry
	}
	if it.ok {
		return it.next
	}
	// After the first failure of a group none of its messages is handled. The later
	// ones become visible together with the first: a group is blocked while one of
	// its messages is in flight.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
	i.release(it.next, it.verdict.Action == handler.ActionRetry && it.verdict.Delayed, it.verdict.Delay)
	return nil
}

// reject moves a message to the dead-letter queue. On a FIFO queue it waits for the
// answer, since a message that stays precedes the others of its group.
func (i *invocation) reject(it *item, reason error, now time.Time) {
	f := i.f
	if !f.caps.DeadLetter {
		it.verdict = handler.Verdict{Err: reason}
		if missed, ok := f.loud.Allow(now, time.Minute); ok {
			f.log.Error("message rejected, but the queue has no dead-letter queue: it is retried; give the queue one, for example by applying its configuration",
				"queue", f.caps.Queue, "message", it.id, "reason", invoke.Safe(reason), "not_logged", missed)
		}
		f.observe(handler.Event{Kind: handler.EventNoDeadLetter, Origin: f.origin, Message: it.delivery.Message, Action: handler.ActionDeadLetter, Err: reason})
		return
	}
	s := drivers.Settlement{Action: handler.ActionDeadLetter, Failure: verdict.Failure(reason, it.delivery.Message, now, f.cfg.Name)}
	if f.caps.Ordered {
		i.settler.now(it, now, s)
	} else {
		i.settler.add(it, now, s)
	}
}

// abandon gives up the handlers that have not returned.
func (i *invocation) abandon() {
	f := i.f
	for _, head := range i.heads {
		for it := head; it != nil; it = it.next {
			if it.state.CompareAndSwap(running, abandoned) {
				f.log.Error("a handler ignored the end of its context: its message is reported as failed and redelivered, and the handler may still be running",
					"queue", f.caps.Queue, "message", it.id, "attempt", it.attempt)
				// The handler owns the message; this one only identifies it.
				m := &handler.Message{ID: it.id, Attempt: it.attempt}
				m.Bind(f.origin, nil)
				f.observe(handler.Event{Kind: handler.EventLeaseLost, Origin: f.origin, Message: m, Err: context.DeadlineExceeded})
				it.observed = true
				i.workers.Done()
				i.buryAbandoned(it)
				i.release(it.next, false, 0)
				break
			}
			if it.state.Load() == waiting {
				i.release(it, true, 0)
				break
			}
		}
	}
}

// buryAbandoned rejects a message whose handler was abandoned at the last attempt: the
// queue would dead-letter it without a reason.
func (i *invocation) buryAbandoned(it *item) {
	f := i.f
	v := verdict.Of(errAbandoned, it.attempt, f.caps.MaxAttempts, f.caps.DeadLetter)
	if v.Action != handler.ActionDeadLetter {
		return
	}
	it.verdict, it.delivery.Message = v, &it.received
	i.reject(it, v.Err, time.Now())
}

// release releases a message and all later ones of its group unhandled. They become
// visible after delay if delayed is true, and otherwise when their visibility timeout
// ends.
func (i *invocation) release(it *item, delayed bool, delay time.Duration) {
	now := time.Now()
	for ; it != nil; it = it.next {
		if !it.state.CompareAndSwap(waiting, skipped) {
			continue
		}
		if delayed {
			i.settler.add(it, now, drivers.Settlement{Action: handler.ActionRetry, Delayed: true, Delay: delay, Released: true})
		}
	}
}

// report returns the response to Lambda. By Lambda's rules, an empty list of failures is
// the success of the whole batch, and an identifier that is empty, null or unknown is
// the failure of the whole batch.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
func (i *invocation) report() (events.SQSEventResponse, error) {
	r := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	var failed []*item
	for n := range i.items {
		it := &i.items[n]
		i.f.reportEnd(it)
		if !it.ok {
			failed = append(failed, it)
		}
	}
	if len(failed) == 0 {
		return r, nil
	}
	if i.f.cfg.WholeBatch {
		i.deleteHandled()
		return events.SQSEventResponse{}, i.f.batchError(failed, len(i.items))
	}
	// An event may have two deliveries of one message. It is listed once if either
	// failed.
	named := make(map[string]struct{}, len(failed))
	r.BatchItemFailures = make([]events.SQSBatchItemFailure, 0, len(failed))
	for _, it := range failed {
		if _, ok := named[it.id]; !ok {
			named[it.id] = struct{}{}
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: it.id})
		}
	}
	return r, nil
}

// deleteHandled deletes the messages that were handled, since Lambda will not.
func (i *invocation) deleteHandled() {
	for n := range i.items {
		if it := &i.items[n]; it.ok && !it.gone {
			i.settler.add(it, i.began, drivers.Settlement{Action: handler.ActionAck})
		}
	}
	i.settler.finish()
}
