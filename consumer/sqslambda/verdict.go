package sqslambda

import (
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// decide takes a verdict to its settlement. It returns the next message of the
// group where that may be handled now.
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
			return nil // its answer is not waited for
		}
	case handler.ActionRetry:
		if v.Delayed {
			it.verdict.Delay = min(v.Delay, f.origin.MaxDelay)
			i.settler.add(it, now, drivers.Settlement{Action: handler.ActionRetry, Delayed: true, Delay: it.verdict.Delay, Released: v.Postponed})
		}
	default:
		// An action that this package does not know: never lose the message.
		it.verdict.Action = handler.ActionRetry
	}
	if it.ok {
		return it.next
	}
	// From the first failure of a group on nothing of it is handled. The later
	// ones become visible when the first does, neither before it nor after: a
	// group is blocked as long as one of its messages is in flight.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
	i.release(it.next, it.verdict.Action == handler.ActionRetry && it.verdict.Delayed, it.verdict.Delay)
	return nil
}

// reject has a message moved to the dead-letter queue. On a FIFO queue it waits
// for the answer, since a message that stays is ahead of the others of its group.
func (i *invocation) reject(it *item, reason error, now time.Time) {
	f := i.f
	if !f.caps.DeadLetter {
		it.verdict = handler.Verdict{Err: reason}
		if missed, ok := f.loud.Allow(now, time.Minute); ok {
			f.log.Error("message rejected, but the queue has no dead-letter queue: it is retried; give the queue one (sluice apply)",
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
