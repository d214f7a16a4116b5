package consumer

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

// logPeriod is how often a message of one kind is logged for a source at most.
const logPeriod = time.Minute

// A reporter counts events, passes them to observers, and logs. Its methods may be
// called concurrently; no lock may be held, since observers and loggers are user code.
type reporter struct {
	log       *slog.Logger // survives its handler
	observers *invoke.Observers
	counter   handler.Counter

	panics, gatePanics atomic.Uint64
	badGate            seldom.Event
}

// observe counts an event and passes it to the observers.
func (r *reporter) observe(e handler.Event) {
	r.count(e)
	r.pass(e)
}

// count counts an event. It calls no user code.
func (r *reporter) count(e handler.Event) { r.counter.Observe(e) }

// pass passes an event to the observers.
func (r *reporter) pass(e handler.Event) { r.observers.Observe(e) }

// observeHere is observe, but an observer that ends its goroutine ends the caller's. The
// worker that calls it continues on another one.
func (r *reporter) observeHere(e handler.Event) {
	r.count(e)
	r.observers.ObserveHere(e)
}

//go:noinline
func (r *reporter) started(d *delivery, waited time.Duration) {
	r.observeHere(handler.Event{Kind: handler.EventStarted, Origin: d.source.origin, Message: d.msg, Waited: waited})
}

//go:noinline
func (r *reporter) handled(d *delivery, a handler.Action, took time.Duration, err error) {
	r.observeHere(handler.Event{
		Kind: handler.EventHandled, Origin: d.source.origin, Message: d.msg, Action: a, Duration: took, Err: err,
	})
}

// runsAlone logs that a suspect runs alone.
//
//go:noinline
func (r *reporter) runsAlone(d *delivery, now time.Time) {
	if missed, ok := d.source.alone.Allow(now, logPeriod); ok {
		r.log.Info("earlier attempts of the message may have crashed their process: it is handled alone",
			"queue", d.source.caps.Queue, "message", d.msg.ID, "attempt", d.attempt, "not_logged", missed)
	}
}

// withoutAttempt logs that a provider that counts attempts has left some out: a message
// whose attempt is unknown is never at its last.
func (r *reporter) withoutAttempt(s *source, ds []*delivery, now time.Time) {
	if !s.caps.AttemptKnown {
		return
	}
	for _, d := range ds {
		if d.msg.Attempt > 0 {
			continue
		}
		if missed, ok := s.noAttempts.Allow(now, logPeriod); ok {
			r.log.Error("messages have no attempt count: limits of attempts are not enforced", "queue", s.caps.Queue,
				"message", d.msg.ID, "receives_before", missed)
		}
		return
	}
}

// leaseLost counts a lost lease, and logs and reports it on a new goroutine: a slow
// logger or observer must not delay the timer of all other leases.
func (r *reporter) leaseLost(d *delivery, canceled bool, cause error) {
	e := handler.Event{Kind: handler.EventLeaseLost, Origin: d.source.origin, Message: d.msg, Err: cause}
	r.count(e)
	go func() {
		if canceled {
			r.log.Warn("lease lost: the handler was canceled", "queue", d.source.caps.Queue,
				"message", d.msg.ID, "attempt", d.attempt, "cause", invoke.Text(cause))
		}
		r.pass(e)
	}()
}

// retriedHere counts the retry of a message that was parked and runs again, and reports
// it on a new goroutine, for the same reason as leaseLost.
func (r *reporter) retriedHere(d *delivery) {
	e := handler.Event{
		Kind: handler.EventSettled, Origin: d.source.origin, Message: d.msg,
		Action: handler.ActionRetry, Delay: d.verdict.delay,
	}
	r.count(e)
	go r.pass(e)
}

// lateVerdict reports a verdict that was not carried out because the lease was lost.
func (r *reporter) lateVerdict(d *delivery, a handler.Action, err error) {
	r.log.Warn("verdict not carried out: the lease was already lost", "queue", d.source.caps.Queue,
		"message", d.msg.ID, "attempt", d.msg.Attempt, "verdict", a.String())
	r.observe(handler.Event{Kind: handler.EventLateVerdict, Origin: d.source.origin, Message: d.msg, Action: a, Err: err})
}

// unsettled reports a verdict that could not be carried out.
func (r *reporter) unsettled(d *delivery, err error) {
	v := &d.verdict
	r.log.Error("verdict could not be carried out: the message is redelivered when its lease ends",
		"queue", d.source.caps.Queue, "message", d.msg.ID, "attempt", d.msg.Attempt, "verdict", v.action.String(), "tries", v.tries, "error", err)
	r.observe(handler.Event{Kind: handler.EventSettled, Origin: d.source.origin, Message: d.msg, Action: v.action, Err: err})
}

