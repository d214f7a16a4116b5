package watermill

import (
	"cmp"
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A held is a received message until it is settled, released or lost. Its
// goroutine alone uses its fields; others read acked after done.
//
//	waiting ── the one before is acked ──▶ offered ── taken from out ──▶ out ── ack, nack ──▶ done
//	   └───────── given back ──────────────────┘
//
// A lease that ends in any state ends in done, without a settlement.
type held struct {
	sub      *subscription
	delivery drivers.Delivery
	msg      *message.Message
	end      context.CancelCauseFunc // of the message's context
	group    *group                  // nil if it has none, or the queue is not ordered
	before   *held                   // the one of its group that was received before, or nil

	received time.Time
	lease    time.Duration // zero if there is none
	deadline time.Time     // of the lease; zero if there is none
	capped   bool          // the lease has its greatest length
	lost     bool

	acked bool          // the queue confirmed the ack
	done  chan struct{} // closed at the end
}

func newHeld(messages context.Context, s *subscription, d drivers.Delivery) *held {
	ctx, end := context.WithCancelCause(messages)
	h := &held{sub: s, delivery: d, end: end, received: time.Now(), done: make(chan struct{}), msg: received(ctx, d.Message)}
	if !d.Deadline.IsZero() {
		h.deadline = d.Deadline
		h.lease = cmp.Or(d.Lease, s.caps.Lease, time.Until(d.Deadline))
	}
	return h
}

// run takes the message through its states.
func (h *held) run() {
	defer close(h.done)
	defer h.sub.leave(h)
	defer h.end(nil)
	taken := h.offer()
	h.sub.unsent.Done()
	if taken {
		h.attend()
	}
}

// offer waits for the one before and then for a reader. It reports whether the
// message was taken from the channel; otherwise it is released or lost.
func (h *held) offer() bool {
	var out chan<- *message.Message
	turn := closed
	if h.before != nil {
		turn = h.before.done
	}
	timer := h.timer()
	defer timer.Stop()
	for {
		select {
		case <-h.sub.quiet:
			h.release()
			return false
		case <-turn:
			if h.before != nil && !h.before.acked {
				h.release() // it must not overtake the one before
				return false
			}
			h.before, turn, out = nil, nil, h.sub.out
		case out <- h.msg:
			return true
		case <-timer.C:
			if h.extend(timer); h.lost {
				return false
			}
		}
	}
}

// attend waits for the ack or nack of a message that was taken, and carries it
// out.
func (h *held) attend() {
	timer := h.timer()
	defer timer.Stop()
	for {
		select {
		case <-h.msg.Acked():
			h.end(nil)
			h.acked = !h.lost && h.sub.settle(drivers.Settlement{
				Receipt: h.delivery.Receipt, Message: h.delivery.Message, Action: handler.ActionAck,
			}, h.deadline)
			return
		case <-h.msg.Nacked():
			h.end(nil)
			if !h.lost {
				h.nack()
			}
			return
		case <-h.sub.abandoned:
			return
		case <-timer.C:
			h.extend(timer)
		}
	}
}

func (h *held) nack() {
	x := drivers.Settlement{Receipt: h.delivery.Receipt, Message: h.delivery.Message, Action: handler.ActionRetry}
	if most := h.sub.caps.MaxDelay; h.sub.cfg.NackDelay != nil && most > 0 {
		var d time.Duration
		if err := invoke.DoApart(func() { d = h.sub.cfg.NackDelay(h.delivery.Message.Attempt) }); err == nil {
			x.Delay, x.Delayed = min(max(d, 0), most), true
		} else {
			h.sub.cfg.Logger.Error("watermill: NackDelay failed: the queue's own delay applies", "topic", h.sub.topic, "error", invoke.Safe(err))
		}
	}
	// The group's next delivery may come before the answer.
	h.sub.leave(h)
	h.sub.settle(x, h.deadline)
}

// release returns a message that nobody has seen to the queue.
func (h *held) release() {
	h.sub.leave(h)
	h.sub.settle(drivers.Settlement{
		Receipt: h.delivery.Receipt, Message: h.delivery.Message, Action: handler.ActionRetry, Delayed: h.sub.caps.MaxDelay > 0, Released: true,
	}, h.deadline)
}

// timer returns a timer for the next extension, which never fires if there is no
// lease.
func (h *held) timer() *time.Timer {
	t := time.NewTimer(h.next())
	if h.deadline.IsZero() {
		t.Stop()
	}
	return t
}

// next is the time until the next extension: half of what the lease has left, so
// that failures are repeated, more and more often; or until its end, if it can't
// be longer.
func (h *held) next() time.Duration {
	left := time.Until(h.deadline)
	if h.capped {
		return left
	}
	return max(left/2, min(left, 20*time.Millisecond))
}

// extend extends the lease and sets the timer. If the lease has ended or is
// refused, it is lost: the message's context ends, and the message is not
// settled.
func (h *held) extend(timer *time.Timer) {
	caps := h.sub.caps
	now := time.Now()
	longest := cmp.Or(caps.MaxLease, max(caps.MaxExtension, caps.Lease))
	by := min(h.lease, caps.MaxExtension, longest-now.Sub(h.received))
	h.capped = caps.MaxExtension <= 0 || !now.Add(by).After(h.deadline)
	err := error(nil)
	if now.Before(h.deadline) && !h.capped {
		err = h.sub.request(h.deadline, func(ctx context.Context) []error {
			return h.sub.source.Extend(ctx, []drivers.Extension{{Receipt: h.delivery.Receipt, By: by}})
		})
		if err == nil {
			h.deadline = now.Add(by)
		}
	}
	if time.Now().Before(h.deadline) && (err == nil || drivers.CodeOf(err).Retryable()) {
		timer.Reset(h.next())
		return
	}
	h.lost = true
	h.sub.leave(h)
	h.end(handler.ErrLeaseLost)
	h.sub.cfg.Logger.Warn("watermill: lease lost: the queue redelivers the message", "topic", h.sub.topic, "message", h.delivery.Message.ID, "error", invoke.Safe(err))
}

// closed is the turn of a message that waits for no other.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
