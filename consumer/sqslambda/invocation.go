package sqslambda

import (
	"bytes"
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The states of an item. Whoever moves it on from waiting or running has it: the
// worker that handles it, or the invocation that must return without it.
const (
	waiting uint32 = iota
	running
	returned  // the handler has, in time
	abandoned // it has not: its message is reported as failed, whatever comes later
	skipped   // it is given back unhandled
	postponed // a middleware has postponed it: it is given back as well
)

// An item is one message of an event.
type item struct {
	delivery drivers.Delivery
	next     *item // the next one of its group; nil on a standard queue
	state    atomic.Uint32

	// As it was received: a handler may change its message, and an abandoned one
	// is still at it when its message is reported. If this attempt is the last,
	// it shares nothing with the handler's.
	received handler.Message
	id       string
	attempt  int

	// Set by whoever has the item; read once nobody else can have it.
	verdict    handler.Verdict
	settlement drivers.Settlement
	decided    time.Time // when the settlement was, which its delay counts from
	ok         bool      // reported as success
	gone       bool      // deleted already
	told       bool      // the observers know its end
}

// An invocation is the handling of one event.
type invocation struct {
	f     *Function
	began time.Time
	// ctx is the handlers' context, ops that of requests to SQS, which ends later.
	ctx, ops context.Context
	cancel   func()
	grace    time.Duration // how long handlers may take to return once ctx is done

	items   []item
	heads   []*item // the first of each group; every item on a standard queue
	taken   atomic.Int64
	workers sync.WaitGroup
	settler settler
}

// begin prepares the handling of an event.
func (f *Function) begin(ctx context.Context, e *events.SQSEvent) *invocation {
	i := &invocation{f: f, began: time.Now(), items: make([]item, len(e.Records))}
	i.bound(ctx)
	i.settler.invocation = i
	i.settler.slots = make(chan struct{}, f.cfg.Concurrency)
	ds := f.source.Deliveries(ctx, received(e), time.Time{})
	i.heads = make([]*item, 0, len(ds))
	var last map[string]*item
	if f.caps.Ordered {
		last = make(map[string]*item)
	}
	for n := range ds {
		it, m := &i.items[n], ds[n].Message
		m.Bind(f.origin, nil) // the lease is Lambda's
		it.delivery, it.id, it.attempt, it.received = ds[n], m.ID, m.Attempt, *m
		if f.last(m.Attempt) {
			it.received.Body, it.received.Attributes = bytes.Clone(m.Body), maps.Clone(m.Attributes)
		}
		// The group of a message on a standard queue is a fair queue's tenant and
		// means no order.
		if last != nil && m.Group != "" {
			before := last[m.Group]
			last[m.Group] = it
			if before != nil {
				before.next = it
				continue
			}
		}
		i.heads = append(i.heads, it)
	}
	f.events.Add(1)
	if len(ds) > 0 {
		f.observe(handler.Event{Kind: handler.EventReceived, Origin: f.origin, N: len(ds)})
	}
	return i
}

// bound sets the times by which handlers and requests must be done. Requests go
// on though ctx may be cancelled: what was handled is to be settled.
func (i *invocation) bound(ctx context.Context) {
	margin := i.f.cfg.Margin
	i.ops = context.WithoutCancel(ctx)
	deadline, ok := ctx.Deadline()
	if !ok {
		i.ctx, i.cancel = context.WithCancel(ctx)
		i.grace = margin / 2
		return
	}
	// Lambda's deadline is one of the wall clock, which may be set meanwhile. From
	// here on times are compared by the monotonic clock only.
	deadline = i.began.Add(deadline.Sub(i.began))
	margin = max(min(margin, deadline.Sub(i.began)/4), 0)
	i.grace = margin / 2
	var end context.CancelFunc
	i.ops, end = context.WithDeadline(i.ops, deadline.Add(-margin/4))
	i.ctx, i.cancel = context.WithDeadline(ctx, deadline.Add(-margin))
	handlers := i.cancel
	i.cancel = func() { handlers(); end() }
}

// end frees what the invocation holds.
func (i *invocation) end() { i.cancel() }

// run has all messages handled and their verdicts carried out, as far as there is
// time.
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

// work runs handlers until there is nothing left to handle, beginning with it
// where that is not nil.
func (i *invocation) work(it *item) {
	calling := false
	var m *handler.Message
	var began time.Time
	defer func() {
		if !calling {
			return
		}
		// The handler called runtime.Goexit: this goroutine is lost, the message
		// and those after it are not.
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
		// From the exchange on the item may be abandoned, and is not this worker's.
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

// take returns the first message of the next group, nil where there is none.
func (i *invocation) take() *item {
	n := i.taken.Add(1) - 1
	if n >= int64(len(i.heads)) {
		return nil
	}
	return i.heads[n]
}

// handled takes the verdict of a handler that has returned. It returns what the
// worker goes on with, nil for the next group, and false where the invocation has
// gone on without the worker.
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
		f.log.Warn("verdict lost: the invocation had to end before the handler returned, and reported its message as failed",
			"queue", f.caps.Queue, "message", it.id, "attempt", it.attempt, "verdict", v.Action.String())
		f.observe(handler.Event{Kind: handler.EventLateVerdict, Origin: f.origin, Message: m, Action: v.Action, Err: context.DeadlineExceeded})
		return nil, false
	}
	*m = it.received
	return i.decide(it, v, now), true
}

// reportFault logs and counts a handler's panic: p, or one in err that a batch
// handler or a middleware has caught and nobody has logged.
func (f *Function) reportFault(it *item, p *handler.PanicError, err error) {
	text, stack, ok := invoke.Report(p, err)
	if !ok {
		return
	}
	f.panics.Add(1)
	f.log.Error("handler panicked: the message is retried", "queue", f.caps.Queue, "message", it.id, "attempt", it.attempt,
		"panic", text, "stack", stack)
}

// abandon leaves the handlers that have not returned to themselves.
func (i *invocation) abandon() {
	f := i.f
	for _, head := range i.heads {
		for it := head; it != nil; it = it.next {
			if it.state.CompareAndSwap(running, abandoned) {
				f.log.Error("a handler has ignored the end of its context: its message is reported as failed and comes again, while the handler may still be at it",
					"queue", f.caps.Queue, "message", it.id, "attempt", it.attempt)
				// The handler has the message; this one only says which it is.
				m := &handler.Message{ID: it.id, Attempt: it.attempt}
				m.Bind(f.origin, nil)
				f.observe(handler.Event{Kind: handler.EventLeaseLost, Origin: f.origin, Message: m, Err: context.DeadlineExceeded})
				it.told = true
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

// buryAbandoned rejects a message whose handler has ignored the end of its time
// at the last attempt: the queue would dead-letter it without a reason.
func (i *invocation) buryAbandoned(it *item) {
	f := i.f
	v := verdict.Of(errAbandoned, it.attempt, f.caps.MaxAttempts, f.caps.DeadLetter)
	if v.Action != handler.ActionDeadLetter {
		return
	}
	it.verdict, it.delivery.Message = v, &it.received
	i.reject(it, v.Err, time.Now())
}

// released reports whether the item is given back with no handler having worked
// on it.
func (it *item) released() bool {
	state := it.state.Load()
	return state == skipped || state == postponed
}

// comesBack is when a retried message is visible again, at the earliest.
func (it *item) comesBack() time.Time { return it.decided.Add(it.settlement.Delay) }

// release has a message and all later ones of its group given back unhandled. Where delayed is true they are visible again after delay, and
// otherwise when their visibility timeout ends.
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