// extensionRefused logs that the provider refuses to extend leases.
func (r *reporter) extensionRefused(d *delivery, err error, now time.Time) {
	if missed, ok := d.source.noExtend.Allow(now, logPeriod); ok {
		r.log.Error("the provider refuses to extend leases: handlers that take longer are canceled",
			"queue", d.source.caps.Queue, "error", err, "not_logged", missed)
	}
}

// postponed reports a postponement, if the verdict is one.
//
//go:noinline
func (r *reporter) postponed(d *delivery, v *handler.Verdict) {
	if !v.Postponed {
		return
	}
	r.observe(handler.Event{Kind: handler.EventPostponed, Origin: d.source.origin, Message: d.msg, Delay: v.Delay, Err: v.Err})
}

// unsupported reports the parts of a verdict that the queue cannot honor, and a dropped
// message.
//
//go:noinline
func (r *reporter) unsupported(d *delivery, v *handler.Verdict, u unsupported, now time.Time) {
	s := d.source
	if u.noDLQ {
		r.noDeadLetter(d, v.Err, now)
	}
	if u.undelayed > 0 {
		if missed, ok := s.noDelay.Allow(now, logPeriod); ok {
			r.log.Warn("the queue cannot delay a retry: the message returns immediately",
				"queue", s.caps.Queue, "message", d.msg.ID, "delay", u.undelayed, "not_logged", missed)
		}
	}
	if u.cut > 0 {
		if missed, ok := s.noDelay.Allow(now, logPeriod); ok {
			r.log.Warn("the queue limits the delay of a retry: the message returns early",
				"queue", s.caps.Queue, "message", d.msg.ID, "delay", u.cut, "longest", s.caps.MaxDelay, "not_logged", missed)
		}
	}
	if v.Action == handler.ActionDrop {
		r.log.Info("message dropped", "queue", s.caps.Queue, "message", d.msg.ID, "attempt", d.msg.Attempt, "reason", invoke.Text(v.Err))
	}
}

// noDeadLetter reports a rejection on a queue without a dead-letter queue.
func (r *reporter) noDeadLetter(d *delivery, err error, now time.Time) {
	s := d.source
	if missed, ok := s.noDLQ.Allow(now, logPeriod); ok {
		r.log.Error("message rejected, but the queue has no dead-letter queue: it is retried; give the queue one, for example by applying its configuration",
			"queue", s.caps.Queue, "message", d.msg.ID, "reason", invoke.Text(err), "not_logged", missed)
	}
	r.observe(handler.Event{Kind: handler.EventNoDeadLetter, Origin: s.origin, Message: d.msg, Action: handler.ActionDeadLetter, Err: err})
}

// handlerPanicked logs and counts a handler's panic: p, or one in err that a batch
// handler or a middleware has recovered and nobody has logged.
//
//go:noinline
func (r *reporter) handlerPanicked(d *delivery, p *handler.PanicError, err error) {
	text, stack, ok := invoke.Report(p, err)
	if !ok {
		return
	}
	r.panics.Add(1)
	r.log.Error("handler panicked: the message is retried", "queue", d.source.caps.Queue,
		"message", d.msg.ID, "attempt", d.attempt, "panic", text, "stack", stack)
}

// hookPanicked logs and counts the panic of a function given to OnExtend.
func (r *reporter) hookPanicked(d *delivery, err error) {
	r.panics.Add(1)
	r.log.Error("an OnExtend function panicked", "queue", d.source.caps.Queue,
		"message", d.msg.ID, "panic", invoke.Text(err), "stack", stackOf(err))
}

// gatePanicked logs and counts the panic of a gate.
func (r *reporter) gatePanicked(g handler.Gate, err error) {
	r.gatePanics.Add(1)
	if missed, ok := r.badGate.Allow(time.Now(), logPeriod); ok {
		r.log.Error("a gate failed: it counts as closed until it answers", "gate", invoke.TypeName(g),
			"error", invoke.Text(err), "stack", stackOf(err), "not_logged", missed)
	}
}

// stackOf returns the stack of a panic, "" of any other error.
func stackOf(err error) string {
	if p, ok := invoke.As[*handler.PanicError](err); ok {
		return string(p.Stack)
	}
	return ""
}
