package pubsubpush

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// serve has a message handled and answers its request by the verdict.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, m *handler.Message, o *handler.Origin) {
	ctx, cancel := e.handlerContext(r)
	defer cancel()
	e.running.Add(1)
	defer e.running.Add(-1)
	e.observe(handler.Event{Kind: handler.EventStarted, Origin: o, Message: m})
	received := *m
	began := time.Now()
	err := e.call(ctx, m, o)
	*m = received // the handler's own changes are not the letter's
	v := verdict.Of(err, m.Attempt, e.cfg.Subscription.Capabilities().MaxAttempts, e.deadLetterCapable())
	e.observe(handler.Event{
		Kind: handler.EventHandled, Origin: o, Message: m, Action: v.Action, Duration: time.Since(began), Err: err,
	})
	if r.Context().Err() != nil && !stopped(r) {
		// Nobody is told. The service pushes the message again.
		e.cfg.Logger.WarnContext(ctx, "verdict not carried out: the request was given up before", "queue", o.Queue,
			"message", m.ID, "attempt", m.Attempt, "verdict", v.Action.String())
		e.observe(handler.Event{Kind: handler.EventLateVerdict, Origin: o, Message: m, Action: v.Action, Err: handler.ErrLeaseLost})
		answer(w, http.StatusServiceUnavailable)
		return
	}
	e.settle(w, r, m, o, v)
}

// call runs the handler and makes an error of its panic.
func (e *Endpoint) call(ctx context.Context, m *handler.Message, o *handler.Origin) error {
	// A goroutine of its own, since a handler may end it (runtime.Goexit): the
	// server's would take the connection with it, unanswered.
	done := make(chan error, 1)
	go func() {
		err := invoke.ErrGoexit
		defer func() { done <- err }()
		var p *handler.PanicError
		p, err = invoke.Call(ctx, e.handler, m)
		e.reportFault(ctx, m, o, p, err)
	}()
	return <-done
}

// reportFault logs and counts a handler's panic: p, or one in err that a batch
// handler or a middleware has caught and nobody has logged.
func (e *Endpoint) reportFault(ctx context.Context, m *handler.Message, o *handler.Origin, p *handler.PanicError, err error) {
	text, stack, ok := invoke.Report(p, err)
	if !ok {
		return
	}
	e.panics.Add(1)
	e.cfg.Logger.ErrorContext(ctx, "handler panicked: the message is retried", "queue", o.Queue,
		"message", m.ID, "attempt", m.Attempt, "panic", text, "stack", stack)
}

// settle carries a verdict out.
func (e *Endpoint) settle(w http.ResponseWriter, r *http.Request, m *handler.Message, o *handler.Origin, v handler.Verdict) {
	switch v.Action {
	case handler.ActionAck:
		e.settled(w, m, o, v.Action)
	case handler.ActionDrop:
		e.cfg.Logger.InfoContext(r.Context(), "message dropped", "queue", o.Queue, "message", m.ID, "attempt", m.Attempt, "reason", invoke.Safe(v.Err))
		e.settled(w, m, o, v.Action)
	case handler.ActionDeadLetter:
		e.reject(w, r, m, o, v)
	case handler.ActionRetry:
		e.retry(w, m, o, v)
	default:
		// An action that this endpoint does not know: never lose the message.
		e.retry(w, m, o, handler.Verdict{Action: handler.ActionRetry, Err: v.Err})
	}
}

// settled answers that the message is done with. The service takes 102, 200, 201,
// 202 and 204 as an acknowledgement, and nothing else.
func (e *Endpoint) settled(w http.ResponseWriter, m *handler.Message, o *handler.Origin, a handler.Action) {
	e.observe(handler.Event{Kind: handler.EventSettled, Origin: o, Message: m, Action: a, Answered: a != handler.ActionDeadLetter})
	answer(w, http.StatusNoContent)
}

// retry answers that the message is to be pushed again.
func (e *Endpoint) retry(w http.ResponseWriter, m *handler.Message, o *handler.Origin, v handler.Verdict) {
	status := http.StatusInternalServerError
	delay := min(v.Delay, o.MaxDelay) // as in a consumer
	if v.Delayed {
		status = http.StatusServiceUnavailable
		// In whole seconds, rounded up. Pub/Sub does not heed it; what stands
		// between may.
		w.Header().Set("Retry-After", strconv.FormatInt(int64((delay+time.Second-1)/time.Second), 10))
	}
	if v.Postponed {
		e.observe(handler.Event{Kind: handler.EventPostponed, Origin: o, Message: m, Delay: delay, Err: v.Err})
		e.observe(handler.Event{Kind: handler.EventReleased, Origin: o, Message: m, Action: handler.ActionRetry, Delay: delay})
		answer(w, http.StatusTooManyRequests)
		return
	}
	e.observe(handler.Event{Kind: handler.EventSettled, Origin: o, Message: m, Action: handler.ActionRetry, Delay: delay, Answered: true})
	answer(w, status)
}
