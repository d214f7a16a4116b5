package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A handlerLease is a delivery as its handler sees it through its message. It is a
// conversion, so that it costs no allocation.
type handlerLease delivery

// Origin returns the message's origin, so that [handler.Message.Bind] does not allocate.
func (h *handlerLease) Origin() *handler.Origin { return h.source.origin }

// Deadline implements handler.Lease.
func (h *handlerLease) Deadline() time.Time {
	d := (*delivery)(h)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lease.when(time.Now())
}

// Extend implements handler.Lease.
func (h *handlerLease) Extend(ctx context.Context, by time.Duration) error {
	d := (*delivery)(h)
	if by <= 0 {
		return fmt.Errorf("extend by %v: the duration must be positive; to return a message to the queue, return handler.RetryAfter(0, err)", by)
	}
	d.mu.Lock()
	if !d.lease.extensible() {
		d.mu.Unlock()
		return handler.ErrNoLease
	}
	if d.state != running || d.lease.lost {
		d.mu.Unlock()
		return handler.ErrLeaseLost
	}
	k := d.lease.keeper()
	answer := make(chan error, 1)
	k.waiters = append(k.waiters, answer)
	k.want = by
	if !k.sent {
		d.source.extender.add(d, time.Now().Add(d.source.c.cfg.linger()))
	}
	d.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Keep implements handler.Lease.
func (h *handlerLease) Keep(o handler.KeepOptions) (stop func(), err error) {
	d := (*delivery)(h)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.lease.extensible() {
		return func() {}, handler.ErrNoLease
	}
	if o.Fraction < 0 || o.Fraction >= 1 || o.Extension < 0 || o.Max < 0 {
		return func() {}, fmt.Errorf("keep a lease with %+v: Fraction must be below 1 and no value negative", o)
	}
	if d.state != running || d.lease.lost {
		return func() {}, handler.ErrLeaseLost
	}
	now := time.Now()
	call := d.lease.keeper().begin(o, d.lease.length, d.source.caps.MaxExtension, now)
	d.reschedule(now)
	return func() { h.stopKeeping(call) }, nil
}

// stopKeeping ends a call of Keep and waits for the extension on its way, so that
// it can't overwrite what follows.
func (h *handlerLease) stopKeeping(call int) {
	d := (*delivery)(h)
	d.mu.Lock()
	k := d.lease.keep
	if !k.on || k.calls != call {
		d.mu.Unlock()
		return
	}
	k.on = false
	if len(k.waiters) == 0 {
		k.want = 0 // not sent yet, so it never is
	}
	var idle chan struct{}
	if k.sent {
		if k.idle == nil {
			k.idle = make(chan struct{})
		}
		idle = k.idle
	}
	d.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// OnExtend implements handler.Lease.
func (h *handlerLease) OnExtend(hook func(deadline time.Time)) {
	d := (*delivery)(h)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lease.timed() && d.state == running && !d.lease.lost {
		k := d.lease.keeper()
		k.hooks = append(k.hooks, hook)
	}
}

// scheduleHooks starts a goroutine that calls the OnExtend functions, unless one
// does already: they are called one at a time, and extensions that arrive meanwhile
// are reported by one more round. delivery.mu is held.
func (h *handlerLease) scheduleHooks() {
	d := (*delivery)(h)
	k := d.lease.keep
	if len(k.hooks) == 0 || d.state != running {
		return
	}
	k.hookOwed = true
	if k.calling {
		return
	}
	k.calling = true
	go h.callHooks(k)
}

func (h *handlerLease) callHooks(k *keeper) {
	d := (*delivery)(h)
	d.mu.Lock()
	for k.hookOwed {
		k.hookOwed = false
		deadline := d.lease.when(time.Now())
		for _, hook := range k.hooks {
			if k.hooks == nil {
				break // the handler has returned meanwhile
			}
			d.mu.Unlock()
			h.callHook(hook, deadline)
			d.mu.Lock()
		}
	}
	k.calling = false
	d.mu.Unlock()
}

// callHook calls an OnExtend function. delivery.mu is not held.
func (h *handlerLease) callHook(hook func(time.Time), deadline time.Time) {
	err := invoke.DoApart(func() { hook(deadline) })
	if err != nil {
		h.source.c.report.hookPanicked((*delivery)(h), err)
	}
}
