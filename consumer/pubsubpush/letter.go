package pubsubpush

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/letter"
)

const (
	// buryTimeout bounds the publishing of a letter, with its repetitions.
	buryTimeout = 20 * time.Second
	// buryTries is how often it is tried. Each failure after that costs another
	// run of the handler.
	buryTries  = 4
	firstPause = 100 * time.Millisecond
)

// reject publishes a rejected message as a dead letter, and acknowledges it only
// then.
func (e *Endpoint) reject(w http.ResponseWriter, r *http.Request, m *handler.Message, o *handler.Origin, v handler.Verdict) {
	if !e.deadLetterCapable() {
		if missed, ok := e.noDLQ.Allow(time.Now(), time.Minute); ok {
			e.cfg.Logger.ErrorContext(r.Context(), "message rejected, but there is no dead-letter topic: it is retried; "+
				"give the subscription one (sluice apply) and set Config.Subscription, or set Config.DeadLetter",
				"queue", o.Queue, "message", m.ID, "reason", invoke.Safe(v.Err), "not_logged", missed)
		}
		e.observe(handler.Event{Kind: handler.EventNoDeadLetter, Origin: o, Message: m, Action: handler.ActionDeadLetter, Err: v.Err})
		e.retry(w, m, o, handler.Verdict{Err: v.Err})
		return
	}
	now := time.Now()
	f := verdict.Failure(v.Err, m, now, e.cfg.Name)
	ctx, cancel := buryContext(r)
	defer cancel()
	err := e.bury(ctx, m, f, o.Queue)
	for try := 1; err != nil && try < buryTries && drivers.CodeOf(err).Retryable() && pause(ctx, try); try++ {
		err = e.bury(ctx, m, f, o.Queue)
	}
	if err == nil {
		e.settled(w, m, o, handler.ActionDeadLetter)
		return
	}
	if missed, ok := e.failedDLQ.Allow(now, time.Minute); ok {
		e.cfg.Logger.ErrorContext(ctx, "message rejected, but its dead letter could not be published: it is retried",
			"queue", o.Queue, "message", m.ID, "reason", invoke.Safe(v.Err), "error", invoke.Safe(err), "not_logged", missed)
	}
	e.observe(handler.Event{Kind: handler.EventSettled, Origin: o, Message: m, Action: handler.ActionDeadLetter, Err: err})
	answer(w, http.StatusServiceUnavailable)
}

// buryContext is the context under which a letter is published: the request's, not
// the handler's, whose time may be up. A stop does not end it either, or the last
// rejections would all be lost to it.
func buryContext(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), buryTimeout)
	stop := context.AfterFunc(r.Context(), func() {
		if !stopped(r) {
			cancel()
		}
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// pause waits before another try, longer each time, and is false where ctx ended.
func pause(ctx context.Context, try int) bool {
	longest := firstPause << (try - 1)
	t := time.NewTimer(longest/2 + rand.N(longest/2)) //nolint:gosec // jitter is no secret
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deadLetterCapable says whether rejected messages have somewhere to go.
func (e *Endpoint) deadLetterCapable() bool {
	return e.cfg.DeadLetter != nil || e.cfg.Subscription.Capabilities().DeadLetter
}

// bury sends a rejected message to where rejected messages go.
func (e *Endpoint) bury(ctx context.Context, m *handler.Message, f *drivers.Failure, queue string) (err error) {
	if e.cfg.DeadLetter == nil {
		return e.cfg.Subscription.DeadLetter(ctx, m, f)
	}
	// The sink is the user's. One that panics has not taken the letter.
	if failed := invoke.DoApart(func() { err = letter.Send(ctx, e.cfg.DeadLetter, m, f, queue) }); failed != nil {
		return failed
	}
	return err
}
